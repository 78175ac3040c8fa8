"""The verdict on an identity: a table of every kind of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from signupd.accounts.verdict import Life, Sign, Verdict, judge, judge_alone, last_life
from signupd.errors import KratosIncompatible
from signupd.kratos.admin import MAX_SESSIONS
from signupd.kratos.identity import read_identity, read_session

from tests.doubles.people import APART, NOW, person, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signupd.kratos.identity import Identity

Json = dict[str, Any]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
BORN = NOW - 90 * DAY
SINCE = NOW - 30 * DAY
HASH = "$2a$12$abcdefghijklmnopqrstuv"
BIRTH = session()

# An identity, its sessions, and the verdict.
ORPHANS: dict[str, tuple[Json, Sequence[Json]]] = {
    "registered by code": (person(), [BIRTH]),
    "signed out": (person(), [session(active=False)]),
    "came back long ago": (person(), [session(NOW - 40 * DAY), BIRTH]),
    "changed a trait long ago": (person(changed=10 * DAY), [BIRTH]),
    "webauthn made from the schema": (
        person(others={"webauthn": {"user_handle": "eA=="}}),
        [BIRTH],
    ),
    "an empty hash": (person(config={"hashed_password": ""}), [BIRTH]),
    "no migration hook": (
        person(config={"use_password_migration_hook": False}),
        [BIRTH],
    ),
}
OTHERS: dict[str, Json] = {
    "a password": person(password=HASH),
    "a migration hook": person(config={"use_password_migration_hook": True}),
    "a password of a kind unknown here": person(config={"something": "new"}),
    "no place for a password": person(password=None),
    "social": person(others={"oidc": None}),
    "saml": person(others={"saml": None}),
    "webauthn": person(others={"webauthn": {"credentials": [{"id": "x"}]}}),
    "passkey": person(others={"passkey": None}),
    "totp": person(others={"totp": None}),
    "lookup secrets": person(others={"lookup_secret": None}),
    "a kind unknown here": person(others={"telepathy": None}),
    "provisioned": person(verified=False),
    "provisioned, and proved by a sign-in": person(proved=None),
    "provisioned, and proved later": person(proved=5 * MINUTE),
    "imported with its old proof": person(proved=-400 * DAY),
}


def read_listed(body: Any) -> Identity:
    """Read an identity as a listing shows it."""
    return read_identity(body, ("password", "webauthn"))


def verdict(body: Json, sessions: Sequence[Json]) -> Verdict:
    """Judge what Kratos would show."""
    read = [read_session(one) for one in sessions]
    return judge(read_listed(body), read, SINCE, NOW)


@pytest.mark.parametrize(("body", "sessions"), ORPHANS.values(), ids=ORPHANS.keys())
def test_orphans(body: Json, sessions: Sequence[Json]) -> None:
    """Proved at birth, a code, an empty password, and nobody there for long."""
    assert Verdict.ORPHAN == verdict(body, sessions)


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS.keys())
def test_no_orphans(body: Json) -> None:
    """Who has anything else to sign in with, or was provisioned, is none."""
    assert Verdict.OTHER == verdict(body, [BIRTH])
    assert Verdict.OTHER == verdict(body, [])


def test_other_addresses() -> None:
    """An address that is no e-mail address proves nothing; one of two is enough."""
    by_phone, second = person(), person()
    by_phone["verifiable_addresses"][0]["via"] = "sms"
    unproved = person(verified=False)["verifiable_addresses"][0]
    second["verifiable_addresses"].insert(0, unproved | {"value": "bob@example.com"})

    assert Verdict.OTHER == verdict(by_phone, [BIRTH])
    assert Verdict.ORPHAN == verdict(second, [BIRTH])
    assert "ann@example.com" == read_listed(second).proved_address


def test_no_credentials_at_all() -> None:
    """Who has no credentials, whether Kratos says so or nothing, is none."""
    bodies = [person() | {"credentials": {}}, person() | {"credentials": None}]

    assert [Verdict.OTHER] * 2 == [verdict(body, [BIRTH]) for body in bodies]


def test_disabled() -> None:
    """Who is disabled is left alone: to remove him would be to let him back in."""
    assert Verdict.DISABLED == verdict(person(enabled=False), [BIRTH])


def test_sign_of_life_in_the_identity() -> None:
    """Whatever Kratos has changed in an identity since then is a sign of life."""
    recent = (SINCE + MINUTE).isoformat()
    bodies = [person(changed=61 * DAY), person() | {"state_changed_at": recent}]
    for part in ("verifiable_addresses", "recovery_addresses"):
        bodies.append(person())
        bodies[-1][part][0]["updated_at"] = recent
    bodies.append(person())
    bodies[-1]["credentials"]["code"]["updated_at"] = recent

    assert [Verdict.ALIVE] * 5 == [verdict(body, [BIRTH]) for body in bodies]
    assert Verdict.ALIVE == verdict(person(born=NOW - DAY), [BIRTH])


def test_sign_of_life_in_a_session() -> None:
    """A sign-in since then is a sign of life, even of a session that was ended."""
    for active in (True, False):
        visit = session(SINCE + MINUTE, active=active)

        assert Verdict.ALIVE == verdict(person(), [visit, BIRTH])


def test_session_that_works() -> None:
    """Who has a session can go on, however long ago it began; minutes are added."""
    lapsed = 90 * DAY - APART  # at this very moment, if it began with a registration
    works = {
        lapsed + DAY: Verdict.SIGNED_IN,
        lapsed - 4 * MINUTE: Verdict.SIGNED_IN,
        lapsed - 6 * MINUTE: Verdict.ORPHAN,
    }

    assert works == {
        lasting: verdict(person(), [session(lasting=lasting)]) for lasting in works
    }
    many = [session(NOW - 50 * DAY)] * MAX_SESSIONS
    assert Verdict.SIGNED_IN == verdict(person(), many)


def test_untraced() -> None:
    """Without the session of its registration an orphan may be an import."""
    later, other = session(BORN + 2 * MINUTE), session(method="code_recovery")

    assert [Verdict.UNTRACED] * 3 == [
        verdict(person(), sessions) for sessions in ([], [later], [other])
    ]


def test_without_sessions() -> None:
    """Sessions are asked for only where they could decide."""
    seen = [person(), person(password=HASH), person(enabled=False), person(born=NOW)]

    assert [None, Verdict.OTHER, Verdict.DISABLED, Verdict.ALIVE] == [
        judge_alone(read_listed(body), SINCE) for body in seen
    ]


def test_last_life() -> None:
    """The last sign of life is the newest, and a registration is but one."""
    changed, visit = read_listed(person(changed=DAY)), read_session(session(NOW - DAY))
    birth = [read_session(BIRTH)]
    plain = read_listed(person())

    assert Life(plain.created_at, Sign.CREATED) == last_life(plain, birth)
    assert Life(changed.changed_at, Sign.CHANGED) == last_life(changed, birth)
    assert Life(visit.begun_at, Sign.SIGNED_IN) == last_life(changed, [visit, *birth])


def test_secrets_stay() -> None:
    """What is read of an identity holds no hash, and shows no address."""
    read = repr(read_listed(person(password=HASH)))

    assert HASH not in read
    assert "ann@example.com" not in read


@pytest.mark.parametrize(
    "missing", ["id", "state", "created_at", "updated_at"], ids=str
)
def test_odd_identities(missing: str) -> None:
    """An identity without something that Kratos always says is an odd answer."""
    body = person()
    del body[missing]

    with pytest.raises(KratosIncompatible):
        read_listed(body)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        person() | {"created_at": "2030-01-01T00:00:00"},
        person() | {"credentials": {"password": {"updated_at": "2030-01-01T00:00Z"}}},
    ],
    ids=["null", "list", "no zone", "a password that is not shown"],
)
def test_odd_answers(odd: Any) -> None:
    """What cannot be judged is no identity: a password unseen is not an empty one."""
    with pytest.raises(KratosIncompatible):
        read_listed(odd)


@pytest.mark.parametrize("odd", [None, [], {}, session() | {"expires_at": "soon"}])
def test_odd_sessions(odd: Any) -> None:
    """What cannot be judged is no session."""
    with pytest.raises(KratosIncompatible):
        read_session(odd)

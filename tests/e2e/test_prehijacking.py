"""Pre-hijacking, attack by attack: an account made before its victim comes.

After Sudhodanan and Paverd, "Pre-hijacked accounts: an empirical study of security
failures in user account creation on the web" (USENIX Security 2022). In all five the
attacker, who knows the victim's address and cannot read its mail, has the service make
or prepare an account; the victim takes it over later; the attacker has kept a way in.
Here he gets as far as a code that he cannot read.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.caller import refusal
from tests.e2e.holdings import identity_ids, import_account, session_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wrong_codes

EVIL_PASSWORD = "evil but long enough"
EVIL_ADDRESS = "mallory@attacker.example"


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attacker has in hand when the victim comes.

    Attributes:
        address: The victim's.
        token: Of the attacker's sign-up for it.
        flow_id: Of a registration that he opened at Kratos' public API.
    """

    address: str
    token: str
    flow_id: str


def session_of(stack: Stack, address: str, password: str) -> httpx.Headers:
    """Sign in; return the header that carries the session."""
    flow = stack.visitor.get("/self-service/login/api").json()["id"]
    body = {"method": "password", "identifier": address, "password": password}
    path = f"/self-service/login?flow={flow}"
    token = stack.visitor.post(path, json=body).json()["session_token"]
    return httpx.Headers({"X-Session-Token": token})


def is_live(stack: Stack, session: httpx.Headers) -> bool:
    """Ask Kratos whether a session still stands."""
    return stack.visitor.get("/sessions/whoami", headers=session).is_success


def change_settings(stack: Stack, session: httpx.Headers, body: dict[str, Any]) -> int:
    """Submit a settings flow of the session's account; return the HTTP status."""
    opened = stack.visitor.get("/self-service/settings/api", headers=session)
    path = f"/self-service/settings?flow={opened.json()['id']}"
    return stack.visitor.post(path, headers=session, json=body).status_code


@pytest.fixture
def attack(stack: Stack, address: str) -> Attack:
    """Prepare what can be prepared, through the service and past it."""
    started = stack.caller.start(address, traits={"name": "Mallory"})
    flow = stack.visitor.send_code({"email": address, "name": "Mallory"})
    stack.code(address, 2)  # both mails have come
    return Attack(address, started.continuation_token, flow.flow_id)


def ways_in(stack: Stack, attack: Attack) -> list[str]:
    """Try all that the attacker has, and name what let him in."""
    found = []
    code = wrong_codes(stack.code(attack.address, 2), 1)[0]
    for call, secret in (
        (stack.caller.verify, code),
        (stack.caller.set_password, EVIL_PASSWORD),
    ):
        try_ = refusal(call, attack.token, secret)
        if try_.reason not in ("CODE_INCORRECT", "STEP_MISMATCH"):
            found.append(try_.reason)
    traits = {"email": attack.address, "name": "Mallory"}
    body = {"method": "password", "traits": traits, "password": EVIL_PASSWORD}
    if stack.visitor.register(body, attack.flow_id).identity_id:
        found.append("registration")
    if stack.visitor.login(attack.address, EVIL_PASSWORD):
        found.append("login")
    return found


def test_nothing_is_prepared(stack: Stack, attack: Attack) -> None:
    """Before the victim comes there is no account to take over, and no way to one."""
    before = identity_ids(stack.kratos), session_ids(stack.kratos)

    assert [] == ways_in(stack, attack)
    assert before == (identity_ids(stack.kratos), session_ids(stack.kratos))
    assert [] == stack.admin.identities(attack.address)


def test_classic_federated_merge(stack: Stack, attack: Attack) -> None:
    """The victim comes by an identity provider: the attacker has no password there."""
    linked = {"oidc": {"config": {"providers": [{"provider": "x", "subject": "v"}]}}}
    victim = import_account(stack.kratos, attack.address, credentials=linked)
    account = stack.admin.identity(victim)

    assert [] == ways_in(stack, attack)
    assert account == stack.admin.identity(victim)
    assert not account.has_password


def test_unexpired_session(stack: Stack, attack: Attack) -> None:
    """The attacker has no session to keep: none is there when the victim is done."""
    victim = stack.registered(attack.address)

    assert 0 == stack.admin.session_count(victim)
    assert [] == ways_in(stack, attack)
    assert stack.visitor.login(attack.address, GOOD_PASSWORD)


def test_trojan_identifier(stack: Stack, attack: Attack) -> None:
    """What the attacker put into his sign-up is in his, and never in the victim's."""
    refused = refusal(
        stack.caller.start, attack.address, traits={"email": EVIL_ADDRESS}
    )
    victim = stack.registered(attack.address)

    assert "TRAITS_INVALID" == refused.reason
    assert {"email": attack.address} == stack.admin.identity(victim).traits
    assert [] == ways_in(stack, attack)
    assert [] == stack.admin.identities(EVIL_ADDRESS)


def test_unexpired_email_change(stack: Stack, attack: Attack) -> None:
    """No change of an address can be pending: to begin one takes a session."""
    with httpx.Client(
        base_url=stack.kratos.public_url, trust_env=False, timeout=60
    ) as client:
        settings = client.get("/self-service/settings/api")
    victim = stack.registered(attack.address)

    assert 401 == settings.status_code
    assert attack.address == stack.admin.identity(victim).traits["email"]
    assert [] == ways_in(stack, attack)


def test_moved_onto_the_address(stack: Stack, address: str) -> None:
    """An attacker cannot move an account of his own onto the victim's address."""
    own = new_address()
    attacker = stack.registered(own, EVIL_PASSWORD)
    session = session_of(stack, own, EVIL_PASSWORD)
    body = {"method": "profile", "traits": {"email": address}}
    moved = change_settings(stack, session, body)
    victim = stack.registered(address)

    assert 404 == moved
    assert own == stack.admin.identity(attacker).traits["email"]
    assert victim != attacker
    assert stack.visitor.login(address, GOOD_PASSWORD)


def test_session_after_a_new_password(stack: Stack, address: str) -> None:
    """A new password ends the sessions that others hold, and keeps the owner's."""
    stack.registered(address)
    stolen = session_of(stack, address, GOOD_PASSWORD)
    owner = session_of(stack, address, GOOD_PASSWORD)
    body = {"method": "password", "password": "nine short ladders"}
    changed = change_settings(stack, owner, body)

    assert 200 == changed
    assert not is_live(stack, stolen)
    assert is_live(stack, owner)


def test_session_after_a_recovery(stack: Stack, address: str) -> None:
    """A recovery ends the sessions that others hold."""
    stack.registered(address)
    stolen = session_of(stack, address, GOOD_PASSWORD)
    flow = stack.visitor.get("/self-service/recovery/api").json()["id"]
    path, body = f"/self-service/recovery?flow={flow}", {"method": "code"}
    stack.visitor.post(path, json=body | {"email": address})
    live_before = is_live(stack, stolen)
    stack.visitor.post(path, json=body | {"code": stack.code(address, 2)})

    assert live_before
    assert not is_live(stack, stolen)


def test_non_verifying_provider(stack: Stack, address: str) -> None:
    """The attacker's account by a provider is not merged with the victim's sign-up.

    Kratos had to be told to take that provider at its word. The victim learns that an
    account is there whose owner has not proved the address, and gives it neither a
    password nor a verified address.
    """
    linked = {"oidc": {"config": {"providers": [{"provider": "x", "subject": "m"}]}}}
    evil = import_account(stack.kratos, address, credentials=linked)
    account = stack.admin.identity(evil)
    started = stack.caller.start(address)
    answer = stack.caller.verify(started.continuation_token, stack.code(address))
    got = stack.caller.get(started.continuation_token)

    assert pb.SIGNUP_STATE_ALREADY_REGISTERED == answer.signup.state
    assert not answer.signup.existing_account_verified
    assert answer.signup == got.signup
    assert "" == answer.continuation_token
    assert account == stack.admin.identity(evil)
    assert (False, False) == (account.verified, account.has_password)


def test_code_of_the_attackers_mail(stack: Stack, attack: Attack) -> None:
    """The code that the attacker had mailed helps the victim's sign-up to nothing.

    Nor does the victim's own code help the attacker's.
    """
    planted = stack.code(attack.address, 2)
    started = stack.caller.start(attack.address)
    own = stack.code(attack.address, 3)
    crossed = refusal(stack.caller.verify, started.continuation_token, planted)
    stolen = refusal(stack.caller.verify, attack.token, own)

    assert {"CODE_INCORRECT"} == {crossed.reason, stolen.reason}

"""Who may call what: the contract's rules as a table; and who is the same caller."""

from __future__ import annotations

import pytest
from signupd.grants import METHODS, read_grants
from signupd.rpc.callers import MAX_CALLER_CHARS, Callers
from signupd.rpc.server import ACCOUNT_SERVICE, SIGNUP_SERVICE
from signupd.service import callers_of
from signupd.settings import Settings

from tests.doubles.authority import Authority, dns, uri

AUTHORITY = Authority()
SPIFFE = "spiffe://example.org/web"
GRANTS = read_grants(
    {
        SPIFFE: ["SignupService"],
        "account.example": ["AccountService/GetAccount"],
        "both.example": ["AccountService", "SignupService/GetSignup"],
    }
)
START = "/kratos_signup.v1.SignupService/StartSignup"
GET = "/kratos_signup.v1.SignupService/GetSignup"
ACCOUNT = "/kratos_signup.v1.AccountService/GetAccount"
BATCH = "/kratos_signup.v1.AccountService/BatchGetAccounts"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ALL = {START, GET, ACCOUNT, BATCH, HEALTH, REFLECTION}
NO_ACCOUNTS = ALL - {ACCOUNT, BATCH}

# Where it listens, whether callers have certificates, which names this one has, and
# what it may call. CALLERS is unset in the first table and GRANTS in the second.
BY_DEFAULT: list[tuple[bool, bool, set[str], set[str]]] = [
    (True, False, set(), ALL),
    (False, False, set(), NO_ACCOUNTS),
    (True, True, {"account.example"}, NO_ACCOUNTS),
    (True, True, set(), NO_ACCOUNTS),
    (False, True, {"account.example"}, NO_ACCOUNTS),
    (False, True, set(), NO_ACCOUNTS),
]
BY_GRANTS: list[tuple[set[str], set[str]]] = [
    (set(), {HEALTH}),
    ({"stranger.example"}, {HEALTH}),
    ({SPIFFE}, NO_ACCOUNTS),
    ({"account.example"}, {ACCOUNT, HEALTH, REFLECTION}),
    ({"both.example"}, {GET, ACCOUNT, BATCH, HEALTH, REFLECTION}),
    ({SPIFFE, "account.example", "stranger.example"}, ALL - {BATCH}),
    # Names are exact.
    ({f"{SPIFFE}/"}, {HEALTH}),
    ({"Account.example"}, {HEALTH}),
    ({"account.example."}, {HEALTH}),
    ({"x.account.example"}, {HEALTH}),
    ({"*.example"}, {HEALTH}),
]


@pytest.mark.parametrize(("local", "mutual", "names", "open_to_it"), BY_DEFAULT)
def test_by_default(
    names: set[str], open_to_it: set[str], *, local: bool, mutual: bool
) -> None:
    """Without CALLERS it is the place that decides, or that there are certificates."""
    callers = Callers(local=local, mutual=mutual, grants=None)

    assert open_to_it == {m for m in ALL if callers.permits(m, frozenset(names))}


@pytest.mark.parametrize(("names", "open_to_it"), BY_GRANTS)
@pytest.mark.parametrize("local", [True, False])
def test_by_grants(names: set[str], open_to_it: set[str], *, local: bool) -> None:
    """With CALLERS its names alone decide, wherever the server listens."""
    callers = Callers(local=local, mutual=True, grants=GRANTS)

    assert open_to_it == {m for m in ALL if callers.permits(m, frozenset(names))}


def test_grant_of_a_service() -> None:
    """Every method of a service that is granted whole is open."""
    callers = Callers(local=False, mutual=True, grants=GRANTS)
    permitted = [
        callers.permits(f"/kratos_signup.v1.SignupService/{name}", frozenset({SPIFFE}))
        for name in METHODS["SignupService"]
    ]

    assert [True] * 6 == permitted


SERVED = [
    ({}, True, True),
    ({"listen": "unix:/run/signupd"}, True, True),
    ({"listen": "0.0.0.0:1", "insecure": True}, True, False),
]


@pytest.mark.parametrize(("settings", "signups", "accounts"), SERVED)
def test_served_by_the_settings(
    settings: dict[str, object], *, signups: bool, accounts: bool
) -> None:
    """What is served to nobody is not served."""
    callers = callers_of(Settings.model_validate(settings))

    assert signups is callers.serves(SIGNUP_SERVICE)
    assert accounts is callers.serves(ACCOUNT_SERVICE)


@pytest.mark.parametrize(
    ("names", "signups", "accounts"),
    [
        (None, True, False),
        ([SPIFFE], True, False),
        (["account.example"], False, True),
        (["both.example"], True, True),
    ],
)
def test_served_by_grants(
    names: list[str] | None, *, signups: bool, accounts: bool
) -> None:
    """A service is served where some certificate may call something of it."""
    grants = None if names is None else {name: GRANTS[name] for name in names}
    callers = Callers(local=True, mutual=True, grants=grants)

    assert signups is callers.serves(SIGNUP_SERVICE)
    assert accounts is callers.serves(ACCOUNT_SERVICE)


def caller(certificate: bytes, *, granted: bool = False) -> str:
    """Name the caller that a certificate stands for."""
    grants = GRANTS if granted else None
    return Callers(local=False, mutual=True, grants=grants).peer_of(certificate).caller


def test_caller() -> None:
    """A caller goes by all its names, in whatever order its certificate has them."""
    one = AUTHORITY.issue(dns("web.example"), uri(SPIFFE)).cert
    renewed = AUTHORITY.issue(uri(SPIFFE), dns("web.example")).cert
    other = AUTHORITY.issue(uri(SPIFFE)).cert

    assert f"{SPIFFE} web.example" == caller(one) == caller(renewed)
    assert SPIFFE == caller(other)


def test_caller_that_is_granted_something() -> None:
    """With CALLERS a caller goes by the names there, whatever else its certificate has.

    Each instance of a caller may have a host name of its own.
    """
    one, other = (AUTHORITY.issue(dns(f"web-{n}"), uri(SPIFFE)).cert for n in (1, 2))
    stranger = AUTHORITY.issue(dns("web-1")).cert

    assert SPIFFE == caller(one, granted=True) == caller(other, granted=True)
    assert "web-1" == caller(stranger, granted=True)


def test_caller_without_a_name() -> None:
    """Certificates that name nobody are told apart all the same, and fit the ledger."""
    one, other = (AUTHORITY.issue(common_name="web").cert for _ in range(2))

    assert caller(one) == caller(one) != caller(other)
    assert [65, 65] == [len(caller(one)), len(caller(other))]


def test_caller_with_long_names() -> None:
    """Names that are too long for the ledger become a digest, and stay apart."""
    longest = f"{SPIFFE}/" + "x" * (MAX_CALLER_CHARS - len(SPIFFE) - 1)
    names = [longest, f"{longest}y", f"{longest}z"]
    callers = [caller(AUTHORITY.issue(uri(name)).cert) for name in names]

    assert longest == callers[0]
    assert [255, 65, 65] == [len(name) for name in callers]
    assert 3 == len(set(callers))

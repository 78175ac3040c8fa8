"""The hooks of a real Kratos: ours out of reach, and an operator's beside ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.doubles.authority import Authority
from tests.e2e.broken import AFTER, after_registration
from tests.e2e.caller import refusal
from tests.e2e.checking import check, config_of, settings_of
from tests.e2e.frail import Frail
from tests.e2e.neighbours import OperatorHooks
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack, wrong_codes

PASSWORD = f"{AFTER}.password.hooks"


def test_dead_code_hook(frail: Frail, address: str) -> None:
    """A right code still proves the mailbox, and the log names the setting."""
    frail.code_way.close()
    stack, log = frail.stack, frail.stack.log()
    token = stack.caller.start(address).continuation_token
    code = stack.code(address)
    (wrong,) = wrong_codes(code, 1)
    refused = refusal(stack.caller.verify, token, wrong)
    verified = stack.caller.verify(token, code)
    (line,) = log.said("code_hook_dead", 1)
    nothing = stack.admin.identities(address)
    done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)

    assert "CODE_INCORRECT" == refused.reason
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state
    assert "error" == line["level"]
    assert f"{AFTER}.code.hooks" in line["why"]
    assert [] == nothing
    assert stack.admin.identity(done.signup.identity_id).verified


def over_tls(config: dict[str, Any]) -> None:
    """Have Kratos call our hooks by https."""
    for method in after_registration(config).values():
        called = method["hooks"][0]["config"]
        called["url"] = called["url"].replace("http:", "https:")


def test_over_tls(
    site: Site, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kratos calls the hooks over TLS, once it trusts the certificate's authority."""
    authority, trusted = Authority(), tmp_path / "trusted.pem"
    files = authority.serve_from(tmp_path)
    trusted.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    tls = {"HOOK_TLS_CERT": str(files.cert), "HOOK_TLS_KEY": str(files.key)}
    with site.stack(over_tls, tls) as stack:
        stack.wait_for_proof()
        account = stack.admin.identity(stack.registered(address))

    assert account.verified


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[tuple[Stack, OperatorHooks]]:
    """Start a Kratos that calls an operator's hooks too."""
    with OperatorHooks() as operator, site.stack(operator.mutate) as stack:
        stack.wait_for_proof()
        yield stack, operator


@pytest.fixture
def operator(shared: tuple[Stack, OperatorHooks]) -> Iterator[OperatorHooks]:
    """Give the operator's hooks, which want nothing yet."""
    yield shared[1]
    shared[1].forget()


@pytest.fixture
def beside(shared: tuple[Stack, OperatorHooks]) -> Stack:
    """Give the stack with them."""
    return shared[0]


@pytest.mark.parametrize("locale", ["de-CH", ""])
def test_payload(
    beside: Stack, operator: OperatorHooks, address: str, locale: str
) -> None:
    """An operator's hooks at the password get the sign-up's locale, if it has one."""
    started = beside.caller.start(address, locale=locale)
    code = beside.code(address)
    verified = beside.caller.verify(started.continuation_token, code)
    beside.caller.set_password(verified.continuation_token, GOOD_PASSWORD)

    expected = {"payload": {"locale": locale} if locale else {}}
    assert dict.fromkeys(["early", "late", "stored"], expected) == operator.asked


@pytest.mark.parametrize("name", ["early", "late"])
def test_refused(
    beside: Stack, operator: OperatorHooks, address: str, name: str
) -> None:
    """An operator's hook that refuses a registration is named, and may be mended."""
    log, token = beside.log(), beside.proved(address)
    operator.refusing.add(name)
    refused = refusal(beside.caller.set_password, token, GOOD_PASSWORD)
    (line,) = log.said("kratos_incompatible", 1)
    operator.forget()
    done = beside.caller.set_password(token, GOOD_PASSWORD)

    assert "KRATOS_INCOMPATIBLE" == refused.reason
    assert "refused this person" in line["why"]
    assert PASSWORD in line["why"]
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state


def test_check_is_refused(beside: Stack, operator: OperatorHooks) -> None:
    """The check names the hook before ours that refuses its registration."""
    operator.refusing.add("early")
    file = ("--kratos-config", config_of(beside.kratos))
    found = check(settings_of(beside.server), *file).fault("password_hook")

    assert "error" == found["severity"]
    assert f"Let entry 1 of {PASSWORD} pass addresses under" in found["cure"]


def test_refused_at_the_code(site: Site, address: str) -> None:
    """A hook before our code hook that refuses is told as that, not as an old code."""
    with OperatorHooks() as operator, site.stack(operator.mutate_code) as stack:
        stack.wait_for_proof()
        operator.refusing.add("code")
        log, token = stack.log(), stack.caller.start(address).continuation_token
        refused = refusal(stack.caller.verify, token, stack.code(address))
        (line,) = log.said("kratos_incompatible", 1)
        file = ("--kratos-config", config_of(stack.kratos))
        faults = check(settings_of(stack.server), *file).faults

    assert "KRATOS_INCOMPATIBLE" == refused.reason
    assert f"{AFTER}.code.hooks, put the web_hook to /kratos/code" in line["why"]
    assert {"hook_order": "warning"} == faults


METADATA = {"metadata_admin": {"theirs": 1}}


def unproved(address: str) -> dict[str, Any]:
    """Give what makes an address of a new identity one that is not verified."""
    unverified = {"via": "email", "verified": False, "status": "pending"}
    return {"verifiable_addresses": [{"value": address, **unverified}]}


@pytest.mark.parametrize("name", ["early", "late"])
def test_metadata(
    beside: Stack, operator: OperatorHooks, address: str, name: str
) -> None:
    """What a hook before or after ours wants as metadata is stored, beside our mark."""
    operator.wanted[name] = METADATA
    account = beside.admin.identity(beside.registered(address))

    assert account.verified
    assert METADATA["metadata_admin"] == account.metadata_admin


def test_metadata_and_a_crash(
    beside: Stack, operator: OperatorHooks, address: str
) -> None:
    """If the server dies when the account is stored, the account is still known."""
    operator.wanted["late"] = METADATA
    token = crashed(beside, operator, address)
    other = refusal(beside.caller.set_password, token, f"{GOOD_PASSWORD}!")
    again = beside.caller.set_password(token, GOOD_PASSWORD)
    (account,) = beside.admin.identities(address)

    assert "PASSWORD_ALREADY_SET" == other.reason
    assert pb.SIGNUP_STATE_COMPLETED == again.signup.state
    assert (account.id, True) == (again.signup.identity_id, account.verified)
    assert 0 == beside.admin.session_count(account.id)


def test_addresses_replaced(
    beside: Stack, operator: OperatorHooks, address: str
) -> None:
    """A later hook can make the account one that is not verified; the log complains."""
    log, operator.wanted["late"] = beside.log(), unproved(address)
    account = beside.caller.account(identity_id=beside.registered(address))

    assert (False, False) == (account.email_verified, account.complete)
    assert beside.visitor.login(address, GOOD_PASSWORD)
    assert ["error"] == [line["level"] for line in log.said("account_unverified")]


def test_addresses_replaced_and_a_crash(
    beside: Stack, operator: OperatorHooks, address: str
) -> None:
    """Then nothing tells whose the account is, after a crash; it stays all the same."""
    operator.wanted["late"] = unproved(address)
    token = crashed(beside, operator, address)
    again = beside.caller.set_password(token, GOOD_PASSWORD)

    assert pb.SIGNUP_STATE_ALREADY_REGISTERED == again.signup.state
    assert not again.signup.existing_account_verified
    assert beside.visitor.login(address, GOOD_PASSWORD)


def crashed(beside: Stack, operator: OperatorHooks, address: str) -> str:
    """Kill the server when Kratos has stored an account, and start it; give a token."""
    token = beside.proved(address)
    operator.on_stored = beside.server.kill
    lost = refusal(beside.caller.set_password, token, GOOD_PASSWORD)
    beside.server.start()

    assert grpc.StatusCode.UNAVAILABLE is lost.code
    return token

"""Nobody registers at Kratos' public API past the service."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from aiohttp.http import SERVER_SOFTWARE
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.visitor import Answer, Visitor
from tests.e2e.caller import refusal
from tests.e2e.holdings import identity_ids, registration_flow_ids, session_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, similar_to

EVIL_PASSWORD = "three rusty kettles"
PROVED, UNKNOWN_FLOW = 9999001, 9999002

METHODS = [
    *("profile", "oidc", "webauthn", "passkey", "link", "totp", "lookup_secret"),
    *("saml", "admin", ""),
]
# signupd's, and that of Kratos when it asks a hook.
AGENTS = [SERVER_SOFTWARE, "Go-http-client/1.1", "kratos"]


@pytest.fixture
def nothing_stored(stack: Stack) -> Iterator[None]:
    """Demand that Kratos holds no more accounts and sessions than before."""
    before = identity_ids(stack.kratos), session_ids(stack.kratos)
    yield

    assert before == (identity_ids(stack.kratos), session_ids(stack.kratos))


@pytest.fixture
def browser(stack: Stack) -> Iterator[httpx.Client]:
    """Open a browser without a window, at Kratos' public API."""
    url, headers = stack.kratos.public_url, {"Accept": "application/json"}
    with httpx.Client(
        base_url=url, headers=headers, trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("proved", [False, True])
@pytest.mark.parametrize("agent", AGENTS)
def test_password(stack: Stack, address: str, agent: str, *, proved: bool) -> None:
    """By a password Kratos asks the hook, which says no.

    It is no help to call oneself what signupd is called, or Kratos, nor that the
    owner of the address is about to set a password.
    """
    if proved:
        stack.proved(address)
    with Visitor(stack.kratos.public_url, agent) as visitor:
        answer = visitor.register_by_password({"email": address}, EVIL_PASSWORD)

    assert (400, "") == (answer.status, answer.identity_id)
    assert UNKNOWN_FLOW in answer.messages


@pytest.mark.usefixtures("nothing_stored")
def test_code(stack: Stack, address: str) -> None:
    """The right code is taken and stores nothing; its flow takes no password."""
    traits = {"email": address}
    sent = stack.visitor.send_code(traits)
    code = stack.code(address)
    answers = [stack.visitor.submit_code(sent.flow_id, traits, code) for _ in range(2)]
    body = {"method": "password", "traits": traits, "password": EVIL_PASSWORD}
    password = stack.visitor.register(body, sent.flow_id)

    assert PROVED in answers[0].messages
    assert {(400, "passed_challenge", "")} == {
        (one.status, one.state, one.identity_id) for one in answers
    }
    assert (400, "") == (password.status, password.identity_id)


@pytest.mark.usefixtures("nothing_stored")
def test_browser(stack: Stack, browser: httpx.Client, address: str) -> None:
    """A browser fares no better, by a password or by a code."""
    traits = {"email": address}
    password = {"method": "password", "password": EVIL_PASSWORD, "traits": traits}
    by_password = _register(browser, password)
    flow = _open(browser)
    _submit(browser, flow, {"method": "code", "traits": traits})
    body = {"method": "code", "traits": traits, "code": stack.code(address)}
    by_code = _submit(browser, flow, body)

    assert [400, 400] == [by_password.status_code, by_code.status_code]
    assert str(UNKNOWN_FLOW) in by_password.text
    assert str(PROVED) in by_code.text


@pytest.mark.usefixtures("nothing_stored")
class TestOtherMethods:
    """By whatever else Kratos knows."""

    @pytest.mark.parametrize("method", METHODS)
    def test_methods(
        self, stack: Stack, browser: httpx.Client, address: str, method: str
    ) -> None:
        """No other method registers anybody, by the API or in a browser."""
        body = {
            "method": method,
            "traits": {"email": address},
            "password": EVIL_PASSWORD,
            "provider": "google",
            "code": "123456",
        }
        answer = stack.visitor.register(body)
        shown = _register(browser, body)

        assert answer.status in (400, 404)
        assert "" == answer.identity_id
        assert shown.status_code in (400, 404)

    @pytest.mark.parametrize("kind", ["login", "recovery", "verification"])
    def test_other_flows(self, stack: Stack, address: str, kind: str) -> None:
        """Nor does another kind of flow, for an address that has no account."""
        with httpx.Client(
            base_url=stack.kratos.public_url, trust_env=False, timeout=60
        ) as client:
            flow = client.get(f"/self-service/{kind}/api").json()
            body = {"method": "code", "identifier": address, "email": address}
            answer = client.post(
                f"/self-service/{kind}", params={"flow": flow["id"]}, json=body
            )

        assert "session_token" not in answer.text


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("flow_id", [str(uuid.uuid4()), "1", "../x"])
def test_forged(stack: Stack, address: str, flow_id: str) -> None:
    """Nor does a flow that Kratos never opened."""
    (answer,) = _replays(stack, {flow_id}, address)

    assert answer.status in (400, 404)
    assert "" == answer.identity_id


def test_replayed(stack: Stack, address: str) -> None:
    """Nor do the flows of a sign-up, if they leak, before its end or after it."""
    before, other = flows_of_others(stack), new_address()
    token = stack.proved(address)
    refusal(stack.caller.set_password, token, similar_to(address))
    half_way = registration_flow_ids(stack.kratos) - before
    first = _replays(stack, half_way, address, other)
    nobody = stack.admin.identities(address) + stack.admin.identities(other)
    identity_id = stack.caller.set_password(token, GOOD_PASSWORD).signup.identity_id
    account = stack.admin.identity(identity_id)
    flows = registration_flow_ids(stack.kratos) - before
    second = _replays(stack, flows, address, other)

    assert (2, 3) == (len(half_way), len(flows))
    assert [] == nobody
    assert {(400, "")} == {(one.status, one.identity_id) for one in (*first, *second)}
    assert account == stack.admin.identity(identity_id)
    assert [] == stack.admin.identities(other)
    assert stack.visitor.login(address, GOOD_PASSWORD)
    assert not stack.visitor.login(address, EVIL_PASSWORD)


def flows_of_others(stack: Stack) -> set[str]:
    """List Kratos' flows, after a sign-up: one a minute reads the schema by a flow."""
    stack.caller.start(new_address())
    return registration_flow_ids(stack.kratos)


def _replays(stack: Stack, flows: set[str], *addresses: str) -> list[Answer]:
    """Set a password by each flow, for each address."""
    body = {"method": "password", "password": EVIL_PASSWORD}
    return [
        stack.visitor.register({**body, "traits": {"email": address}}, flow)
        for flow in flows
        for address in addresses
    ]


def _open(browser: httpx.Client) -> dict[str, Any]:
    opened = browser.get("/self-service/registration/browser")
    flow: dict[str, Any] = opened.raise_for_status().json()
    return flow


def _submit(
    browser: httpx.Client, flow: dict[str, Any], body: dict[str, Any]
) -> httpx.Response:
    (csrf,) = [
        node["attributes"]["value"]
        for node in flow["ui"]["nodes"]
        if node["attributes"]["name"] == "csrf_token"
    ]
    # Kratos' cookies are for https alone, so they are not sent by themselves.
    cookies = "; ".join(f"{one.name}={one.value}" for one in browser.cookies.jar)
    return browser.post(
        "/self-service/registration",
        params={"flow": flow["id"]},
        json={**body, "csrf_token": csrf},
        headers={"Cookie": cookies},
    )


def _register(browser: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return _submit(browser, _open(browser), body)


def test_leaked_code_flow(stack: Stack, address: str) -> None:
    """A code flow that was passed for another mailbox proves nothing of this one."""
    mine, before = new_address(), flows_of_others(stack)
    token = stack.caller.start(address).continuation_token
    (flow_id,) = registration_flow_ids(stack.kratos) - before

    def post(**body: str) -> None:
        whole = {"method": "code", "traits": {"email": mine}, **body}
        stack.visitor.register(whole, flow_id)

    post(resend="code")
    reasons = [refusal(stack.caller.verify, token, "123456").reason]
    post(resend="code")
    post(code=stack.code(mine, 2))
    state = stack.caller.get(token).signup.state
    reasons.append(refusal(stack.caller.verify, token, "123456").reason)

    assert pb.SIGNUP_STATE_CODE_REQUIRED == state
    assert ["CODE_EXPIRED"] * 2 == reasons

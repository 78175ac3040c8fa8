"""The hook port: dead, away for a while, and asked by strangers."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.ports import LOOPBACK
from tests.e2e.broken import AFTER
from tests.e2e.errors import refusal
from tests.e2e.frail import Frail
from tests.e2e.holdings import registration_flow_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, similar_to, wrong_codes

# Kratos tries a dead hook three times, a second and two between.
DEAD_HOOK_SECONDS = 2.5
PROVED, UNKNOWN_FLOW, NOT_NOW = 9999001, 9999002, 9999003


class TestDeadCodeHook:
    """A code hook that Kratos cannot reach."""

    def test_proves(self, frail: Frail, address: str) -> None:
        """A right code still proves: slowly, and the log says so loudly."""
        frail.code_way.close()
        stack, log = frail.stack, frail.stack.log()
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        (wrong,) = wrong_codes(code, 1)
        refused = refusal(stack.caller.verify, token, wrong)
        begun = time.monotonic()
        verified = stack.caller.verify(token, code)
        took = time.monotonic() - begun
        (line,) = log.said("code_hook_dead")

        assert "CODE_INCORRECT" == refused.reason
        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state
        assert DEAD_HOOK_SECONDS < took
        assert "error" == line["level"]
        assert f"{AFTER}.code.hooks" in line["why"]
        assert [] == stack.admin.identities(address)
        # The repeat needs no hook, and so no patience.
        assert verified.signup == stack.caller.verify(token, code).signup
        done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
        assert stack.admin.identity(done.signup.identity_id).verified

    def test_taken(self, frail: Frail, address: str) -> None:
        """Nor does it hide that an account is there."""
        stack = frail.stack
        identity_id = stack.registered(address)
        frail.code_way.close()
        token = stack.caller.start(address).continuation_token
        verified = stack.caller.verify(token, stack.code(address, 2))

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state
        assert [identity_id] == [one.id for one in stack.admin.identities(address)]


class TestDeadPasswordHook:
    """A password hook that Kratos cannot reach any more."""

    def test_stores_nothing(self, frail: Frail, address: str) -> None:
        """Nothing is stored, and when the hook is back the same call completes."""
        stack, log = frail.stack, frail.stack.log()
        token = stack.proved(address)
        frail.password_way.close()
        refused = refusal(stack.caller.set_password, token, GOOD_PASSWORD)
        nothing = stack.admin.identities(address)
        frail.password_way.open()
        done = stack.caller.set_password(token, GOOD_PASSWORD)

        assert "KRATOS_INCOMPATIBLE" == refused.reason
        assert refused.signup is not None
        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == refused.signup.state
        assert 20 == refused.signup.password_attempts_remaining
        assert f"{AFTER}.password.hooks" in log.complaints()
        assert [] == nothing
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert stack.visitor.login(address, GOOD_PASSWORD)


class TestStrangers:
    """Whoever reaches the hook port."""

    def test_code(self, stack: Stack) -> None:
        """The code hook says the same to everybody: nothing is to be stored."""
        answers = {
            _post(stack, "code", body).text for body in (b"", b"{}", b"\xff", b"[1]")
        }

        assert 1 == len(answers)
        assert PROVED == _message(json.loads(answers.pop()))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b"[" * 5000,
            b'{"flow_id": 1}',
            b'{"flow_id": "", "email": ""}',
            b'{"flow_id": {}, "email": []}',
        ],
        ids=lambda body: repr(body[:40]),
    )
    def test_garbage(self, stack: Stack, body: bytes) -> None:
        """The password hook says no to what it cannot read."""
        answer = _post(stack, "password", body)

        assert 403 == answer.status_code
        assert UNKNOWN_FLOW == _message(answer.json())

    def test_flows(self, stack: Stack, address: str) -> None:
        """It says no to any flow that no call is at work on, whoever's it is."""
        before, other = registration_flow_ids(stack.kratos), new_address()
        token = stack.proved(address)
        refusal(stack.caller.set_password, token, similar_to(address))
        stack.registered(other)
        flows = registration_flow_ids(stack.kratos) - before
        asked = [
            json.dumps({"flow_id": flow, "email": one}).encode()
            for flow in (*flows, str(uuid.uuid4()))
            for one in (address, other)
        ]
        answers = [_post(stack, "password", body) for body in asked]

        assert 4 == len(flows)
        assert {403} == {one.status_code for one in answers}
        assert {UNKNOWN_FLOW, NOT_NOW} >= {_message(one.json()) for one in answers}

    def test_too_large(self, stack: Stack) -> None:
        """It does not read without end."""
        assert 413 == _post(stack, "password", b" " * 100_000).status_code

    def test_nothing_else(self, stack: Stack) -> None:
        """There is nothing else to be had."""
        url = f"http://{LOOPBACK}:{stack.server.hook_port}"
        statuses = {
            method: httpx.request(method, url + path, trust_env=False).status_code
            for method, path in (("GET", "/kratos/code"), ("POST", "/kratos"))
        }

        assert {"GET": 405, "POST": 404} == statuses

    def test_without_the_key(self, frail: Frail) -> None:
        """Where a key is set, whoever lacks it hears nothing; the log tells of it."""
        log = frail.stack.log()
        answers = [
            _post(frail.stack, hook, b"{}", key)
            for hook in ("code", "password")
            for key in ("", "x", frail.hook_key[:-1], f"{frail.hook_key}x")
        ]

        assert {403} == {one.status_code for one in answers}
        assert "messages" not in "".join(one.text for one in answers)
        assert 8 == len(log.said("hook_key_wrong"))

    def test_other_address(self, frail: Frail, address: str) -> None:
        """The flow of a call at work is agreed to for the call's own address alone."""
        stack = frail.stack
        token, before = stack.proved(address), registration_flow_ids(stack.kratos)
        frail.password_way.hold()
        with ThreadPoolExecutor() as pool:
            call = pool.submit(stack.caller.set_password, token, GOOD_PASSWORD)
            frail.password_way.wait_for_request()
            (flow,) = registration_flow_ids(stack.kratos) - before
            body = json.dumps({"flow_id": flow, "email": f"eve-{address}"}).encode()
            answer = _post(stack, "password", body, frail.hook_key)
            frail.password_way.open()
            done = call.result()

        assert (403, NOT_NOW) == (answer.status_code, _message(answer.json()))
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert [] == stack.admin.identities(f"eve-{address}")


def _post(stack: Stack, hook: str, body: bytes, key: str = "") -> httpx.Response:
    url = f"http://{LOOPBACK}:{stack.server.hook_port}/kratos/{hook}"
    return httpx.post(
        url, content=body, headers={"X-Hook-Key": key}, trust_env=False, timeout=60
    )


def _message(body: dict[str, Any]) -> int:
    """Read the one message's id, as Kratos would."""
    ((only,),) = [one["messages"] for one in body["messages"]]
    return int(only["id"])

"""The code: how often it may be guessed, and what it tells of an account."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.errors import Refusal, refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wrong_codes

OTHER_PASSWORD = "nine small anchors"


class TestWrong:
    """Codes that are not the one in the mail."""

    def test_counted_down(self, stack: Stack, address: str) -> None:
        """Five wrong codes are too many; then not even the right one helps."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        refusals = [
            refusal(stack.caller.verify, token, wrong) for wrong in wrong_codes(code, 5)
        ]
        last = [refusal(stack.caller.verify, token, code) for _ in range(2)]

        assert [("CODE_INCORRECT", left) for left in (4, 3, 2, 1, 0)] == [
            _left(refused) for refused in refusals
        ]
        assert [("CODE_ATTEMPTS_EXHAUSTED", 0)] * 2 == [_left(one) for one in last]
        assert grpc.StatusCode.RESOURCE_EXHAUSTED == last[0].status
        assert [] == stack.admin.identities(address)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same calls for an address that has an account, and for a free one."""

    taken: list[Any]
    free: list[Any]
    mails: list[str]


@pytest.fixture(scope="module")
def pair(stack: Stack) -> Pair:
    """Go as far as a stranger gets, once with each."""
    taken, free = new_address(), new_address()
    stack.registered(taken)
    answers: dict[str, list[Any]] = {}
    mails = []
    for address in (taken, free):
        count = len(stack.mailbox.mails_to(address)) + 1
        started = stack.caller.start(address, traits={"name": "Ann"})
        token = started.continuation_token
        mail = stack.mailbox.wait_for(address, count)
        mails.append(mail.text.replace(mail.code, "CODE"))
        (wrong,) = wrong_codes(mail.code, 1)
        refused = refusal(stack.caller.verify, token, wrong)
        answers[address] = [
            _shape(started),
            _shape(refused.signup),
            (refused.status, refused.message, refused.reason, refused.faults),
            _shape(stack.caller.get(token)) | {"codeDelivery": ""},
        ]
    return Pair(answers[taken], answers[free], mails)


class TestTaken:
    """An address that has an account."""

    def test_alike(self, pair: Pair) -> None:
        """The answers are those of a free address, and so is the mail, code aside."""
        assert pair.free == pair.taken
        assert pair.mails[0] == pair.mails[1]

    def test_after_the_code(self, stack: Stack, address: str) -> None:
        """The right code tells that an account is there, and leaves it as it was."""
        before = stack.admin.identity(stack.registered(address))
        token = stack.caller.start(address, traits={"name": "Eve"}).continuation_token
        code = stack.code(address, 2)
        verified = stack.caller.verify(token, code)
        refused = refusal(stack.caller.set_password, token, OTHER_PASSWORD)

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state
        assert ("", "") == (verified.continuation_token, verified.signup.identity_id)
        assert "STEP_MISMATCH" == refused.reason
        assert [before] == stack.admin.identities(address)
        assert stack.visitor.login(address, GOOD_PASSWORD)
        assert not stack.visitor.login(address, OTHER_PASSWORD)


def _left(refused: Refusal) -> tuple[str, int]:
    """Give the reason, and the attempts that are left."""
    assert refused.signup is not None
    return refused.reason, refused.signup.code_attempts_remaining


def _shape(message: Message | None) -> dict[str, Any]:
    """Give a message without what differs from one sign-up to the next."""
    assert message is not None
    return dict(_shapes(MessageToDict(message)))


def _shapes(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield name, dict(_shapes(value))
        elif name.endswith("Time") or name in ("signupId", "continuationToken"):
            # Digits and letters may differ, their number may not.
            yield name, re.sub(r"[\w-]", "x", value.split(".")[0])
        else:
            yield name, value

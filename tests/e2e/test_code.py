"""The code: wrong ones, and addresses that have an account already."""

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
    """A code that is not the one in the mail."""

    def test_refused(self, stack: Stack, address: str) -> None:
        """A wrong code costs an attempt, and the Signup in the error says so."""
        started = stack.caller.start(address)
        (wrong,) = wrong_codes(stack.code(address), 1)
        refused = refusal(stack.caller.verify, started.continuation_token, wrong)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "CODE_INCORRECT" == refused.reason
        assert "kratos-signup" == refused.domain
        expected = pb.Signup()
        expected.CopyFrom(started.signup)
        expected.code_attempts_remaining = 4
        assert expected == refused.signup

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

    def test_fifth_is_right(self, stack: Stack, address: str) -> None:
        """The last attempt is a real one."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        for wrong in wrong_codes(code, 4):
            refusal(stack.caller.verify, token, wrong)
        verified = stack.caller.verify(token, code)

        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state

    def test_same_again(self, stack: Stack, address: str) -> None:
        """The same wrong code again costs nothing."""
        token = stack.caller.start(address).continuation_token
        (wrong,) = wrong_codes(stack.code(address), 1)
        refusals = [refusal(stack.caller.verify, token, wrong) for _ in range(7)]

        assert [("CODE_INCORRECT", 4)] * 7 == [_left(one) for one in refusals]

    @pytest.mark.parametrize("length", [1, 5, 7, 16])
    def test_length(self, stack: Stack, address: str, length: int) -> None:
        """A code of another length is as wrong as any."""
        token = stack.caller.start(address).continuation_token
        refused = refusal(stack.caller.verify, token, "1" * length)

        assert ("CODE_INCORRECT", 4) == _left(refused)

    @pytest.mark.parametrize(
        "code",
        [
            "",
            "12345a",
            " 123456",
            "123456\n",
            "12\x003456",
            "\x1b12345",
            "-12345",
            "1" * 17,
            "١٢٣٤٥٦",
        ],
    )
    def test_no_code(self, stack: Stack, address: str, code: str) -> None:
        """What is not digits is no code; it costs no attempt."""
        token = stack.caller.start(address).continuation_token
        refused = refusal(stack.caller.verify, token, code)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "REQUEST_INVALID" == refused.reason
        assert ["code"] == refused.fields
        assert 5 == stack.caller.get(token).signup.code_attempts_remaining

    def test_of_another_mail(self, stack: Stack, address: str) -> None:
        """The code of another sign-up proves nothing, though the mailbox is one."""
        first = stack.caller.start(address).continuation_token
        first_code = stack.code(address)
        second = stack.caller.start(address).continuation_token
        second_code = stack.code(address, 2)
        # One time in a million the two are the same.
        others = [(first, second_code), (second, first_code)]
        refusals = [refusal(stack.caller.verify, *other) for other in others]

        assert ["CODE_INCORRECT"] * 2 == [one.reason for one in refusals]


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
        """Nobody who cannot read the mail learns it: all answers are alike."""
        assert pair.free == pair.taken

    def test_mail_alike(self, pair: Pair) -> None:
        """Nor is it in the mail, code aside."""
        taken, free = pair.mails

        assert free == taken

    def test_after_the_code(self, stack: Stack, address: str) -> None:
        """The right code tells: an account is there already, and that is the end."""
        stack.registered(address)
        token = stack.caller.start(address).continuation_token
        code = stack.code(address, 2)
        for wrong in wrong_codes(code, 2):
            assert "CODE_INCORRECT" == refusal(stack.caller.verify, token, wrong).reason
        verified = stack.caller.verify(token, code)

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state
        assert "" == verified.continuation_token
        assert "" == verified.signup.identity_id
        assert "a***@example.com" == verified.signup.masked_email
        assert verified == stack.caller.verify(token, code)
        seen = stack.caller.get(token)
        assert ("", verified.signup) == (seen.continuation_token, seen.signup)

    def test_untouched(self, stack: Stack, address: str) -> None:
        """The account is as it was, and so is its password."""
        identity_id = stack.registered(address)
        before = stack.admin.identity(identity_id)
        token = stack.caller.start(address, traits={"name": "Eve"}).continuation_token
        code = stack.code(address, 2)
        stack.caller.verify(token, code)
        refused = refusal(stack.caller.set_password, token, OTHER_PASSWORD)

        assert "STEP_MISMATCH" == refused.reason
        assert [before] == stack.admin.identities(address)
        assert stack.visitor.login(address, GOOD_PASSWORD)
        assert not stack.visitor.login(address, OTHER_PASSWORD)

    def test_in_other_letters(self, stack: Stack, address: str) -> None:
        """An address is the same in any case of its letters."""
        stack.registered(address)
        token = stack.caller.start(address.upper()).continuation_token
        verified = stack.caller.verify(token, stack.code(address, 2))

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state


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

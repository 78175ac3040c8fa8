"""The same call again, as after a lost answer, and two sign-ups of one address."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.errors import read, refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack, wrong_codes

OTHER_PASSWORD = "nine small anchors"


class TestStart:
    """StartSignup with a request id."""

    def test_alike(self, stack: Stack, address: str) -> None:
        """The same request gives the same sign-up, and one mail."""
        request_id = str(uuid.uuid4())

        def start() -> pb.StartSignupResponse:
            return stack.caller.start(
                address, traits={"name": "Ann"}, locale="de", request_id=request_id
            )

        first, *others = [start() for _ in range(3)]

        assert [first.signup] * 2 == [one.signup for one in others]
        assert 1 == len(stack.admin.courier_messages(address))

    def test_every_token(self, stack: Stack, address: str) -> None:
        """Each token that came of it is good; the address' case does not matter."""
        request_id = str(uuid.uuid4())
        first = stack.caller.start(address, request_id=request_id)
        second = stack.caller.start(address.upper(), request_id=request_id)
        code = stack.code(address)
        verified = stack.caller.verify(second.continuation_token, code)

        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state
        assert verified.signup == stack.caller.get(first.continuation_token).signup

    def test_at_once(self, stack: Stack, address: str) -> None:
        """The same request many times at once is one sign-up and one mail."""
        request_id, barrier = str(uuid.uuid4()), threading.Barrier(4)

        def start() -> str:
            barrier.wait()
            return stack.caller.start(address, request_id=request_id).signup.signup_id

        with ThreadPoolExecutor(4) as pool:
            ids = [one.result() for one in [pool.submit(start) for _ in range(4)]]

        assert 1 == len(set(ids))
        assert 1 == len(stack.admin.courier_messages(address))

    def test_later(self, stack: Stack, address: str) -> None:
        """It tells how the sign-up stands, with a token of the first step only."""
        request_id = str(uuid.uuid4())
        started = stack.caller.start(address, request_id=request_id)
        code = stack.code(address)
        verified = stack.caller.verify(started.continuation_token, code)
        again = stack.caller.start(address, request_id=request_id)
        refused = refusal(
            stack.caller.set_password, again.continuation_token, GOOD_PASSWORD
        )
        stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
        done = stack.caller.start(address, request_id=request_id)

        assert verified.signup == again.signup
        assert "STEP_MISMATCH" == refused.reason
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert "" == done.continuation_token
        assert 1 == len(stack.admin.courier_messages(address))

    @pytest.mark.parametrize("changed", ["email", "traits", "locale"])
    def test_reused(self, stack: Stack, address: str, changed: str) -> None:
        """The same id with another body is refused, and no mail goes."""
        request_id = str(uuid.uuid4())
        stack.caller.start(address, traits={"name": "Ann"}, request_id=request_id)
        other = address.replace("ann", "bob")
        refused = refusal(
            stack.caller.start,
            other if changed == "email" else address,
            traits={"name": "Bob" if changed == "traits" else "Ann"},
            locale="de" if changed == "locale" else "",
            request_id=request_id,
        )

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "REQUEST_ID_REUSED" == refused.reason
        assert refused.signup is None
        assert [] == stack.admin.courier_messages(other)
        assert 1 == len(stack.admin.courier_messages(address))

    def test_without(self, stack: Stack, address: str) -> None:
        """Without an id each call is a sign-up of its own, with its own mail."""
        first, second = (stack.caller.start(address) for _ in range(2))

        assert first.signup.signup_id != second.signup.signup_id
        assert 2 == len(stack.admin.courier_messages(address))


class TestVerify:
    """VerifyCode again."""

    def test_alike(self, stack: Stack, address: str) -> None:
        """The right code again gives the same answer, as often as it comes."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        first, *others = [stack.caller.verify(token, code) for _ in range(8)]

        assert [first.signup] * 7 == [one.signup for one in others]
        assert others[-1].continuation_token

    def test_other_code(self, stack: Stack, address: str) -> None:
        """Another code after the proof is as wrong as before, five times."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        verified = stack.caller.verify(token, code)
        reasons = [
            refusal(stack.caller.verify, token, wrong).reason
            for wrong in wrong_codes(code, 6)
        ]
        right = refusal(stack.caller.verify, token, code)

        assert ["CODE_INCORRECT"] * 5 == reasons[:5]
        assert ["CODE_ATTEMPTS_EXHAUSTED"] * 2 == [reasons[5], right.reason]
        # Whoever holds the token of the password step goes on all the same.
        token = verified.continuation_token
        done = stack.caller.set_password(token, GOOD_PASSWORD)
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state

    def test_after_the_end(self, stack: Stack, address: str) -> None:
        """It still tells how the sign-up ended, and gives no token."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        verified = stack.caller.verify(token, code)
        done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
        again = stack.caller.verify(token, code)

        assert ("", done.signup) == (again.continuation_token, again.signup)


class TestSetPassword:
    """SetPassword again."""

    def test_alike(self, stack: Stack, address: str) -> None:
        """The same password again gives the same answer, and makes nothing."""
        token = stack.proved(address)
        first, *others = [
            stack.caller.set_password(token, GOOD_PASSWORD) for _ in range(3)
        ]

        assert pb.SIGNUP_STATE_COMPLETED == first.signup.state
        assert [first] * 2 == others
        assert 1 == len(stack.admin.identities(address))

    def test_at_once(self, stack: Stack, address: str) -> None:
        """The same password many times at once makes one account."""
        token, barrier = stack.proved(address), threading.Barrier(4)

        def set_password() -> pb.SetPasswordResponse:
            barrier.wait()
            return stack.caller.set_password(token, GOOD_PASSWORD)

        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(set_password) for _ in range(4)]
            answers = [one.result() for one in calls]

        assert [answers[0]] * 4 == answers
        assert 1 == len(stack.admin.identities(address))

    def test_given_up(self, stack: Stack, address: str) -> None:
        """A caller who gave up waiting finds the work done, or joins it."""
        token = stack.proved(address)
        request = pb.SetPasswordRequest(
            continuation_token=token, password=GOOD_PASSWORD
        )
        with pytest.raises(grpc.RpcError) as caught:
            stack.caller.signups.SetPassword(request, timeout=0.05)
        done = stack.caller.set_password(token, GOOD_PASSWORD)

        assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code()
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert 1 == len(stack.admin.identities(address))

    def test_others_at_once(self, stack: Stack, address: str) -> None:
        """Of many passwords at once one is set, and each caller learns which."""
        token, barrier = stack.proved(address), threading.Barrier(4)
        passwords = [f"{GOOD_PASSWORD} {number}" for number in range(4)]

        def set_password(password: str) -> str:
            barrier.wait()
            return _outcome(stack, token, password)

        with ThreadPoolExecutor(4) as pool:
            first = list(pool.map(set_password, passwords))
        again = [_outcome(stack, token, password) for password in passwords]
        logins = [stack.visitor.login(address, password) for password in passwords]

        assert {"COMPLETED", "SIGNUP_BUSY", "PASSWORD_ALREADY_SET"} >= set(first)
        assert ["COMPLETED" == one for one in first] == logins
        assert 1 == sum(logins)
        assert [
            "COMPLETED" if login else "PASSWORD_ALREADY_SET" for login in logins
        ] == again

    def test_other_password(self, stack: Stack, address: str) -> None:
        """Another password is told apart, and changes nothing."""
        token = stack.proved(address)
        done = stack.caller.set_password(token, GOOD_PASSWORD)
        refused = refusal(stack.caller.set_password, token, OTHER_PASSWORD)

        assert grpc.StatusCode.FAILED_PRECONDITION == refused.status
        assert "PASSWORD_ALREADY_SET" == refused.reason
        assert done.signup == refused.signup
        assert stack.visitor.login(address, GOOD_PASSWORD)
        assert not stack.visitor.login(address, OTHER_PASSWORD)

    def test_refused_password(self, stack: Stack, address: str) -> None:
        """A password that was refused on the way is not the one that was set."""
        token = stack.proved(address)
        refusal(stack.caller.set_password, token, address[3:-2] + "#1")
        stack.caller.set_password(token, GOOD_PASSWORD)
        refused = refusal(stack.caller.set_password, token, address[3:-2] + "#1")

        assert "PASSWORD_ALREADY_SET" == refused.reason


class TestTwoSignups:
    """Two sign-ups of one address, both proved."""

    def test_first_has_it(self, stack: Stack, address: str) -> None:
        """The first password makes the account; the other learns that one is there."""
        first, second = stack.proved(address), stack.proved(address)
        lost = stack.caller.get(first).signup
        won = stack.caller.set_password(second, GOOD_PASSWORD).signup
        late = stack.caller.set_password(first, OTHER_PASSWORD)

        assert pb.SIGNUP_STATE_COMPLETED == won.state
        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == late.signup.state
        assert (lost.signup_id, "") == (late.signup.signup_id, late.continuation_token)
        assert "" == late.signup.identity_id
        assert late == stack.caller.set_password(first, OTHER_PASSWORD)
        assert [won.identity_id] == [one.id for one in stack.admin.identities(address)]
        assert stack.visitor.login(address, GOOD_PASSWORD)
        assert not stack.visitor.login(address, OTHER_PASSWORD)

    def test_same_password(self, stack: Stack, address: str) -> None:
        """The same password does not make the other's account one's own."""
        first, second = stack.proved(address), stack.proved(address)
        stack.caller.set_password(first, GOOD_PASSWORD)
        late = stack.caller.set_password(second, GOOD_PASSWORD)

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == late.signup.state

    def test_code_after_the_account(self, stack: Stack, address: str) -> None:
        """A code mailed before the account was there tells of it."""
        token = stack.caller.start(address).continuation_token
        code = stack.code(address)
        stack.registered(address)
        verified = stack.caller.verify(token, code)

        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state
        assert "" == verified.continuation_token


def _outcome(stack: Stack, token: str, password: str) -> str:
    """Set a password; give the state it led to, or the reason against it."""
    try:
        signup = stack.caller.set_password(token, password).signup
    except grpc.RpcError as error:
        return read(error).reason
    return pb.SignupState.Name(signup.state).removeprefix("SIGNUP_STATE_")

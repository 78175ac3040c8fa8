"""One sign-up at a terminal: address, code, password, over the generated stub."""

from __future__ import annotations

import getpass
import math
import sys
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.client.refusal import refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from signupd.client.refusal import Refusal

# For a call and its retries; SetPassword may take Kratos 30 s and a look-up.
DEADLINE_SECONDS: Final = 60.0

# After these errors the same question is asked again. Any other ends the sign-up.
ASKS_AGAIN: Final = frozenset(
    {
        "CODE_EXPIRED",
        "CODE_INCORRECT",
        "EMAIL_INVALID",
        "KRATOS_UNAVAILABLE",
        "LEDGER_UNAVAILABLE",
        "OVERLOADED",
        "PASSWORD_REJECTED",
        "REQUEST_INVALID",
        "RESEND_TOO_SOON",
        "SEND_LIMIT_REACHED",
        "SIGNUP_BUSY",
    }
)
_START_AGAIN: Final = "Start again."
# What to do; after other errors that end the sign-up, to start again.
_ADVICE: Final = {
    "CALLER_NOT_PERMITTED": "Use another certificate: --cert and --key.",
    "CODE_EXPIRED": "Press Enter to get a new code.",
    "INTERNAL": "The service's log says more.",
    "KRATOS_INCOMPATIBLE": "Run signupd check where the service runs.",
    "PASSWORD_ALREADY_SET": "Sign in with that password.",
    "TRAITS_INVALID": "Set the traits with --traits.",
}
# What is said when an answer brings the sign-up to a state: {0} is the Signup, {1} its
# expire_time.
_REACHED: Final = {
    pb.SIGNUP_STATE_CODE_REQUIRED: (
        "A code was mailed to {0.masked_email}. Enter it before {1:%H:%M:%S} UTC."
    ),
    pb.SIGNUP_STATE_PASSWORD_REQUIRED: (
        "The address is verified. Choose a password: at least "
        "{0.password_policy.min_length} characters, at most "
        "{0.password_policy.max_bytes} bytes."
    ),
    pb.SIGNUP_STATE_COMPLETED: "The account is ready: {0.identity_id}",
    pb.SIGNUP_STATE_ALREADY_REGISTERED: "This address already has an account. Sign in.",
    pb.SIGNUP_STATE_EXPIRED: f"The sign-up has expired. {_START_AGAIN}",
    pb.SIGNUP_STATE_CANCELLED: f"The sign-up was cancelled. {_START_AGAIN}",
}
_UNKNOWN: Final = "The sign-up's state is unknown: {0.state}."


class _EndedError(Exception):
    """The sign-up ended without an account, and the person was told why."""


class Dialogue:
    """Leads a person through one sign-up. It reads from standard input.

    Args:
        channel: To the service; it retries by itself.
        say: Shows a line.
        email: The address; empty to ask for it.
        traits: Further traits, JSON values by name.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        say: Callable[[str], None],
        email: str,
        traits: Mapping[str, Any],
    ) -> None:
        self._stub = SignupServiceStub(channel)
        self._say = say
        self._email = email
        self._traits = traits
        self._token = ""
        self._signup = pb.Signup()

    def run(self) -> bool:
        """Ask until there is an account. The end of the input cancels the sign-up.

        Returns:
            Whether an account was made.
        """
        steps = {
            pb.SIGNUP_STATE_UNSPECIFIED: self._start,
            pb.SIGNUP_STATE_CODE_REQUIRED: self._prove,
            pb.SIGNUP_STATE_PASSWORD_REQUIRED: self._set_password,
        }
        with suppress(_EndedError):
            try:
                while step := steps.get(self._signup.state):
                    step()
            except EOFError:
                self._cancel()
        return self._signup.state == pb.SIGNUP_STATE_COMPLETED

    def _start(self) -> None:
        email = self._email or input("E-mail address: ").strip()
        self._email = ""
        request = pb.StartSignupRequest(email=email, request_id=str(uuid.uuid4()))
        request.traits.update(self._traits)
        self._call(self._stub.StartSignup, request)

    def _prove(self) -> None:
        token, code = self._token, input("Code (press Enter for a new one): ").strip()
        if code:
            verify = pb.VerifyCodeRequest(continuation_token=token, code=code)
            self._call(self._stub.VerifyCode, verify)
        else:
            id_ = str(uuid.uuid4())
            resend = pb.ResendCodeRequest(continuation_token=token, request_id=id_)
            self._call(self._stub.ResendCode, resend)

    def _set_password(self) -> None:
        token, password = self._token, _ask_hidden("Password: ")
        if password != _ask_hidden("Repeat the password: "):
            self._say("The passwords do not match.")
            return
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        self._call(self._stub.SetPassword, request)

    def _cancel(self) -> None:
        """End the sign-up now instead of letting it expire."""
        if self._token:
            request = pb.CancelSignupRequest(continuation_token=self._token)
            self._call(self._stub.CancelSignup, request)

    def _call(self, method: Callable[..., Any], request: object) -> None:
        """Make a call, keep its answer, and say what happened.

        Raises:
            _EndedError: It failed, and asking the same question again is of no use.
        """
        try:
            response = method(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            self._explain(refusal_of(error))
            return
        self._token, self._signup = response.continuation_token, response.signup
        said = _REACHED.get(self._signup.state, _UNKNOWN)
        self._say(said.format(self._signup, self._signup.expire_time.ToDatetime()))

    def _explain(self, refusal: Refusal) -> None:
        """Say why a call failed, and what to do; raises as ``_call``."""
        if not refusal.reason:
            status = refusal.status.name
            self._say(f"The service did not answer: {status}, {refusal.message}")
            raise _EndedError
        self._say(f"{refusal.message} ({refusal.reason})")
        for fault in refusal.faults.field_violations:
            reason = f" ({fault.reason})" if fault.reason else ""
            self._say(f"- {fault.field} {fault.description}{reason}")
        attempts = _attempts_left(refusal)
        if attempts is not None:
            self._say(f"Attempts left: {attempts}.")
        if refusal.retry_seconds:
            self._say(f"Try again in {math.ceil(refusal.retry_seconds)} s.")
        elif refusal.reason == "SEND_LIMIT_REACHED":
            self._say("No further mail can be sent for this sign-up.")
        ended = refusal.reason not in ASKS_AGAIN or attempts == 0
        advice = _ADVICE.get(refusal.reason, _START_AGAIN if ended else "")
        if advice:
            self._say(advice)
        if ended:
            raise _EndedError


def _attempts_left(refusal: Refusal) -> int | None:
    """Return the attempts that are left; None if the error is not about them."""
    if refusal.signup.signup_id and refusal.reason == "CODE_INCORRECT":
        return refusal.signup.code_attempts_remaining
    if refusal.signup.signup_id and refusal.reason == "PASSWORD_REJECTED":
        return refusal.signup.password_attempts_remaining
    return None


def _ask_hidden(question: str) -> str:
    # A pipe does not echo, and getpass would look for a terminal past it.
    return getpass.getpass(question) if sys.stdin.isatty() else input(question)

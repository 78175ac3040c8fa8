"""One sign-up at a terminal: address, code, password, over the generated stub."""

import getpass
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.client.channel import Refusal, call

# For a call and its retries; SetPassword may take Kratos 30 s and a look-up.
DEADLINE_SECONDS: Final = 60.0

# After these errors, and after any that says when to retry, the same question is asked
# again. Any other ends the sign-up.
_ASKS_AGAIN: Final = {
    "CODE_EXPIRED",
    "CODE_INCORRECT",
    "EMAIL_INVALID",
    "PASSWORD_REJECTED",
    "REQUEST_INVALID",
    "SEND_LIMIT_REACHED",
}
# The errors that have a number of attempts left, by its name in the Signup.
_ATTEMPTS: Final = {
    "CODE_INCORRECT": "code_attempts_remaining",
    "PASSWORD_REJECTED": "password_attempts_remaining",
}
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
    pb.SIGNUP_STATE_ALREADY_REGISTERED: (
        "This address already has an account (verified: "
        "{0.existing_account_verified}). Sign in if it is yours."
    ),
    pb.SIGNUP_STATE_EXPIRED: f"The sign-up has expired. {_START_AGAIN}",
    pb.SIGNUP_STATE_CANCELLED: f"The sign-up was cancelled. {_START_AGAIN}",
}
_UNKNOWN: Final = "The sign-up's state is unknown: {0.state}."


class _EndedError(Exception):
    """The sign-up ended without an account, and the person was told why."""


@dataclass(slots=True)
class Dialogue:
    """Leads a person through one sign-up. It reads from standard input."""

    stub: SignupServiceStub  # its channel retries
    say: Callable[[str], None]
    email: str  # empty to ask for it
    traits: Mapping[str, Any]
    _token: str = field(default="", init=False)
    _signup: pb.Signup = field(default_factory=pb.Signup, init=False)

    def run(self) -> bool:
        """Ask until there is an account; return whether there is one.

        The end of the input cancels the sign-up.
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
                if self._token:
                    request = pb.CancelSignupRequest(continuation_token=self._token)
                    self._call(self.stub.CancelSignup, request)
        return self._signup.state == pb.SIGNUP_STATE_COMPLETED

    def _start(self) -> None:
        email = self.email or input("E-mail address: ").strip()
        self.email = ""
        request = pb.StartSignupRequest(email=email, request_id=str(uuid.uuid4()))
        request.traits.update(self.traits)
        self._call(self.stub.StartSignup, request)

    def _prove(self) -> None:
        token, code = self._token, input("Code (press Enter for a new one): ").strip()
        if code:
            verify = pb.VerifyCodeRequest(continuation_token=token, code=code)
            self._call(self.stub.VerifyCode, verify)
        else:
            id_ = str(uuid.uuid4())
            resend = pb.ResendCodeRequest(continuation_token=token, request_id=id_)
            self._call(self.stub.ResendCode, resend)

    def _set_password(self) -> None:
        token, password = self._token, _ask_hidden("Password: ")
        if password != _ask_hidden("Repeat the password: "):
            self.say("The passwords do not match.")
            return
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        self._call(self.stub.SetPassword, request)

    def _call(self, method: Callable[..., Any], request: object) -> None:
        """Make a call, keep its answer, and say what happened.

        Raises:
            _EndedError: It failed, and asking the same question again is of no use.
        """
        try:
            response = call(method, request, DEADLINE_SECONDS)
        except Refusal as refusal:
            self._explain(refusal)
            return
        self._token, self._signup = response.continuation_token, response.signup
        said = _REACHED.get(self._signup.state, _UNKNOWN)
        self.say(said.format(self._signup, self._signup.expire_time.ToDatetime()))

    def _explain(self, refusal: Refusal) -> None:
        """Say why a call failed, and what to do; raises as ``_call``."""
        if not refusal.reason:
            said = f"{refusal.status}, {refusal.message}"
            self.say(f"The service did not answer: {said}")
            raise _EndedError
        self.say(f"{refusal.message} ({refusal.reason})")
        for fault in refusal.faults.field_violations:
            reason = f" ({fault.reason})" if fault.reason else ""
            self.say(f"- {fault.field} {fault.description}{reason}")
        attempts = None
        if refusal.signup.signup_id and refusal.reason in _ATTEMPTS:
            attempts = getattr(refusal.signup, _ATTEMPTS[refusal.reason])
            self.say(f"Attempts left: {attempts}.")
        if refusal.retry_seconds:
            self.say(f"Try again in {math.ceil(refusal.retry_seconds)} s.")
        elif refusal.reason == "SEND_LIMIT_REACHED":
            self.say("No further mail can be sent for this sign-up.")
        again = refusal.reason in _ASKS_AGAIN or refusal.retry_seconds
        ended = not again or attempts == 0
        advice = _ADVICE.get(refusal.reason, _START_AGAIN if ended else "")
        if advice:
            self.say(advice)
        if ended:
            raise _EndedError


def _ask_hidden(question: str) -> str:
    # A pipe does not echo, and getpass would look for a terminal past it.
    return getpass.getpass(question) if sys.stdin.isatty() else input(question)

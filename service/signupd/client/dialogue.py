"""One sign-up at a terminal: address, code, password, over the generated stub."""

from __future__ import annotations

import getpass
import math
import sys
import uuid
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.client.refusal import refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from signupd.client.refusal import Refusal

# For a call and its retries; SetPassword may take Kratos 30 s and a look-up.
DEADLINE_SECONDS: Final = 60.0

# After these errors the same question is asked again.
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
# What to do, if the service's own sentence does not say it.
ADVICE: Final = {
    "ACCOUNT_NOT_FOUND": "",
    "CALLER_NOT_PERMITTED": "Use another certificate: --cert and --key.",
    "CODE_ATTEMPTS_EXHAUSTED": _START_AGAIN,
    "CODE_EXPIRED": "Press Enter to get a new code.",
    "DEADLINE_TOO_SHORT": _START_AGAIN,
    "INTERNAL": "The service's log says more.",
    "KRATOS_INCOMPATIBLE": "",
    "PASSWORD_ALREADY_SET": "Sign in with that password.",
    "PASSWORD_ATTEMPTS_EXHAUSTED": _START_AGAIN,
    "REQUEST_ID_REUSED": _START_AGAIN,
    "SIGNUP_CANCELLED": _START_AGAIN,
    "SIGNUP_EXPIRED": _START_AGAIN,
    "STEP_MISMATCH": _START_AGAIN,
    "TOKEN_INVALID": _START_AGAIN,
    "TRAITS_INVALID": "Set the traits with --traits.",
}
_ENDINGS: Final = {
    pb.SIGNUP_STATE_ALREADY_REGISTERED: (
        "This address already has an account. Sign in."
    ),
    pb.SIGNUP_STATE_EXPIRED: f"The sign-up has expired. {_START_AGAIN}",
    pb.SIGNUP_STATE_CANCELLED: f"The sign-up was cancelled. {_START_AGAIN}",
}
_UNFINISHED: Final = (
    pb.SIGNUP_STATE_CODE_REQUIRED,
    pb.SIGNUP_STATE_PASSWORD_REQUIRED,
    pb.SIGNUP_STATE_COMPLETED,
)


class _Response(Protocol):
    """What all responses of SignupService have."""

    @property
    def continuation_token(self) -> str: ...

    @property
    def signup(self) -> pb.Signup: ...


class _EndedError(Exception):
    """The sign-up ended without an account, and the person was told why."""


class Dialogue:
    """Leads a person through one sign-up. It reads from standard input.

    Args:
        channel: To the service; it retries by itself.
        say: Shows a line.
    """

    def __init__(self, channel: grpc.Channel, say: Callable[[str], None]) -> None:
        self._stub = SignupServiceStub(channel)
        self._say = say
        self._token = ""
        self._signup = pb.Signup()

    def run(self, email: str, traits: Mapping[str, Any]) -> bool:
        """Ask until there is an account. The end of the input cancels the sign-up.

        Args:
            email: The address; empty to ask for it.
            traits: Further traits, JSON values by name.

        Returns:
            Whether an account was made.
        """
        try:
            self._start(email, traits)
            self._prove()
            self._set_password()
        except _EndedError:
            return False
        except EOFError:
            self._cancel()
            return False
        return True

    def _start(self, email: str, traits: Mapping[str, Any]) -> None:
        while not self._token:
            email = email or input("E-mail address: ").strip()
            request = pb.StartSignupRequest(email=email, request_id=_request_id())
            request.traits.update(traits)
            self._call(self._stub.StartSignup, request)
            email = ""
        self._say_mailed()

    def _prove(self) -> None:
        while self._signup.state == pb.SIGNUP_STATE_CODE_REQUIRED:
            code = input("Code (press Enter for a new one): ").strip()
            if code:
                verify = pb.VerifyCodeRequest(continuation_token=self._token, code=code)
                self._call(self._stub.VerifyCode, verify)
            else:
                resend = pb.ResendCodeRequest(
                    continuation_token=self._token, request_id=_request_id()
                )
                if self._call(self._stub.ResendCode, resend):
                    self._say_mailed()

    def _set_password(self) -> None:
        policy = self._signup.password_policy
        self._say(
            "The address is verified. Choose a password: at least "
            f"{policy.min_length} characters, at most {policy.max_bytes} bytes."
        )
        while self._signup.state == pb.SIGNUP_STATE_PASSWORD_REQUIRED:
            password = _ask_hidden("Password: ")
            if password != _ask_hidden("Repeat the password: "):
                self._say("The passwords do not match.")
                continue
            request = pb.SetPasswordRequest(
                continuation_token=self._token, password=password
            )
            self._call(self._stub.SetPassword, request)
        self._say(f"The account is ready: {self._signup.identity_id}")

    def _cancel(self) -> None:
        """End the sign-up now instead of letting it expire."""
        if self._token:
            request = pb.CancelSignupRequest(continuation_token=self._token)
            with suppress(_EndedError):  # which says that it was cancelled, or why not
                self._call(self._stub.CancelSignup, request)

    def _call(self, method: Callable[..., _Response], request: object) -> bool:
        """Make a call, and keep what it answers.

        Returns:
            False if the call failed and the same question is to be asked again.

        Raises:
            _EndedError: The sign-up cannot go on.
        """
        try:
            response = method(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            self._explain(refusal_of(error))
            return False
        self._token, self._signup = response.continuation_token, response.signup
        state = self._signup.state
        if state not in _UNFINISHED:
            self._say(_ENDINGS.get(state, f"The sign-up's state is unknown: {state}."))
            raise _EndedError
        return True

    def _explain(self, refusal: Refusal) -> None:
        """Say why a call failed, and what to do.

        Raises:
            _EndedError: Asking the same question again is of no use.
        """
        if not refusal.reason:
            status = refusal.status.name
            self._say(f"The service did not answer: {status}, {refusal.message}")
            raise _EndedError
        self._say(f"{refusal.message} ({refusal.reason})")
        for fault in refusal.violations:
            reason = f" ({fault.reason})" if fault.reason else ""
            self._say(f"- {fault.field} {fault.description}{reason}")
        attempts = _attempts(refusal)
        for line in _advice(refusal, attempts):
            self._say(line)
        if refusal.reason not in ASKS_AGAIN or attempts == 0:
            raise _EndedError

    def _say_mailed(self) -> None:
        until = self._signup.expire_time.ToDatetime(tzinfo=UTC)
        self._say(
            f"A code was mailed to {self._signup.masked_email}. "
            f"Enter it before {until:%H:%M:%S} UTC."
        )


def _attempts(refusal: Refusal) -> int | None:
    """Return the attempts that are left; None if the error is not about one."""
    signup = refusal.signup
    if signup is not None and refusal.reason == "CODE_INCORRECT":
        return signup.code_attempts_remaining
    if signup is not None and refusal.reason == "PASSWORD_REJECTED":
        return signup.password_attempts_remaining
    return None


def _advice(refusal: Refusal, attempts: int | None) -> Iterator[str]:
    if attempts is not None:
        yield f"Attempts left: {attempts}."
    if refusal.retry_seconds is not None:
        yield f"Try again in {math.ceil(refusal.retry_seconds)} s."
    elif refusal.reason == "SEND_LIMIT_REACHED":
        yield "No further mail can be sent for this sign-up."
    if ADVICE.get(refusal.reason):
        yield ADVICE[refusal.reason]
    elif attempts == 0:
        yield _START_AGAIN


def _ask_hidden(question: str) -> str:
    # A pipe does not echo, and getpass would look for a terminal past it.
    return getpass.getpass(question) if sys.stdin.isatty() else input(question)


def _request_id() -> str:
    return str(uuid.uuid4())

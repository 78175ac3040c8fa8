"""A caller that takes every answer, a refusal too, as a value."""

from dataclasses import dataclass
from typing import Any

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.waiting import wait_until
from tests.e2e.caller import Caller as SynchronousCaller
from tests.e2e.caller import Options
from tests.refusal import read_refusal

CALL_SECONDS = 60.0
PERSIST_SECONDS = 60.0
# The one answer that comes without a reason of ours: nobody is there.
UNAVAILABLE = "UNAVAILABLE"
# What repeating a call is the cure for.
REPEATABLE = {UNAVAILABLE, "SIGNUP_BUSY", "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE"}
TRIES = 20
STATE_PREFIX = "SIGNUP_STATE_"
OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Servers are killed and started again here.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)

Request = (
    pb.StartSignupRequest
    | pb.ResendCodeRequest
    | pb.VerifyCodeRequest
    | pb.SetPasswordRequest
    | pb.CancelSignupRequest
    | pb.GetSignupRequest
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call.

    Attributes:
        what: The state that an answer shows, such as `COMPLETED`; else the reason it
            was refused for.
        token: The answer's; empty with a refusal.
        signup: The sign-up as shown, if it is.
        retry_seconds: RetryInfo's delay; None without one.
        status: The gRPC status code.
    """

    what: str
    token: str = ""
    signup: pb.Signup | None = None
    retry_seconds: float | None = None
    status: grpc.StatusCode = grpc.StatusCode.OK

    @property
    def shown(self) -> pb.Signup:
        """The sign-up, which must be there."""
        if self.signup is None:
            raise AssertionError(f"no sign-up is shown: {self}")
        return self.signup


class Pending:
    """A call under way."""

    def __init__(self, future: Any) -> None:
        self._future = future

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return bool(self._future.done())

    def cancel(self) -> None:
        """Stop waiting for the answer."""
        self._future.cancel()

    def outcome(self) -> Outcome:
        """Wait for what comes of it."""
        try:
            answer = self._future.result(CALL_SECONDS)
        except grpc.RpcError as error:
            refused = read_refusal(error)
            what = refused.reason or refused.code.name
            seconds = refused.retry_seconds
            return Outcome(what, "", refused.signup, seconds, refused.code)
        state = pb.SignupState.Name(answer.signup.state).removeprefix(STATE_PREFIX)
        return Outcome(state, answer.continuation_token, answer.signup)


class Caller(SynchronousCaller):
    """Calls one server that is killed and started again.

    Args:
        target: Such as `127.0.0.1:50051`.
        options: Further options of the channel.
    """

    def __init__(self, target: str, options: Options = ()) -> None:
        super().__init__(target, (*OPTIONS, *options))

    def begin(self, request: Request, seconds: float | None = CALL_SECONDS) -> Pending:
        """Make a call, without waiting for it."""
        rpc = request.DESCRIPTOR.name.removesuffix("Request")
        return Pending(getattr(self.signups, rpc).future(request, timeout=seconds))

    def ask(self, request: Request, seconds: float | None = CALL_SECONDS) -> Outcome:
        """Make a call."""
        return self.begin(request, seconds).outcome()

    def ask_in_time(self, request: Request, seconds: float) -> Outcome:
        """Call until the server's answer is there before this side gives up by itself.

        The server answers a tenth of a second before the deadline, and a machine may
        stand still for that long.
        """
        for _ in range(TRIES):
            outcome = self.ask(request, seconds)
            if outcome.what != grpc.StatusCode.DEADLINE_EXCEEDED.name:
                return outcome
        raise AssertionError("the server does not answer in time")

    def persist(self, request: Request) -> Outcome:
        """Repeat a call for as long as repeating it is what the answer asks for."""

        def final() -> Outcome | None:
            outcome = self.ask(request)
            if outcome.what not in REPEATABLE:
                return outcome
            if outcome.what != UNAVAILABLE and outcome.retry_seconds is None:
                raise AssertionError(f"does not say when to repeat: {outcome}")
            return None

        return wait_until(final, "an answer that is final", PERSIST_SECONDS)

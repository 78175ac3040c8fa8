"""A front end, as far as the service can tell: the generated synchronous stubs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import account_service_pb2_grpc, signup_service_pb2_grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.server import NO_PROXY
from tests.refusal import Refusal, read_refusal

# Longer than the slowest answer: a hook that is dead costs Kratos 3 s.
CALL_SECONDS = 60.0

Options = Sequence[tuple[str, Any]]


class Caller:
    """Calls one server.

    A context manager; outside of one call `close`.

    Args:
        target: Such as `127.0.0.1:50051`.
        options: Of the channel.
    """

    def __init__(self, target: str, options: Options = NO_PROXY) -> None:
        self.channel = grpc.insecure_channel(target, options)
        self.signups = signup_service_pb2_grpc.SignupServiceStub(self.channel)
        self.accounts = account_service_pb2_grpc.AccountServiceStub(self.channel)
        # Its types know none of its methods.
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()

    def start(
        self,
        email: str,
        *,
        traits: Mapping[str, Any] | None = None,
        locale: str = "",
        request_id: str = "",
    ) -> pb.StartSignupResponse:
        """Call StartSignup."""
        request = pb.StartSignupRequest(
            email=email, locale=locale, request_id=request_id
        )
        request.traits.update(traits or {})
        return self.signups.StartSignup(request, timeout=CALL_SECONDS)

    def verify(self, token: str, code: str) -> pb.VerifyCodeResponse:
        """Call VerifyCode."""
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        return self.signups.VerifyCode(request, timeout=CALL_SECONDS)

    def set_password(self, token: str, password: str) -> pb.SetPasswordResponse:
        """Call SetPassword."""
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        return self.signups.SetPassword(request, timeout=CALL_SECONDS)

    def get(self, token: str) -> pb.GetSignupResponse:
        """Call GetSignup."""
        request = pb.GetSignupRequest(continuation_token=token)
        return self.signups.GetSignup(request, timeout=CALL_SECONDS)

    def account(self, **key: str) -> accounts_pb.Account:
        """Call GetAccount."""
        request = accounts_pb.GetAccountRequest(**key)
        return self.accounts.GetAccount(request, timeout=CALL_SECONDS).account

    def health_of(self, service: str = "") -> str:
        """Ask the health service; the server as a whole when none is named.

        Returns:
            The status' name, such as `SERVING`.
        """
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self.health.Check(request, timeout=CALL_SECONDS)
        names = health_pb2.HealthCheckResponse.ServingStatus
        return str(names.Name(answer.status))


def refusal(call: Callable[..., object], *args: object, **named: object) -> Refusal:
    """Make a call that must be refused, with these arguments, and read why it was."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **named)
    return read_refusal(caught.value)

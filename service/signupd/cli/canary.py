"""The canary's client of SignupService."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.check.client import CallRefusedError, Step
from signupd.notation import dialled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path

# Longer than the slowest answer, in which Kratos waits 30 s for a hook.
CALL_SECONDS: Final = 60.0
_DETAILS_KEY: Final = "grpc-status-details-bin"
# A proxy of the environment is not the way to our own server.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)

Response = (
    pb.StartSignupResponse
    | pb.GetSignupResponse
    | pb.VerifyCodeResponse
    | pb.SetPasswordResponse
    | pb.CancelSignupResponse
)
T = TypeVar("T", bound=Response)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to know a server, and be known to it; all of them files in PEM.

    Args:
        ca: Certificates to trust instead of the system's.
        cert: Our own certificate, where the server wants one.
        key: Its private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class CanaryClient:
    """Calls a running server. An asynchronous context manager.

    Args:
        target: ``host:port``, or ``unix:path``.
        tls: None for plaintext.

    Raises:
        OSError: A file cannot be read.
    """

    def __init__(self, target: str, tls: Tls | None) -> None:
        self._channel = _channel(dialled(target), tls)
        self._stub = SignupServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def start(self, email: str, traits: Mapping[str, Any]) -> Step:
        """Call StartSignup."""
        request = pb.StartSignupRequest(email=email)
        request.traits.update(traits)
        return await _step(self._stub.StartSignup(request, timeout=CALL_SECONDS))

    async def get(self, token: str) -> Step:
        """Call GetSignup."""
        request = pb.GetSignupRequest(continuation_token=token)
        return await _step(self._stub.GetSignup(request, timeout=CALL_SECONDS))

    async def verify(self, token: str, code: str) -> Step:
        """Call VerifyCode."""
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        return await _step(self._stub.VerifyCode(request, timeout=CALL_SECONDS))

    async def set_password(self, token: str, password: str) -> Step:
        """Call SetPassword."""
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        return await _step(self._stub.SetPassword(request, timeout=CALL_SECONDS))

    async def cancel(self, token: str) -> Step:
        """Call CancelSignup."""
        request = pb.CancelSignupRequest(continuation_token=token)
        return await _step(self._stub.CancelSignup(request, timeout=CALL_SECONDS))


def _channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    ca, cert, key = (
        None if file is None else file.read_bytes()
        for file in (tls.ca, tls.cert, tls.key)
    )
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.aio.secure_channel(target, credentials, _OPTIONS)


async def _step(call: Awaitable[Response]) -> Step:
    """Wait for an answer, and read it."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        raise _refusal(error) from error
    signup = answer.signup
    delivery = pb.CodeDelivery.Name(signup.code_delivery)
    return Step(
        uuid.UUID(signup.signup_id),
        pb.SignupState.Name(signup.state).removeprefix("SIGNUP_STATE_"),
        delivery.removeprefix("CODE_DELIVERY_"),
        answer.continuation_token,
    )


def _refusal(error: grpc.aio.AioRpcError) -> CallRefusedError:
    info = error_details_pb2.ErrorInfo()
    for detail in _details(error):
        detail.Unpack(info)
    return CallRefusedError(info.reason, error.code().name)


def _details(error: grpc.aio.AioRpcError) -> list[Any]:
    packed = dict(error.trailing_metadata()).get(_DETAILS_KEY, b"")
    try:
        return [*status_pb2.Status.FromString(packed).details]
    except (DecodeError, TypeError):
        return []

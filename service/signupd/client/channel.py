"""The channel to a server, and why a call over it failed."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.errors import DOMAIN

# As docs/integration.md tells callers; every RPC of the service may be repeated.
_RETRY_POLICY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "1s",
    "maxBackoff": "4s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"],
}
_METHODS: Final = [{"service": "kratos_signup.v1.SignupService"}]
_RETRIED: Final = {"name": _METHODS, "retryPolicy": _RETRY_POLICY}
RETRIES: Final = json.dumps({"methodConfig": [_RETRIED]})


@dataclass(frozen=True, slots=True)
class Tls:
    """How to authenticate the server, and this client; files in PEM."""

    ca: Path | None = None  # to trust instead of the system's
    cert: Path | None = None
    key: Path | None = None


def open_channel(target: str, tls: Tls | None, *, retry: bool = False) -> grpc.Channel:
    """Open a channel, in plaintext without ``tls``; it connects at the first call.

    A file that cannot be read is an OSError.
    """
    # A proxy of the environment is for the web, and would see where people sign up.
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if retry:
        options.append(("grpc.service_config", RETRIES))
    if tls is None:
        return grpc.insecure_channel(target, options)
    ca, key, cert = (
        None if path is None else path.read_bytes()
        for path in (tls.ca, tls.key, tls.cert)
    )
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.secure_channel(target, credentials, options)


@dataclass(eq=False)
class Refusal(Exception):
    """A call that failed, by its status and the details of google.rpc."""

    status: str  # the name of the gRPC status
    message: str
    reason: str  # of the contract; empty if the error is gRPC's or a proxy's
    faults: BadRequest
    retry_seconds: float  # after how long a retry can help; 0 if unknown
    signup: pb.Signup  # empty if unknown


def call(method: Callable[..., Any], request: object, seconds: float) -> Any:
    """Make a call of a stub once; raise a ``Refusal`` if it fails."""
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        raise _refusal(cast("grpc.Call", error)) from error  # it is both


def _refusal(failed: grpc.Call) -> Refusal:
    info, faults, retry, signup = ErrorInfo(), BadRequest(), RetryInfo(), pb.Signup()
    # Details that are malformed, or of another error, count as none.
    with suppress(DecodeError, ValueError):
        status = rpc_status.from_call(failed)
        for detail in status.details if status else ():
            for kind in (info, faults, retry, signup):
                detail.Unpack(kind)  # leaves other kinds alone
    reason = info.reason if info.domain == DOMAIN else ""
    delay = retry.retry_delay.ToMicroseconds() / 1e6
    name, message = failed.code().name, failed.details() or ""
    return Refusal(name, message, reason, faults, delay, signup)

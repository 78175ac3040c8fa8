"""A call, and why it failed, as google.rpc's details say (error_details.proto)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.errors import DOMAIN


@dataclass(eq=False)
class Refusal(Exception):
    """A call that failed.

    Args:
        status: The name of the gRPC status.
        message: The sentence that goes with it.
        reason: The name of one of the contract's reasons; empty if the error is not the
            service's own, but gRPC's or a proxy's.
        faults: Of the request's fields; may be empty.
        retry_seconds: After how long a retry can help; 0 if unknown.
        signup: The sign-up's current state; empty if unknown.
    """

    status: str
    message: str
    reason: str
    faults: BadRequest
    retry_seconds: float
    signup: pb.Signup


def call(method: Callable[..., Any], request: object, seconds: float) -> Any:
    """Make a call of a stub once.

    Raises:
        Refusal: It failed.
    """
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        raise _refusal(error) from error


def _refusal(error: grpc.RpcError) -> Refusal:
    failed = cast("grpc.Call", error)  # what a stub raises is both
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

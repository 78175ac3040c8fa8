"""Why a call failed, as google.rpc's details say (google/rpc/error_details.proto)."""

from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.errors import DOMAIN


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that failed.

    Args:
        status: The gRPC status.
        message: The sentence that goes with it.
        reason: The name of one of the contract's reasons; empty if the error is not the
            service's own, but gRPC's or a proxy's.
        faults: Of the request's fields; may be empty.
        retry_seconds: After how long a retry can help; 0 if unknown.
        signup: The sign-up's current state; empty if unknown.
    """

    status: grpc.StatusCode
    message: str
    reason: str
    faults: BadRequest
    retry_seconds: float
    signup: pb.Signup


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Read an error that a stub raised."""
    call = cast("grpc.Call", error)  # what a stub raises is both
    info, faults, retry, signup = ErrorInfo(), BadRequest(), RetryInfo(), pb.Signup()
    # Details that are malformed, or of another error, count as none.
    with suppress(DecodeError, ValueError):
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            for kind in (info, faults, retry, signup):
                detail.Unpack(kind)  # leaves other kinds alone
    reason = info.reason if info.domain == DOMAIN else ""
    delay = retry.retry_delay.ToMicroseconds() / 1e6
    return Refusal(call.code(), call.details() or "", reason, faults, delay, signup)

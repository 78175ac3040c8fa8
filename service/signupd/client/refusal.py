"""Why a call failed, as google.rpc's details say (google/rpc/error_details.proto)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.errors import DOMAIN, Violation

if TYPE_CHECKING:
    import grpc
    from google.rpc import status_pb2

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that failed.

    Args:
        status: The gRPC status.
        message: The sentence that goes with it.
        reason: The name of one of the contract's reasons; empty where the error is not
            the service's own, but gRPC's or somebody's in between.
        violations: The faults of the request's fields.
        retry_seconds: When another try can help; None where that is not said.
        signup: How the sign-up stands; None where that is not said.
    """

    status: grpc.StatusCode
    message: str
    reason: str = ""
    violations: tuple[Violation, ...] = ()
    retry_seconds: float | None = None
    signup: pb.Signup | None = None


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Read an error that a stub raised."""
    call = cast("grpc.Call", error)  # what stubs raise is both
    refusal = Refusal(call.code(), call.details() or "")
    try:
        status = rpc_status.from_call(call)
    except (DecodeError, ValueError):
        return refusal  # details that are none, or of another error
    return refusal if status is None else _detailed(refusal, status)


def _detailed(refusal: Refusal, status: status_pb2.Status) -> Refusal:
    info = _detail(status, error_details_pb2.ErrorInfo())
    faults = _detail(status, error_details_pb2.BadRequest())
    retry = _detail(status, error_details_pb2.RetryInfo())
    return Refusal(
        refusal.status,
        refusal.message,
        reason=info.reason if info and info.domain == DOMAIN else "",
        violations=tuple(
            Violation(fault.field, fault.description, fault.reason)
            for fault in (faults.field_violations if faults else ())
        ),
        retry_seconds=retry.retry_delay.ToMicroseconds() / 1e6 if retry else None,
        signup=_detail(status, pb.Signup()),
    )


def _detail(status: status_pb2.Status, empty: M) -> M | None:
    """Unpack the first detail of a kind."""
    return next((empty for one in status.details if one.Unpack(empty)), None)

"""What a call is refused with, its google.rpc details decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Fault:
    """One violation of a BadRequest."""

    field: str
    description: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the service.

    Attributes:
        status: The gRPC status code.
        message: The sentence that goes with it.
        reason: ErrorInfo's; of the contract's ErrorReason.
        domain: ErrorInfo's.
        faults: BadRequest's violations; empty without one.
        retry_seconds: RetryInfo's delay; None without one.
        signup: The sign-up as it stands; None without one.
    """

    status: grpc.StatusCode
    message: str
    reason: str
    domain: str
    faults: tuple[Fault, ...]
    retry_seconds: float | None
    signup: pb.Signup | None

    @property
    def fields(self) -> list[str]:
        """Name the fields at fault, in order."""
        return [fault.field for fault in self.faults]

    @property
    def rules(self) -> list[str]:
        """Name the reasons of the faults, in order."""
        return [fault.reason for fault in self.faults]


def refusal(call: Callable[..., object], *args: object, **named: object) -> Refusal:
    """Make a call that must be refused.

    Args:
        call: What to call, with the arguments that follow.
        *args: Its positional arguments.
        **named: Its named arguments.

    Returns:
        The refusal.
    """
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **named)
    return read(caught.value)


def read(error: grpc.RpcError) -> Refusal:
    """Decode an error that carries google.rpc details."""
    # What stubs raise is both; its types do not say so.
    call = cast("grpc.Call", error)
    status = rpc_status.from_call(call)
    if status is None:
        raise AssertionError(f"an error without details: {error}")
    details = list(status.details)
    info = _detail(details, error_details_pb2.ErrorInfo())
    bad = _detail(details, error_details_pb2.BadRequest())
    retry = _detail(details, error_details_pb2.RetryInfo())
    return Refusal(
        status=call.code(),
        message=status.message,
        reason=info.reason if info else "",
        domain=info.domain if info else "",
        faults=tuple(
            Fault(one.field, one.description, one.reason)
            for one in (bad.field_violations if bad else ())
        ),
        retry_seconds=retry.retry_delay.ToMicroseconds() / 1e6 if retry else None,
        signup=_detail(details, pb.Signup()),
    )


def _detail(details: list[Any], empty: M) -> M | None:
    """Unpack the one detail of a kind; more than one is a fault of the service."""
    unpacked = [one for one in details if one.Unpack(empty)]
    if len(unpacked) > 1:
        raise AssertionError(f"{len(unpacked)} details of one kind: {unpacked}")
    return empty if unpacked else None

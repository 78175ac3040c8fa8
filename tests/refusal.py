"""What a caller reads from an error, by google.rpc's error model."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from kratos_signup.v1 import signup_service_pb2 as pb

DETAILS_KEY = "grpc-status-details-bin"
KINDS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    pb.Signup,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the service, or of gRPC, which has no details.

    Attributes:
        code: The gRPC status.
        reason: ErrorInfo's; of the contract's ErrorReason.
        message: The sentence.
        faults: BadRequest's, each as field and reason.
        retry_seconds: RetryInfo's; None without one.
        signup: The sign-up as it stands; None without one.
        wire: All of it as text, to look for what must not be there.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    faults: list[tuple[str, str]]
    retry_seconds: float | None
    signup: pb.Signup | None
    wire: str

    @property
    def fields(self) -> list[str]:
        """The fields at fault, in order."""
        return [field for field, _ in self.faults]

    @property
    def rules(self) -> list[str]:
        """The reasons of the faults, in order."""
        return [reason for _, reason in self.faults]


def details_of(status: status_pb2.Status) -> dict[type[Any], Any]:
    """Unpack a status' details, by kind; another kind, or two of one, is a failure."""
    found = {}
    for detail in status.details:
        (kind,) = [kind for kind in KINDS if detail.Is(kind.DESCRIPTOR)]
        assert kind not in found
        found[kind] = kind.FromString(detail.value)
    return found


def read_refusal(error: Any) -> Refusal:
    """Read an error that a stub raised, of either kind of stub."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata.get(DETAILS_KEY, b""))
    found = details_of(status)
    info = found.get(error_details_pb2.ErrorInfo, error_details_pb2.ErrorInfo())
    bad = found.get(error_details_pb2.BadRequest, error_details_pb2.BadRequest())
    retry = found.get(error_details_pb2.RetryInfo)
    assert info.domain == ("kratos-signup" if found else "")
    return Refusal(
        code=error.code(),
        reason=info.reason,
        message=error.details() or "",
        faults=[(one.field, one.reason) for one in bad.field_violations],
        retry_seconds=retry.retry_delay.ToMicroseconds() / 1e6 if retry else None,
        signup=found.get(pb.Signup),
        wire=f"{error!r} {status}",
    )

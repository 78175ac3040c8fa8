"""Errors as gRPC statuses: one table from reason to status and sentence.

The details follow google.rpc's error model (google/rpc/error_details.proto): ErrorInfo
always, BadRequest for field faults, RetryInfo where waiting helps, and the current
sign-up if the caller's token was valid.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.errors import DOMAIN, SignupdError

DETAILS_KEY: Final = "grpc-status-details-bin"
INTERNAL: Final = "INTERNAL"
# gRPC's clients take 8 KiB of metadata, and the details come in base64.
MAX_FAULTS: Final = 16
MAX_FIELD_CHARS: Final = 64


class Row(NamedTuple):
    """What a reason becomes on the wire."""

    code: grpc.StatusCode
    message: str


_S: Final = grpc.StatusCode
_INVALID: Final = _S.INVALID_ARGUMENT
_FAILED: Final = _S.FAILED_PRECONDITION
_EXHAUSTED: Final = _S.RESOURCE_EXHAUSTED
STATUSES: Final[dict[str, Row]] = {
    "REQUEST_INVALID": Row(_INVALID, "A field is missing or malformed."),
    "EMAIL_INVALID": Row(_INVALID, "The e-mail address is not valid."),
    "TRAITS_INVALID": Row(_INVALID, "The traits are not valid."),
    "REQUEST_ID_REUSED": Row(_INVALID, "The request id was used for another request."),
    "TOKEN_INVALID": Row(_INVALID, "The continuation token is not valid."),
    "STEP_MISMATCH": Row(_FAILED, "The sign-up is at another step than this call."),
    "CODE_INCORRECT": Row(_INVALID, "The code is not correct."),
    "CODE_EXPIRED": Row(_FAILED, "The code has expired."),
    "CODE_ATTEMPTS_EXHAUSTED": Row(
        _EXHAUSTED, "Too many codes were tried on this sign-up."
    ),
    "RESEND_TOO_SOON": Row(_EXHAUSTED, "It is too early for another mail."),
    "SEND_LIMIT_REACHED": Row(_EXHAUSTED, "Too many mails were sent."),
    "SIGNUP_EXPIRED": Row(_FAILED, "The sign-up has expired."),
    "SIGNUP_CANCELLED": Row(_FAILED, "The sign-up was cancelled."),
    "PASSWORD_REJECTED": Row(_INVALID, "The password is not acceptable."),
    "PASSWORD_ATTEMPTS_EXHAUSTED": Row(
        _EXHAUSTED, "Too many passwords were refused on this sign-up."
    ),
    "PASSWORD_ALREADY_SET": Row(
        _FAILED, "The sign-up is complete with another password."
    ),
    "SIGNUP_BUSY": Row(_S.ABORTED, "Another call on this sign-up is under way."),
    "DEADLINE_TOO_SHORT": Row(
        _S.DEADLINE_EXCEEDED, "The deadline leaves too little time."
    ),
    "ACCOUNT_NOT_FOUND": Row(_S.NOT_FOUND, "There is no such account."),
    "CALLER_NOT_PERMITTED": Row(
        _S.PERMISSION_DENIED, "The caller may not call this method."
    ),
    "OVERLOADED": Row(_S.UNAVAILABLE, "The service has too much to do."),
    "KRATOS_UNAVAILABLE": Row(_S.UNAVAILABLE, "Ory Kratos does not answer."),
    "LEDGER_UNAVAILABLE": Row(_S.UNAVAILABLE, "The ledger does not answer."),
    "KRATOS_INCOMPATIBLE": Row(
        _S.INTERNAL, "Ory Kratos is not set up for this service; its log says why."
    ),
    INTERNAL: Row(_S.INTERNAL, "Something is wrong in this service."),
}


def status_of(error: SignupdError | None) -> status_pb2.Status:
    """Convert an error of ours to a google.rpc.Status; None is a defect."""
    reason = INTERNAL if error is None else error.reason
    row = STATUSES[reason]
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)]
    if error is not None:
        details += _details(error)
    status = status_pb2.Status(code=row.code.value[0], message=row.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _details(error: SignupdError) -> Iterator[Message]:
    if error.violations:
        faults = [
            error_details_pb2.BadRequest.FieldViolation(
                field=one.field[:MAX_FIELD_CHARS],
                description=one.description,
                reason=one.reason,
            )
            for one in error.violations[:MAX_FAULTS]
        ]
        if (more := len(error.violations) - MAX_FAULTS) > 0:
            whole = re.split(r"[.\[]", error.violations[-1].field)[0]
            last = {"field": whole, "description": f"has {more} more faults"}
            faults.append(error_details_pb2.BadRequest.FieldViolation(**last))
        yield error_details_pb2.BadRequest(field_violations=faults)
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromMicroseconds(round(error.retry_after_seconds * 1_000_000))
        yield error_details_pb2.RetryInfo(retry_delay=delay)
    if isinstance(error.signup, pb.Signup):
        yield error.signup

"""Reads a failed call by google.rpc's error model."""

from typing import Any, cast

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

# Defects, or something only an operator can mend: alert on these.
ALARMING = {
    "REQUEST_ID_REUSED",
    "DEADLINE_TOO_SHORT",
    "CALLER_NOT_PERMITTED",
    "KRATOS_INCOMPATIBLE",
    "INTERNAL",
}


def notice_of(error: grpc.RpcError) -> dict[str, Any]:
    """Say what to tell the person, as `Texts.notice` reads it."""
    info, fields, retry = ErrorInfo(), BadRequest(), RetryInfo()
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        for kind in (info, fields, retry):
            detail.Unpack(kind)  # does nothing for another type
    faults = fields.field_violations
    return {
        # Without a reason gRPC itself failed the call, as when no server is there.
        "reason": info.reason or "OVERLOADED",
        "details": [fault.reason or fault.field for fault in faults],
        "wait_seconds": retry.retry_delay.ToTimedelta().total_seconds(),
    }

"""Reads a failed call by google.rpc's error model."""

from typing import Any, cast

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

Notice = dict[str, Any]  # what to tell the person, with the keys that stand below


def notice_of(error: grpc.RpcError) -> Notice:
    """Read the error of a call."""
    info, fields, retry = ErrorInfo(), BadRequest(), RetryInfo()
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        for kind in (info, fields, retry):
            detail.Unpack(kind)  # does nothing for another type
    return {
        # Without a reason gRPC itself failed the call, as when no server is there.
        "reason": info.reason or "OVERLOADED",
        "faults": [one.reason or one.field for one in fields.field_violations],
        "wait_seconds": retry.retry_delay.ToTimedelta().total_seconds(),
    }

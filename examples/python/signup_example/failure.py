"""Reads a failed call by google.rpc's error model."""

from dataclasses import dataclass
from typing import Self, cast

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from kratos_signup.v1.signup_service_pb2 import Signup

# Reasons for which the person is asked again, and the sentence to show.
ASK_AGAIN = {
    "REQUEST_INVALID": "That cannot be right.",
    "CODE_INCORRECT": "That is not the code.",
    "PASSWORD_REJECTED": "This password will not do.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed call says.

    Attributes:
        reason: The name of an ErrorReason. Empty if gRPC itself failed the call. The
            outcome is then unknown, and a retry finds it out.
        faults: For each faulty field its name and, for passwords, the broken rule.
        retry_seconds: When to retry the call; 0 if waiting does not help.
        signup: The state of the sign-up; empty if the error has none.
    """

    reason: str
    faults: list[tuple[str, str]]
    retry_seconds: float
    signup: Signup

    @classmethod
    def of(cls, error: grpc.RpcError) -> Self:
        """Read the error of a call, synchronous or not."""
        info, fields, retry, signup = ErrorInfo(), BadRequest(), RetryInfo(), Signup()
        status = rpc_status.from_call(cast("grpc.Call", error))
        for detail in status.details if status else ():
            for kind in (info, fields, retry, signup):
                detail.Unpack(kind)  # does nothing for another type
        return cls(
            reason=info.reason,
            faults=[(fault.field, fault.reason) for fault in fields.field_violations],
            retry_seconds=retry.retry_delay.ToMicroseconds() / 1e6,
            signup=signup,
        )

    def words(self) -> str:
        """Say why the person is asked again; empty if asking does not help."""
        sentence = ASK_AGAIN.get(self.reason, "")
        rules = ", ".join(rule for _, rule in self.faults if rule)
        return f"{sentence} ({rules})" if sentence and rules else sentence

"""The RPCs of a sign-up, each shown with its answer."""

import json
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1 import signup_service_pb2_grpc

from devstack.page import Page
from devstack.server import NO_PROXY

TIMEOUT_SECONDS = 60.0

Answer = pb.StartSignupResponse | pb.VerifyCodeResponse | pb.SetPasswordResponse
_Answer = TypeVar("_Answer", bound=Message)

# Of a token only so much is shown; nobody can read the rest either.
TOKEN_CHARACTERS = 24


class CallFailedError(Exception):
    """An RPC was answered with an error; the text has its status and reason."""

    def __init__(self, error: grpc.RpcError) -> None:
        # grpc's own answers are both; its types do not say so.
        call = cast("grpc.Call", error)
        self.reason = _reason(call)
        super().__init__(f"{call.code().name} {self.reason} ({call.details()})")


class Calls:
    """A client of SignupService that shows what it does. A context manager.

    Args:
        target: Where signupd serves.
        page: Where to show it.
    """

    def __init__(self, target: str, page: Page) -> None:
        self._page = page
        self._channel = grpc.insecure_channel(target, NO_PROXY)
        self._stub = signup_service_pb2_grpc.SignupServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def start(self, address: str, traits: dict[str, str]) -> pb.StartSignupResponse:
        """Begin a sign-up."""
        request = pb.StartSignupRequest(email=address)
        request.traits.update(traits)
        return self._call(self._stub.StartSignup, request)

    def verify(self, token: str, code: str) -> pb.VerifyCodeResponse:
        """Hand in the code."""
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        return self._call(self._stub.VerifyCode, request)

    def set_password(self, token: str, password: str) -> pb.SetPasswordResponse:
        """Set the password."""
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        return self._call(self._stub.SetPassword, request)

    def _call(self, method: Callable[..., _Answer], request: Message) -> _Answer:
        self._page.fields(shown(request), "Request")
        try:
            answer = method(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise CallFailedError(error) from error
        self._page.fields(shown(answer), "Answer")
        return answer


def shown(message: Message) -> dict[str, str]:
    """Flatten a message into what is shown of it, by the names of the contract."""
    fields = MessageToDict(message, preserving_proto_field_name=True)
    fields |= fields.pop("signup", {})
    token = fields.get("continuation_token", "")
    if len(token) > TOKEN_CHARACTERS:
        fields["continuation_token"] = (
            f"{token[:TOKEN_CHARACTERS]}... ({len(token)} characters)"
        )
    return {name: _text(value) for name, value in fields.items()}


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _reason(call: grpc.Call) -> str:
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return "without a reason"

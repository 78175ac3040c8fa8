"""A caller of the service over gRPC."""

import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

import grpc
from google.protobuf import struct_pb2
from grpc_reflection.v1alpha import reflection_pb2
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import account_service_pb2_grpc, signup_service_pb2_grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.refusal import Refusal, read_refusal

DEADLINE_SECONDS = 60.0
# More often in a row no machine stands still at the wrong moment.
TRIES = 20
STATES = {n: name.removeprefix("SIGNUP_STATE_") for name, n in pb.SignupState.items()}


class Caller:
    """Calls our services. An asynchronous context manager.

    Args:
        port: The service's.
        credentials: For TLS; without them it calls in plaintext.
    """

    def __init__(
        self, port: int, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        target = f"127.0.0.1:{port}"
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target)
        else:
            self.channel = grpc.aio.secure_channel(target, credentials)
        self.deadline_seconds = DEADLINE_SECONDS
        self._stub: signup_service_pb2_grpc.SignupServiceAsyncStub
        self._stub = signup_service_pb2_grpc.SignupServiceStub(self.channel)
        self._accounts: account_service_pb2_grpc.AccountServiceAsyncStub
        self._accounts = account_service_pb2_grpc.AccountServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    def start(
        self,
        email: str,
        request_id: uuid.UUID | str = "",
        traits: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Awaitable[pb.StartSignupResponse]:
        """Call StartSignup."""
        struct = struct_pb2.Struct()
        struct.update(traits or {})
        request = pb.StartSignupRequest(
            email=email, request_id=str(request_id), traits=struct, **fields
        )
        return self._stub.StartSignup(request, timeout=self.deadline_seconds)

    def verify(self, token: str, code: str) -> Awaitable[pb.VerifyCodeResponse]:
        """Call VerifyCode."""
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        return self._stub.VerifyCode(request, timeout=self.deadline_seconds)

    def set_password(
        self, token: str, password: str
    ) -> Awaitable[pb.SetPasswordResponse]:
        """Call SetPassword."""
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        return self._stub.SetPassword(request, timeout=self.deadline_seconds)

    def check(self, token: str, password: str) -> Awaitable[pb.CheckPasswordResponse]:
        """Call CheckPassword."""
        request = pb.CheckPasswordRequest(continuation_token=token, password=password)
        return self._stub.CheckPassword(request, timeout=self.deadline_seconds)

    def resend(
        self, token: str, request_id: uuid.UUID | str = ""
    ) -> Awaitable[pb.ResendCodeResponse]:
        """Call ResendCode."""
        request = pb.ResendCodeRequest(
            continuation_token=token, request_id=str(request_id)
        )
        return self._stub.ResendCode(request, timeout=self.deadline_seconds)

    def get(self, token: str) -> Awaitable[pb.GetSignupResponse]:
        """Call GetSignup."""
        request = pb.GetSignupRequest(continuation_token=token)
        return self._stub.GetSignup(request, timeout=self.deadline_seconds)

    def cancel(self, token: str) -> Awaitable[pb.CancelSignupResponse]:
        """Call CancelSignup."""
        request = pb.CancelSignupRequest(continuation_token=token)
        return self._stub.CancelSignup(request, timeout=self.deadline_seconds)

    def account(self, **key: str) -> Awaitable[accounts_pb.GetAccountResponse]:
        """Call GetAccount."""
        request = accounts_pb.GetAccountRequest(**key)
        return self._accounts.GetAccount(request, timeout=self.deadline_seconds)

    def accounts(
        self, ids: Iterable[uuid.UUID | str]
    ) -> Awaitable[accounts_pb.BatchGetAccountsResponse]:
        """Call BatchGetAccounts."""
        request = accounts_pb.BatchGetAccountsRequest(identity_ids=map(str, ids))
        return self._accounts.BatchGetAccounts(request, timeout=self.deadline_seconds)


async def reflected(caller: Caller, request: Any) -> Any:
    """Ask the reflection service one question.

    One message each way is the same on the wire as a call that is no stream. As a
    stream grpc.aio now and then answers a refusal that comes before the question has
    left with an error of its own.
    """
    call: Any = caller.channel.unary_unary(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return await call(request, timeout=DEADLINE_SECONDS)


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Await a call that is to fail, and read why it did.

    Raises:
        AssertionError: It did not fail.
    """
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    raise AssertionError(f"not refused: {answer}")


async def refusal_in_time(call: Callable[[], Awaitable[Any]]) -> Refusal:
    """Call until the server's own refusal is there before the caller gives up.

    For deadlines so short that the caller may give up by itself, where the machine
    stands still for a moment.

    Raises:
        AssertionError: A call did not fail, or the caller gave up each time.
    """
    for _ in range(TRIES):
        refused = await refusal(call())
        if refused.reason:
            return refused
    raise AssertionError("the server does not refuse in time")


def another(code: str, by: int = 1) -> str:
    """Make a code that is not this one."""
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}}"


def state_of(answer: Any) -> str:
    """Name the state that an answer, or a refusal, shows."""
    return STATES[answer.signup.state]

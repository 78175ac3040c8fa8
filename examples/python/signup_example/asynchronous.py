"""A whole sign-up with the asynchronous stub."""

import asyncio
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from signup_example.channel import DEADLINE_SECONDS
from signup_example.failure import Failure

if TYPE_CHECKING:
    from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceAsyncStub

Ask = Callable[[str], str]


async def sign_up(
    signups: "SignupServiceAsyncStub", address: str, ask: Ask
) -> pb.Signup:
    """Make one sign-up; arguments and result as in `synchronous`."""
    request_id = str(uuid.uuid4())
    started = await signups.StartSignup(
        pb.StartSignupRequest(email=address, request_id=request_id),
        timeout=DEADLINE_SECONDS,
    )
    verified = await _verify(signups, started.continuation_token, ask)
    if verified.signup.state != pb.SIGNUP_STATE_PASSWORD_REQUIRED:
        return verified.signup
    return await _set_password(signups, verified.continuation_token, ask)


async def _verify(
    signups: "SignupServiceAsyncStub", token: str, ask: Ask
) -> pb.VerifyCodeResponse:
    question = "Code: "
    while True:
        code = await asyncio.to_thread(ask, question)
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        try:
            return await signups.VerifyCode(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            failure = Failure.of(error)
            if failure.reason == "CODE_EXPIRED":
                await _resend(signups, token)
                question = "Code of the new mail: "
            elif words := failure.words():
                left = failure.signup.code_attempts_remaining
                question = f"{words} {left} attempts left. Code: "
            else:
                raise


async def _resend(signups: "SignupServiceAsyncStub", token: str) -> None:
    request_id = str(uuid.uuid4())
    await signups.ResendCode(
        pb.ResendCodeRequest(continuation_token=token, request_id=request_id),
        timeout=DEADLINE_SECONDS,
    )


async def _set_password(
    signups: "SignupServiceAsyncStub", token: str, ask: Ask
) -> pb.Signup:
    question = "Password: "
    while True:
        password = await asyncio.to_thread(ask, question)
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        try:
            done = await signups.SetPassword(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            words = Failure.of(error).words()
            if not words:
                raise
            question = f"{words} Another password: "
        else:
            return done.signup

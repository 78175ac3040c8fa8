"""SignupService: unpack, call the step, pack."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1 import signup_service_pb2_grpc

from signupd.errors import SignupdError
from signupd.rpc import requests
from signupd.rpc.deadline import within_deadline
from signupd.rpc.responses import signup_message
from signupd.signup.cancel import cancel_signup
from signupd.signup.find import show_by_token
from signupd.signup.get import get_signup
from signupd.signup.resend import resend_code
from signupd.signup.set_password import set_password
from signupd.signup.start import start_signup
from signupd.signup.verify import verify_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

    from signupd.rpc.callers import Callers
    from signupd.rpc.interceptor import Context
    from signupd.signup.deps import Deps
    from signupd.signup.work import Work


class SignupServicer(signup_service_pb2_grpc.SignupServiceServicer):
    """Serves SignupService.

    Args:
        deps: What the steps work with.
        work: Where they run.
        callers: Tells who calls: request ids, and calls to join, are each caller's own.
    """

    def __init__(self, deps: Deps, work: Work, callers: Callers) -> None:
        self._deps = deps
        self._work = work
        self._callers = callers

    async def StartSignup(
        self, request: pb.StartSignupRequest, context: Context
    ) -> pb.StartSignupResponse:
        """Have a code mailed."""
        caller = self._callers.peer(context).caller
        wanted = requests.start_request(request, caller)
        key = self._key(request, caller) if wanted.request_id else None
        job = partial(start_signup, self._deps, wanted)
        answer = await within_deadline(context, partial(self._work.begin, key, job))
        return pb.StartSignupResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    async def ResendCode(
        self, request: pb.ResendCodeRequest, context: Context
    ) -> pb.ResendCodeResponse:
        """Have another code mailed."""
        caller = self._callers.peer(context).caller
        key = self._key(request, caller) if request.request_id else None
        async with self._signup_of(request) as token:
            request_id = requests.request_id_of(request, caller)
            job = partial(resend_code, self._deps, token, request_id)
            answer = await within_deadline(context, partial(self._work.begin, key, job))
        return pb.ResendCodeResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    async def VerifyCode(
        self, request: pb.VerifyCodeRequest, context: Context
    ) -> pb.VerifyCodeResponse:
        """Have the code checked."""
        key = self._key(request, self._callers.peer(context).caller)
        async with self._signup_of(request) as token:
            job = partial(verify_code, self._deps, token, requests.code_of(request))
            answer = await within_deadline(context, partial(self._work.begin, key, job))
        return pb.VerifyCodeResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Have the account made."""
        key = self._key(request, self._callers.peer(context).caller)
        async with self._signup_of(request) as token:
            password = requests.password_of(request)
            job = partial(set_password, self._deps, token, password)
            answer = await within_deadline(context, partial(self._work.begin, key, job))
        return pb.SetPasswordResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    async def CancelSignup(
        self, request: pb.CancelSignupRequest, context: Context
    ) -> pb.CancelSignupResponse:
        """End a sign-up that is under way."""
        key = self._key(request, self._callers.peer(context).caller)
        async with self._signup_of(request) as token:
            job = partial(cancel_signup, self._deps, token)
            answer = await within_deadline(context, partial(self._work.begin, key, job))
        return pb.CancelSignupResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    async def GetSignup(
        self, request: pb.GetSignupRequest, context: Context
    ) -> pb.GetSignupResponse:
        """Tell how a sign-up stands."""
        async with self._signup_of(request) as token:
            job = partial(get_signup, self._deps, token)
            answer = await within_deadline(
                context, partial(self._work.begin, None, job)
            )
        return pb.GetSignupResponse(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    def _key(self, request: Message, caller: str) -> bytes:
        """Make the key that a caller's equal calls share; it holds nothing of them."""
        name = request.DESCRIPTOR.full_name
        body = request.SerializeToString(deterministic=True)
        return self._deps.keys.digest(b"call", caller.encode(), name.encode(), body)

    @contextlib.asynccontextmanager
    async def _signup_of(self, request: requests.HasToken) -> AsyncIterator[str]:
        """Give the request's token; what goes wrong leaves with its sign-up shown."""
        token = requests.token_of(request)
        try:
            yield token
        except SignupdError as error:
            await show_by_token(self._deps, token, error)
            raise

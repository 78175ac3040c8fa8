"""SignupService: unpack, call the step, pack."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1 import signup_service_pb2_grpc

from signupd.errors import LedgerUnavailable, SignupdError, TokenInvalid
from signupd.ledger.record import State
from signupd.rpc import requests
from signupd.rpc.deadline import within_deadline
from signupd.rpc.responses import signup_message
from signupd.sealing import SealBroken
from signupd.signup.cancel import cancel_signup
from signupd.signup.get import get_signup
from signupd.signup.resend import resend_code
from signupd.signup.set_password import set_password
from signupd.signup.start import start_signup
from signupd.signup.verify import verify_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from google.protobuf.message import Message

    from signupd.rpc.callers import Callers
    from signupd.rpc.interceptor import Context
    from signupd.signup.deps import Dependencies, StepResult
    from signupd.work import Work

    Job = Callable[[], Coroutine[Any, Any, StepResult]]

M = TypeVar("M", bound="Message")


class SignupServicer(signup_service_pb2_grpc.SignupServiceServicer):
    """Serves SignupService.

    A caller's equal calls share one run of the step, which a repeat joins.

    Args:
        deps: What the steps work with.
        work: Where they run.
        callers: Identifies callers: request ids, and calls to join, belong to one.
    """

    def __init__(self, deps: Dependencies, work: Work, callers: Callers) -> None:
        self._deps = deps
        self._work = work
        self._callers = callers

    async def StartSignup(
        self, request: pb.StartSignupRequest, context: Context
    ) -> pb.StartSignupResponse:
        """Mail a code."""
        wanted = requests.start_request(request, self._caller(context))
        key = self._key(request, context) if wanted.request_id else None
        job = partial(start_signup, self._deps, wanted)
        return await self._run(context, key, job, pb.StartSignupResponse)

    async def ResendCode(
        self, request: pb.ResendCodeRequest, context: Context
    ) -> pb.ResendCodeResponse:
        """Mail another code."""
        key = self._key(request, context) if request.request_id else None
        async with self._signup_of(request) as token:
            request_id = requests.request_id_of(request, self._caller(context))
            job = partial(resend_code, self._deps, token, request_id)
            return await self._run(context, key, job, pb.ResendCodeResponse)

    async def VerifyCode(
        self, request: pb.VerifyCodeRequest, context: Context
    ) -> pb.VerifyCodeResponse:
        """Check the code."""
        key = self._key(request, context)
        async with self._signup_of(request) as token:
            job = partial(verify_code, self._deps, token, requests.code_of(request))
            return await self._run(context, key, job, pb.VerifyCodeResponse)

    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Make the account."""
        key = self._key(request, context)
        async with self._signup_of(request) as token:
            password = requests.password_of(request)
            job = partial(set_password, self._deps, token, password)
            return await self._run(context, key, job, pb.SetPasswordResponse)

    async def CancelSignup(
        self, request: pb.CancelSignupRequest, context: Context
    ) -> pb.CancelSignupResponse:
        """End a sign-up that is under way."""
        key = self._key(request, context)
        async with self._signup_of(request) as token:
            job = partial(cancel_signup, self._deps, token)
            return await self._run(context, key, job, pb.CancelSignupResponse)

    async def GetSignup(
        self, request: pb.GetSignupRequest, context: Context
    ) -> pb.GetSignupResponse:
        """Show a sign-up."""
        async with self._signup_of(request) as token:
            job = partial(get_signup, self._deps, token)
            return await self._run(context, None, job, pb.GetSignupResponse)

    async def _run(
        self, context: Context, key: bytes | None, job: Job, response: type[M]
    ) -> M:
        """Run a step within the caller's deadline, and pack what it answers."""
        answer = await within_deadline(context, partial(self._work.begin, key, job))
        return response(
            continuation_token=answer.token, signup=signup_message(answer.view)
        )

    def _caller(self, context: Context) -> str:
        return self._callers.peer(context).caller

    def _key(self, request: Message, context: Context) -> bytes:
        """Return the key that a caller's equal calls share; it reveals nothing."""
        caller = self._caller(context).encode()
        name = request.DESCRIPTOR.full_name.encode()
        body = request.SerializeToString(deterministic=True)
        return self._deps.keys.digest(b"call", caller, name, body)

    @contextlib.asynccontextmanager
    async def _signup_of(self, request: requests.HasToken) -> AsyncIterator[str]:
        """Yield the request's token, and add its sign-up to whatever goes wrong."""
        token = requests.token_of(request)
        try:
            yield token
        except SealBroken as error:
            signup_id, _ = self._deps.keys.open_token(token)
            self._deps.log.exception("signup_unreadable", signup_id=str(signup_id))
            raise TokenInvalid from error
        except SignupdError as error:
            await self._show(token, error)
            raise

    async def _show(self, token: str, error: SignupdError) -> None:
        """Add to an error how its sign-up stands now, if the ledger answers."""
        with contextlib.suppress(TokenInvalid, LedgerUnavailable, SealBroken):
            signup_id, _ = self._deps.keys.open_token(token)
            found = await self._deps.ledger.find(signup_id)
            if found is not None and found.record.state is not State.STARTING:
                error.signup = self._deps.view(found.record, found.now)

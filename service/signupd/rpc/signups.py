"""SignupService: unpack, call the step, pack."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1 import signup_service_pb2_grpc

from signupd.errors import LedgerUnavailable, SignupdError, TokenInvalid
from signupd.ledger.record import FINAL, State
from signupd.policy.rules import Rules
from signupd.rpc import requests
from signupd.rpc.interceptor import Callers, Context
from signupd.sealing import SealBroken
from signupd.signup.cancel import cancel_signup
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import step_result
from signupd.signup.preconditions import read_signup
from signupd.signup.queries import check_password, get_signup
from signupd.signup.resend import resend_code
from signupd.signup.set_password import set_password
from signupd.signup.start import start_signup
from signupd.signup.verify import verify_code
from signupd.work import Work

Job = Callable[[], Coroutine[Any, Any, StepResult]]

M = TypeVar("M", bound="Message")


@dataclass(eq=False, slots=True)
class SignupServicer(signup_service_pb2_grpc.SignupServiceServicer):
    """Serves SignupService.

    A caller's equal calls share one run of the step, which a repeat joins. Request ids,
    and calls to join, belong to one caller.
    """

    deps: Dependencies
    work: Work
    callers: Callers

    async def StartSignup(
        self, request: pb.StartSignupRequest, context: Context
    ) -> pb.StartSignupResponse:
        """Mail a code."""
        wanted = requests.start_request(request, self._caller(context))
        job = partial(start_signup, self.deps, wanted)
        joins = wanted.request_id is not None
        return await self._run(request, context, job, pb.StartSignupResponse, joins)

    async def ResendCode(
        self, request: pb.ResendCodeRequest, context: Context
    ) -> pb.ResendCodeResponse:
        """Mail another code."""
        async with self._signup_of(request) as token:
            request_id = requests.request_id_of(request, self._caller(context))
            job = partial(resend_code, self.deps, token, request_id)
            joins = request_id is not None
            return await self._run(request, context, job, pb.ResendCodeResponse, joins)

    async def VerifyCode(
        self, request: pb.VerifyCodeRequest, context: Context
    ) -> pb.VerifyCodeResponse:
        """Check the code."""
        async with self._signup_of(request) as token:
            job = partial(verify_code, self.deps, token, requests.code_of(request))
            return await self._run(request, context, job, pb.VerifyCodeResponse)

    async def CheckPassword(
        self, request: pb.CheckPasswordRequest, context: Context
    ) -> pb.CheckPasswordResponse:
        """Judge a password by our own rules."""
        async with self._signup_of(request) as token:
            password = requests.password_of(request)
            job = partial(check_password, self.deps, token, password)
            found = await self.work.result(context.time_remaining(), job)
        return pb.CheckPasswordResponse(
            acceptable=not found.broken,
            violations=[
                pb.PasswordViolation(reason=one.reason, description=one.description)
                for one in found.broken
            ],
            strength=found.strength,
        )

    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Make the account."""
        async with self._signup_of(request) as token:
            password = requests.password_of(request)
            job = partial(set_password, self.deps, token, password)
            return await self._run(request, context, job, pb.SetPasswordResponse)

    async def CancelSignup(
        self, request: pb.CancelSignupRequest, context: Context
    ) -> pb.CancelSignupResponse:
        """End a sign-up that is under way."""
        async with self._signup_of(request) as token:
            job = partial(cancel_signup, self.deps, token)
            return await self._run(request, context, job, pb.CancelSignupResponse)

    async def GetSignup(
        self, request: pb.GetSignupRequest, context: Context
    ) -> pb.GetSignupResponse:
        """Show a sign-up."""
        async with self._signup_of(request) as token:
            job = partial(get_signup, self.deps, token)
            return await self._run(request, context, job, pb.GetSignupResponse, False)

    async def _run(
        self,
        request: Message,
        context: Context,
        job: Job,
        response: type[M],
        joins: bool = True,
    ) -> M:
        """Run a step or join its run, within the caller's deadline; pack the result."""
        key = self._key(request, context) if joins else None
        result = await self.work.result(context.time_remaining(), job, key)
        signup = _message(result, self.deps.rules)
        return response(continuation_token=result.token, signup=signup)

    def _caller(self, context: Context) -> str:
        return self.callers.peer(context).caller

    def _key(self, request: Message, context: Context) -> bytes:
        """Return the key that a caller's equal calls share; it reveals nothing."""
        caller = self._caller(context).encode()
        name = request.DESCRIPTOR.full_name.encode()
        body = request.SerializeToString(deterministic=True)
        return self.deps.keys.digest(b"call", caller, name, body)

    @contextlib.asynccontextmanager
    async def _signup_of(self, request: requests.HasToken) -> AsyncIterator[str]:
        """Yield the request's token, and add its sign-up to an error."""
        token = requests.token_of(request)
        try:
            yield token
        except SealBroken as error:
            signup_id, _ = self.deps.keys.open_token(token)
            self.deps.log.exception("signup_unreadable", signup_id=str(signup_id))
            raise TokenInvalid from error
        except SignupdError as error:
            with contextlib.suppress(TokenInvalid, LedgerUnavailable, SealBroken):
                found, step = await read_signup(self.deps, token)
                result = step_result(self.deps, found.record, step, found.now)
                error.signup = _message(result, self.deps.rules)
            raise


def _message(result: StepResult, rules: Rules) -> pb.Signup:
    """Convert a sign-up as its caller sees it to the contract's Signup."""
    record, state = result.record, result.state
    message = pb.Signup(
        signup_id=str(record.signup_id),
        state=pb.SignupState.Value(f"SIGNUP_STATE_{state.name}"),
        masked_email=result.masked_email,
    )
    message.create_time.FromMicroseconds(record.create_time)
    if state not in FINAL:
        message.expire_time.FromMicroseconds(record.expire_time)
    match state:
        case State.CODE_REQUIRED:
            attempts = max(0, rules.code_attempts - record.code_attempts)
            resends = max(0, rules.sends - record.sends) if attempts else 0
            message.code_attempts_remaining = attempts
            message.resends_remaining = resends
            if resends:
                due = record.send_time + rules.resend_interval
                message.resend_time.FromMicroseconds(due)
            if result.delivery is not None:
                name = f"CODE_DELIVERY_{result.delivery.name}"
                message.code_delivery = pb.CodeDelivery.Value(name)
        case State.PASSWORD_REQUIRED:
            attempts = max(0, rules.password_attempts - record.password_attempts)
            message.password_attempts_remaining = attempts
            message.password_policy.min_length = rules.password_min_length
            message.password_policy.max_bytes = rules.password_max_bytes
        case State.COMPLETED:
            message.identity_id = str(record.identity_id)
        case State.ALREADY_REGISTERED:
            message.existing_account_verified = bool(record.existing_verified)
    return message

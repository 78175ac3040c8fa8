"""The canary: one whole sign-up through a running server, which it then removes.

It deletes only the account that its own sign-up made. Kratos keeps this account marked
with the sign-up's id.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from secrets import token_urlsafe
from typing import Any, Final

from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.check.canary_faults import APIS, STEPS, CanaryFailedError, refused
from signupd.check.file_rules import profile_finding
from signupd.check.findings import (
    Check,
    Finding,
    Subject,
    error,
    hook_lines,
    ok,
    warning,
)
from signupd.client.channel import Refusal, call
from signupd.errors import KratosIncompatible, SignupdError
from signupd.kratos.identity import AccountState, Identity, PasswordStatus, is_mark_of

# The courier waits for 1 s by default, and retries a failed mail a while later.
MAIL_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.2
CALL_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0
CALL_TRIES: Final = 5
# A call that was given up may stay at work for as long as its calls to Kratos, 75 s.
BUSY_TRIES: Final = 80
CODE_TRIES: Final = 3  # a person types it
_BUSY: Final = "SIGNUP_BUSY"
_RETRYABLE: Final = frozenset(
    {_BUSY, "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE", "OVERLOADED"}
)
# Refusals of CancelSignup that say that the sign-up is final already.
_OVER: Final = frozenset({"STEP_MISMATCH", "SIGNUP_EXPIRED", "SIGNUP_CANCELLED"})


@dataclass(slots=True)
class Canary:
    """Signs up an address, and removes what it left.

    A taken address is refused.
    """

    stub: SignupServiceStub
    subject: Subject
    email: str
    # Asks a person for the code in the mail; empty if there is nobody to ask.
    ask: Callable[[], Awaitable[str]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _findings: list[Finding] = field(default_factory=list, init=False)
    _password: str = field(default_factory=token_urlsafe, init=False, repr=False)
    # As the last answer has it; empty before the first.
    _signup: pb.Signup = field(default_factory=pb.Signup, init=False, repr=False)
    # For the next call; empty if there is no sign-up, or if it is final.
    _token: str = field(default="", init=False, repr=False)

    async def run(self) -> list[Finding]:
        """Walk through the sign-up. Nothing is left of it, also if it fails."""
        steps = (
            self._start,
            self._wait_for_mail,
            self._verify,
            self._set_password,
            self._look_at_account,
            self._look_at_settings,
        )
        try:
            for step in steps:
                self._findings.append(await step())
        except CanaryFailedError as failed:
            self._findings.append(failed.finding)
        except SignupdError as fault:
            what = "Kratos does not show what it stores for the canary"
            found = error(Check.CANARY_LOOK, what, f"{fault.detail}.", APIS)
            self._findings.append(found)
        finally:
            if self._signup.signup_id:
                await self._remove()
        return self._findings

    async def _start(self) -> Finding:
        if await self.subject.kratos.admin.find_identity(self.email) is not None:
            what = "the canary's address is taken"
            why = "The canary changes no account except the one that it makes."
            cure = "Give --canary an address that has no account."
            raise CanaryFailedError(error(Check.CANARY_START, what, why, cure))
        begun, id_ = self.clock(), str(uuid.uuid4())
        request = pb.StartSignupRequest(email=self.email, request_id=id_)
        request.traits.update(self.subject.traits)
        await self._call("StartSignup", request)
        return ok(Check.CANARY_START, f"StartSignup took {self._since(begun)}")

    async def _wait_for_mail(self) -> Finding:
        begun, why = self.clock(), "Without the mail nobody gets a code."
        smtp = "see courier.smtp.connection_uri"
        request = pb.GetSignupRequest(continuation_token=self._token)
        while True:
            await self._call("GetSignup", request)
            if self._signup.code_delivery == pb.CODE_DELIVERY_SENT:
                what = f"the mail left after {self._since(begun)}"
                return ok(Check.CANARY_MAIL, what)
            if self._signup.code_delivery == pb.CODE_DELIVERY_FAILED:
                what = "Kratos' courier has given up on the mail"
                cure = f"See Kratos' log, and {smtp}."
                raise CanaryFailedError(error(Check.CANARY_MAIL, what, why, cure))
            if self.clock() > begun + MAIL_SECONDS:
                what, run = "the mail has not left Kratos", "Run one Kratos with"
                cure = f"{run} --watch-courier (or `kratos courier watch`), and {smtp}."
                raise CanaryFailedError(error(Check.CANARY_MAIL, what, why, cure))
            await self.sleep(POLL_SECONDS)

    async def _verify(self) -> Finding:
        """Submit the code: it has to be right, and nothing may be stored yet."""
        check = Check.CANARY_CODE_HOOK
        await self._submit_code()
        self._demand("VerifyCode", "PASSWORD_REQUIRED")
        if await self.subject.kratos.admin.find_identity(self.email) is not None:
            what = "an account exists at the address before the password is set"
            why = "Kratos stores accounts at the code, or another person registered."
            lines = hook_lines("code", self.subject.settings)
            cure = f"The account was left alone.\n{lines}"
            raise CanaryFailedError(error(check, what, why, cure))
        return ok(check, "the code was right, and Kratos stored nothing")

    async def _submit_code(self) -> None:
        refused: CanaryFailedError | None = None
        for _ in range(CODE_TRIES):
            try:
                code = await self._code()
            except CanaryFailedError as nobody:
                raise refused or nobody from None
            request = pb.VerifyCodeRequest(continuation_token=self._token, code=code)
            try:
                return await self._call("VerifyCode", request)
            except CanaryFailedError as failed:
                refused = failed
                if failed.reason != "CODE_INCORRECT":
                    break
        raise refused or AssertionError

    async def _code(self) -> str:
        """Read the code from Kratos' courier if it shows it; else ask for it."""
        check = Check.CANARY_CODE
        if code := await self.subject.kratos.admin.newest_code(self.email):
            what = "Kratos shows codes on its admin API: it runs with --dev"
            why = "Others can read codes, and Kratos hashes passwords cheaply."
            cure = "Start Kratos without --dev, except for trying things out."
            self._findings.append(warning(check, what, why, cure))
            return code
        if code := await self.ask():
            return code
        what = "nobody typed the code that was mailed"
        why = "Kratos does not show what its mails say, except with --dev."
        cure = "Run this check on a terminal, or pipe the code to --code-from-stdin."
        raise CanaryFailedError(error(check, what, why, cure))

    async def _set_password(self) -> Finding:
        begun = self.clock()
        request = pb.SetPasswordRequest(
            continuation_token=self._token, password=self._password
        )
        await self._call("SetPassword", request)
        self._demand("SetPassword", "COMPLETED")
        what = "Kratos called the password hook and made the account: SetPassword took"
        return ok(Check.CANARY_PASSWORD_HOOK, f"{what} {self._since(begun)}")

    async def _look_at_account(self) -> Finding:
        check = Check.CANARY_ACCOUNT
        stored = await self.subject.kratos.admin.find_account(self.email)
        if stored is None or not self._is_own(stored):
            what = "the account is not there, or lacks the sign-up's mark"
            why = "Another hook replaced the address, or another program changed it."
            lines = hook_lines("password", self.subject.settings)
            raise CanaryFailedError(error(check, what, why, lines))
        if stored.complete:
            return ok(check, "the account is active, verified, and has a password")
        has = {
            "active": stored.state is AccountState.ACTIVE,
            "verified": stored.email_verified,
            "with a password": stored.password is PasswordStatus.SET,
        }
        lacks = " and not ".join(name for name, there in has.items() if not there)
        why = "An account has to be complete from the start."
        cure = "See other hooks that change it, and whether the address is verifiable."
        raise CanaryFailedError(error(check, f"the account is not {lacks}", why, cure))

    async def _look_at_settings(self) -> Finding:
        """Sign in: can a user move his account? The session ends with the account."""
        public, check = self.subject.kratos.public, Check.CANARY_SETTINGS
        try:
            methods = await public.settings_methods(self.email, self._password)
        except KratosIncompatible as fault:
            what = "whether users can change their traits was not checked"
            cure = "Give Kratos' configuration with --kratos-config."
            return warning(check, what, f"{fault.detail}.", cure)
        return profile_finding(check, self.subject.file, on="profile" in methods)

    async def _remove(self) -> None:
        """End the sign-up and delete its account."""
        left, what, admin = [], "nothing was stored", self.subject.kratos.admin
        try:
            if self._token:
                request = pb.CancelSignupRequest(continuation_token=self._token)
                await self._call("CancelSignup", request)
        except CanaryFailedError as failed:
            if failed.reason not in _OVER:
                left.append(failed.finding.what)
        try:
            stored = await admin.find_identity(self.email)
            if stored is not None and self._is_own(stored):
                await admin.delete_identity(stored.id)
                what = "its account is deleted"
        except SignupdError as fault:
            left.append(fault.detail)
        check = Check.CANARY_REMOVED
        found = ok(check, f"the canary's sign-up is over, {what}")
        if left:
            what = "something may be left of the canary"
            why = f"{'; '.join(left)}. An unfinished sign-up expires by itself."
            cure = (
                "Delete its account if the id of its address begins with "
                f"{self._signup.signup_id[:13]}, as the sign-up's does."
            )
            found = error(check, what, why, cure)
        self._findings.append(found)

    async def _call(self, rpc: str, request: Any) -> None:
        """Make a call, retry it while that can help, and keep the answer.

        Raises:
            CanaryFailedError: It was refused.
        """
        method, first = getattr(self.stub, rpc), None
        for tries in count(1):
            try:
                answer = await asyncio.to_thread(call, method, request, CALL_SECONDS)
            except Refusal as refusal:
                # Before a first answer there may be no server at all.
                lost = self._signup.signup_id and refusal.status == "UNAVAILABLE"
                limit = BUSY_TRIES if refusal.reason == _BUSY else CALL_TRIES
                if tries >= limit or not (lost or refusal.reason in _RETRYABLE):
                    # The retries themselves use up the mails of an address.
                    spent = refusal.reason == "SEND_LIMIT_REACHED"
                    told = first if first and spent else refusal
                    raise refused(rpc, told, self.subject.settings) from None
                first = first or refusal
                await self.sleep(RETRY_SECONDS)
            else:
                self._token, self._signup = answer.continuation_token, answer.signup
                return

    def _demand(self, rpc: str, state: str) -> None:
        """Demand that a call has led to a state."""
        seen = pb.SignupState.Name(self._signup.state).removeprefix("SIGNUP_STATE_")
        if seen != state:
            why = (
                "Another person used the canary's address or ended its sign-up, or the "
                "address verifies or recovers another account."
            )
            cure = "Give --canary an address that nobody else uses."
            what = f"{rpc} led to {seen}"
            raise CanaryFailedError(error(STEPS[rpc], what, why, cure))

    def _is_own(self, stored: Identity) -> bool:
        """Whether this sign-up made an account; nobody else's is touched."""
        signup_id = self._signup.signup_id
        return bool(signup_id) and is_mark_of(stored.mark, uuid.UUID(signup_id))

    def _since(self, begun: float) -> str:
        return f"{1000 * (self.clock() - begun):.0f} ms"

"""The canary: one whole sign-up through a running server, of which nothing is left.

It deletes no account but the one that its own sign-up made, which Kratos keeps marked
with the sign-up's id.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.accounts.account import account_of
from signupd.address import Address
from signupd.check import canary_faults as faults
from signupd.check.canary_faults import CanaryFailedError
from signupd.check.findings import Check, Finding, error, ok
from signupd.client.channel import refusal_of
from signupd.errors import SignupdError
from signupd.kratos.client import Kratos
from signupd.kratos.identity import Identity
from signupd.settings import Settings

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
_UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE
# Refusals of CancelSignup that say that the sign-up is final already.
_OVER: Final = frozenset({"STEP_MISMATCH", "SIGNUP_EXPIRED", "SIGNUP_CANCELLED"})


@dataclass(slots=True)
class Canary:
    """Signs up an address, and removes what it left.

    Args:
        stub: Calls the running server.
        kratos: Shows what is stored.
        settings: For the cures.
        ask: Asks a person for the code in the mail; empty if there is nobody to ask.
        sleep: Waits so many seconds.
        clock: Monotonic seconds.
    """

    stub: SignupServiceStub
    kratos: Kratos
    settings: Settings
    ask: Callable[[], Awaitable[str]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _findings: list[Finding] = field(default_factory=list, init=False)
    _signup: pb.Signup | None = field(default=None, init=False, repr=False)
    # For the next call; empty if there is no sign-up, or if it is final.
    _token: str = field(default="", init=False, repr=False)

    async def run(self, address: Address, traits: Mapping[str, Any]) -> list[Finding]:
        """Walk through the sign-up. Nothing is left of it, also if it fails.

        Args:
            address: Whose mailbox gets the code. A taken address is refused.
            traits: What the identity schema requires besides the address.
        """
        email = address.text
        try:
            await self._start(email, traits)
            await self._wait_for_mail()
            await self._verify(email)
            await self._set_password()
            await self._look_at_account(email)
        except CanaryFailedError as failed:
            self._findings.append(failed.finding)
        except SignupdError as fault:
            what = "Kratos does not show what it stores for the canary"
            cure = "See the findings about Kratos' APIs."
            found = error(Check.CANARY_LOOK, what, f"{fault.detail}.", cure)
            self._findings.append(found)
        finally:
            await self._remove(email)
        return self._findings

    async def _start(self, email: str, traits: Mapping[str, Any]) -> None:
        if await self.kratos.admin.find_identity(email) is not None:
            raise CanaryFailedError(faults.TAKEN)
        begun = self.clock()
        request = pb.StartSignupRequest(email=email, request_id=str(uuid.uuid4()))
        request.traits.update(traits)
        await self._call("StartSignup", request)
        self._passed(Check.CANARY_START, f"StartSignup took {self._since(begun)}")

    async def _wait_for_mail(self) -> None:
        begun = self.clock()
        request = pb.GetSignupRequest(continuation_token=self._token)
        while True:
            signup = await self._call("GetSignup", request)
            if signup.code_delivery == pb.CODE_DELIVERY_SENT:
                break
            if signup.code_delivery == pb.CODE_DELIVERY_FAILED:
                raise CanaryFailedError(faults.MAIL_FAILED)
            if self.clock() > begun + MAIL_SECONDS:
                raise CanaryFailedError(faults.MAIL_LATE)
            await self.sleep(POLL_SECONDS)
        self._passed(Check.CANARY_MAIL, f"the mail left after {self._since(begun)}")

    async def _verify(self, email: str) -> None:
        """Submit the code: it has to be right, and nothing may be stored yet."""
        await self._submit_code(email)
        self._demand("VerifyCode", "PASSWORD_REQUIRED")
        if await self.kratos.admin.find_identity(email) is not None:
            found = faults.with_hook(faults.STORED_EARLY, "code", self.settings)
            raise CanaryFailedError(found)
        what = "the code was right, and Kratos stored nothing"
        self._passed(Check.CANARY_CODE_HOOK, what)

    async def _submit_code(self, email: str) -> None:
        for left in reversed(range(CODE_TRIES)):
            code = await self.kratos.admin.newest_code(email)
            if code:
                self._findings.append(faults.MAILS_SHOWN)
            elif not (code := await self.ask()):
                raise CanaryFailedError(faults.MAILS_HIDDEN)
            request = pb.VerifyCodeRequest(continuation_token=self._token, code=code)
            try:
                await self._call("VerifyCode", request)
            except CanaryFailedError as failed:
                if failed.reason != "CODE_INCORRECT" or not left:
                    raise
            else:
                return

    async def _set_password(self) -> None:
        begun, password = self.clock(), secrets.token_urlsafe(24)
        request = pb.SetPasswordRequest(
            continuation_token=self._token, password=password
        )
        await self._call("SetPassword", request)
        self._demand("SetPassword", "COMPLETED")
        self._passed(
            Check.CANARY_PASSWORD_HOOK,
            "Kratos called the password hook and made the account: SetPassword took "
            f"{self._since(begun)}, with the password's hash",
        )

    async def _look_at_account(self, email: str) -> None:
        stored = await self.kratos.admin.find_account(email)
        if stored is None or not self._is_own(stored):
            found = faults.with_hook(faults.UNMARKED, "password", self.settings)
            raise CanaryFailedError(found)
        account = account_of(stored)
        if not account.complete:
            raise CanaryFailedError(faults.incomplete(account))
        what = "the account is active, verified, and has a password"
        self._passed(Check.CANARY_ACCOUNT, what)

    async def _remove(self, email: str) -> None:
        """End the sign-up and delete its account."""
        if self._signup is None:
            return
        left, deleted = [], False
        try:
            if self._token:
                request = pb.CancelSignupRequest(continuation_token=self._token)
                await self._call("CancelSignup", request)
        except CanaryFailedError as failed:
            if failed.reason not in _OVER:
                left.append(failed.finding.what)
        try:
            stored = await self.kratos.admin.find_identity(email)
            if stored is not None and self._is_own(stored):
                await self.kratos.admin.delete_identity(stored.id)
                deleted = True
        except SignupdError as fault:
            left.append(fault.detail)
        what = "its account is deleted" if deleted else "nothing was stored"
        over = ok(Check.CANARY_REMOVED, f"the canary's sign-up is over, {what}")
        self._findings.append(faults.left_behind(left) if left else over)

    async def _call(self, rpc: str, request: Any) -> pb.Signup:
        """Make a call, retry it while that can help, and keep the answer.

        Raises:
            CanaryFailedError: It was refused.
        """
        method = getattr(self.stub, rpc)
        for tries in count(1):
            try:
                answer = await asyncio.to_thread(method, request, timeout=CALL_SECONDS)
            except grpc.RpcError as fault:
                refusal = refusal_of(fault)
                # Before a first answer there may be no server at all.
                lost = self._signup is not None and refusal.status is _UNAVAILABLE
                limit = BUSY_TRIES if refusal.reason == _BUSY else CALL_TRIES
                if tries >= limit or not (lost or refusal.reason in _RETRYABLE):
                    raise faults.refused(rpc, refusal, self.settings) from fault
                await self.sleep(RETRY_SECONDS)
            else:
                self._token, self._signup = answer.continuation_token, answer.signup
                break
        return self._signup or pb.Signup()

    def _demand(self, rpc: str, state: str) -> None:
        """Demand that a call has led to a state."""
        signup = self._signup or pb.Signup()
        seen = pb.SignupState.Name(signup.state).removeprefix("SIGNUP_STATE_")
        if seen != state:
            raise CanaryFailedError(faults.at_state(rpc, seen))

    def _is_own(self, stored: Identity) -> bool:
        """Whether this sign-up made an account; nobody else's is touched."""
        mark, signup = stored.mark, self._signup
        return bool(mark and signup and str(mark.signup_id) == signup.signup_id)

    def _passed(self, check: Check, what: str) -> None:
        self._findings.append(ok(check, what))

    def _since(self, begun: float) -> str:
        return f"{1000 * (self.clock() - begun):.0f} ms"

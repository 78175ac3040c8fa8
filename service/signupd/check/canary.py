"""The canary: one whole sign-up through a running server, of which nothing is left."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.accounts.account import account_of
from signupd.check import canary_findings as says
from signupd.check.client import CallRefusedError
from signupd.check.findings import Check, Finding, ok
from signupd.check.traces import Traces
from signupd.errors import SignupdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from signupd.address import Address
    from signupd.check.client import SignupClient, Step
    from signupd.kratos.client import Kratos
    from signupd.settings import Settings

# The courier's default wait is 1 s, and it tries a failed mail again a while later.
MAIL_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.2
CODE_TRIES: Final = 3  # it may be typed from a mail
_PASSWORD_BYTES: Final = 24


class CanaryDiedError(Exception):
    """The canary cannot go on; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Cage:
    """What a canary works with.

    Args:
        client: Calls the running server.
        kratos: The adapter, to see what is stored.
        ask: Asks a person for the code in the mail; empty when nobody can be asked.
        settings: For the cures.
        sleep: Waits so many seconds.
        clock: Monotonic seconds.
    """

    client: SignupClient
    kratos: Kratos
    ask: Callable[[], Awaitable[str]]
    settings: Settings
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


async def canary(
    cage: Cage, address: Address, traits: Mapping[str, Any]
) -> list[Finding]:
    """Walk through a whole sign-up, and leave nothing of it, also when it fails.

    Args:
        cage: What to work with.
        address: Whose mailbox gets the code. One that is taken is refused.
        traits: What the identity schema demands besides the address.
    """
    walk = Canary(cage, address)
    try:
        await walk.go(traits)
    except CanaryDiedError as died:
        walk.findings.append(died.finding)
    except SignupdError as fault:
        walk.findings.append(says.kratos_failed(fault))
    finally:
        walk.findings += await walk.traces.remove()
    return walk.findings


class Canary:
    """One canary on its way.

    Args:
        cage: What it works with.
        address: Its mailbox.

    Attributes:
        findings: What was found so far.
        traces: What it has left so far.
    """

    def __init__(self, cage: Cage, address: Address) -> None:
        self._cage = cage
        self._address = address
        self.findings: list[Finding] = []
        self.traces = Traces(cage.client, cage.kratos, address, cage.sleep)

    async def go(self, traits: Mapping[str, Any]) -> None:
        """Go all the way.

        Raises:
            CanaryDiedError: It cannot be gone to the end.
            SignupdError: Kratos cannot be asked.
        """
        if await self._cage.kratos.admin.find_identity(self._address.text) is not None:
            raise CanaryDiedError(says.taken(self._address))
        await self._start(traits)
        await self._wait_for_mail()
        await self._prove()
        await self._set_password()
        await self._see_account()

    async def _start(self, traits: Mapping[str, Any]) -> None:
        begun = self._cage.clock()
        await self._called("StartSignup", self._cage.client.start(self._text, traits))
        self._found(
            Check.CANARY_START, f"StartSignup answered within {self._since(begun)}"
        )

    async def _wait_for_mail(self) -> None:
        begun = self._cage.clock()
        step = await self._called("GetSignup", self._cage.client.get(self._token))
        while step.delivery != "SENT":
            if step.delivery == "FAILED" or self._cage.clock() > begun + MAIL_SECONDS:
                raise CanaryDiedError(says.unsent(step.delivery, MAIL_SECONDS))
            await self._cage.sleep(POLL_SECONDS)
            step = await self._called("GetSignup", self._cage.client.get(self._token))
        self._found(Check.CANARY_MAIL, f"the mail had left {self._since(begun)} later")

    async def _prove(self) -> None:
        """Submit the code, and see that it is right and yet nothing stored."""
        step = await self._submit_code()
        if step.state != "PASSWORD_REQUIRED":
            raise CanaryDiedError(says.at_state("VerifyCode", step.state))
        if await self._cage.kratos.admin.find_identity(self._text) is not None:
            raise CanaryDiedError(says.stored_at_the_code(self._cage.settings))
        self._found(
            Check.CANARY_CODE_HOOK,
            "the code was right, and Kratos stored nothing for it",
        )

    async def _submit_code(self) -> Step:
        for left in reversed(range(CODE_TRIES)):
            code = await self._read_code()
            try:
                return self.traces.note(
                    await self._cage.client.verify(self._token, code)
                )
            except CallRefusedError as refused:
                if refused.reason != "CODE_INCORRECT" or not left:
                    raise self._died("VerifyCode", refused) from refused
        raise AssertionError("the last try has returned or raised")

    async def _read_code(self) -> str:
        """Read the code from the courier, or have a person read the mail."""
        code = await self._cage.kratos.admin.newest_code(self._text)
        if code:
            self.findings.append(says.mails_shown())
            return code
        asked = await self._cage.ask()
        if not asked:
            raise CanaryDiedError(says.mails_hidden())
        return asked

    async def _set_password(self) -> None:
        begun, password = self._cage.clock(), secrets.token_urlsafe(_PASSWORD_BYTES)
        step = await self._called(
            "SetPassword", self._cage.client.set_password(self._token, password)
        )
        if step.state != "COMPLETED":
            raise CanaryDiedError(says.at_state("SetPassword", step.state))
        self._found(
            Check.CANARY_PASSWORD_HOOK,
            "Kratos asked the password hook and made the account: SetPassword took "
            f"{self._since(begun)}, the password's hash included",
        )

    async def _see_account(self) -> None:
        stored = await self._cage.kratos.admin.find_account(self._text)
        if stored is None or await self.traces.own_account() is None:
            raise CanaryDiedError(says.unmarked(self._cage.settings))
        account = account_of(stored)
        if not account.complete:
            raise CanaryDiedError(says.incomplete(account))
        self._found(
            Check.CANARY_ACCOUNT, "the account is active, verified, and has a password"
        )

    async def _called(self, rpc: str, calling: Awaitable[Step]) -> Step:
        """Wait for a call, and note how far it got."""
        try:
            return self.traces.note(await calling)
        except CallRefusedError as refused:
            raise self._died(rpc, refused) from refused

    def _died(self, rpc: str, refused: CallRefusedError) -> CanaryDiedError:
        return CanaryDiedError(says.refused(rpc, refused, self._cage.settings))

    def _found(self, check: Check, what: str) -> None:
        self.findings.append(ok(check, what))

    def _since(self, begun: float) -> str:
        return f"{1000 * (self._cage.clock() - begun):.0f} ms"

    @property
    def _text(self) -> str:
        return self._address.text

    @property
    def _token(self) -> str:
        return self.traces.token

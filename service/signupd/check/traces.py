"""What a canary leaves on its way, and how that is removed.

No account is deleted but the one that the canary's own sign-up made: Kratos keeps it
marked with the sign-up's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.check.client import CallRefusedError
from signupd.check.findings import Check, Finding, error, ok
from signupd.errors import SignupdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signupd.address import Address
    from signupd.check.client import SignupClient, Step
    from signupd.kratos.client import Kratos
    from signupd.kratos.identity import Identity

_FINAL: Final = frozenset({"COMPLETED", "ALREADY_REGISTERED", "EXPIRED", "CANCELLED"})
# Refusals of CancelSignup that say that the sign-up is final already.
_OVER: Final = frozenset({"STEP_MISMATCH", "SIGNUP_EXPIRED", "SIGNUP_CANCELLED"})
# A call that was given up may stay at work for as long as its calls to Kratos take,
# 75 s; the client by itself tries each a few times, for 4 s.
_CANCEL_TRIES: Final = 20
_RETRY_SECONDS: Final = 1.0


class Traces:
    """Remembers the sign-up, and removes what is left of it.

    Args:
        client: Cancels the sign-up.
        kratos: Deletes the account.
        address: The canary's.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        client: SignupClient,
        kratos: Kratos,
        address: Address,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._kratos = kratos
        self._address = address
        self._sleep = sleep
        self._step: Step | None = None

    @property
    def token(self) -> str:
        """The token to go on with."""
        return "" if self._step is None else self._step.token

    def note(self, step: Step) -> Step:
        """Note how far the sign-up has come."""
        self._step = step
        return step

    async def own_account(self) -> Identity | None:
        """Find the account that the sign-up made; nobody else's."""
        found = await self._kratos.admin.find_identity(self._address.text)
        if found is None or found.mark is None or self._step is None:
            return None
        return found if found.mark.signup_id == self._step.signup_id else None

    async def remove(self) -> list[Finding]:
        """End the sign-up and delete its account."""
        if self._step is None:
            return []
        faults = []
        try:
            if self._step.state not in _FINAL:
                await self._cancel(self._step.token)
        except CallRefusedError as refused:
            faults.append(f"CancelSignup was refused ({refused})")
        try:
            account = await self.own_account()
            if account is not None:
                await self._kratos.admin.delete_identity(account.id)
        except SignupdError as fault:
            faults.append(fault.detail)
        if faults:
            return [_left(faults)]
        what = "its account is deleted" if account else "nothing was stored"
        return [ok(Check.CANARY_REMOVED, f"the canary's sign-up is over, {what}")]

    async def _cancel(self, token: str) -> None:
        """Cancel the sign-up, as soon as no call is at work on it."""
        for _ in range(_CANCEL_TRIES):
            try:
                await self._client.cancel(token)
            except CallRefusedError as refused:
                if refused.reason in _OVER:
                    return
                if refused.reason != "SIGNUP_BUSY":
                    raise
            else:
                return
            await self._sleep(_RETRY_SECONDS)
        raise CallRefusedError("SIGNUP_BUSY", "ABORTED")


def _left(faults: list[str]) -> Finding:
    return error(
        Check.CANARY_REMOVED,
        "something may be left of the canary",
        f"{'; '.join(faults)}. An unfinished sign-up expires by itself.",
        "Look for an account with the canary's address in Kratos, and delete it where "
        "metadata_admin has signupd.signup_id.",
    )

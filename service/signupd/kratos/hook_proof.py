"""The proof that Kratos asks our password hook before it stores an account.

Kratos makes accounts without asking if its password hook is missing or stands in the
wrong place. So a registration that our hook must refuse is tried once, and StartSignup
sends no mail before.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.outcomes import PasswordAnswer
from signupd.kratos.probe import REFUSED_BY_US, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import structlog

    from signupd.kratos.client import Kratos

# A failed proof is not tried again sooner: each costs Kratos a password hash.
PROOF_INTERVAL_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 0.5

_HOOK = "selfservice.flows.registration.after.password.hooks"
FAULTS: Final = {
    PasswordAnswer.CREATED: (
        f"Kratos made an account without asking: {_HOOK} has no web_hook to "
        "/kratos/password with response.parse true, or another one after it (under "
        "after.hooks it does not count); the account is deleted again"
    ),
    PasswordAnswer.UNCLEAR: (
        "Kratos did not reach its password hook, or not ours: is the URL under "
        f"{_HOOK} this server's HOOK_LISTEN, seen from Kratos, and its X-Hook-Key our "
        "HOOK_KEY?"
    ),
    PasswordAnswer.METHOD_OFF: (
        "Kratos does not register by password: is selfservice.methods.password.enabled "
        "true?"
    ),
}
UNPROVED: Final = (
    "the identity schema refuses what the proof registers with, so Kratos does not get "
    "as far as its hook: a required trait, which the next StartSignup may bring, or a "
    "pattern that keeps addresses under probe.invalid out"
)


class HookProof:
    """Proves, once, that Kratos asks our password hook before it stores an account.

    Args:
        kratos: The adapter.
        log: Faults go there with the setting to mend.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        kratos: Kratos,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kratos = kratos
        self._log = log
        self._clock = clock
        self._lock = asyncio.Lock()
        self._proved = False
        self._seen_missing = False
        self._fault: KratosIncompatible | KratosUnavailable | None = None
        self._next_try = 0.0

    @property
    def proved(self) -> bool:
        """Whether nothing is to be asked of Kratos any more."""
        return self._proved

    def revoke(self) -> None:
        """Require a new proof: Kratos was seen to store without asking."""
        self._proved = False
        self._seen_missing = True

    async def prove(self, traits: Mapping[str, Any]) -> None:
        """Return once the proof is made; make it if necessary.

        Args:
            traits: What an identity of this schema has besides the address. Kratos
                holds them against the schema before it asks a hook, so where some are
                required the proof has to wait for a caller who brings them.

        Raises:
            KratosIncompatible: Kratos does not ask, or not us. The log says why.
            KratosUnavailable: It does not answer.
        """
        if self._proved:
            return
        async with self._lock:
            if self._proved:
                return
            if self._fault is not None and self._clock() < self._next_try:
                raise type(self._fault)(self._fault.detail)
            await self._try(traits)

    async def _try(self, traits: Mapping[str, Any]) -> None:
        try:
            answer = await probe(self._kratos, self._log, traits)
        except KratosIncompatible as error:
            raise self._failed(error) from error
        except KratosUnavailable as error:
            # Calls that waited for this proof must not each wait for their own.
            self._fault, self._next_try = error, self._clock() + AWAY_SECONDS
            raise
        if fault := FAULTS.get(answer):
            raise self._failed(KratosIncompatible(fault))
        self._fault = None
        self._proved = answer in REFUSED_BY_US
        if self._proved:
            self._seen_missing = False
            self._log.info("password_hook_proved")
        elif self._seen_missing:
            raise self._failed(KratosIncompatible(FAULTS[PasswordAnswer.CREATED]))
        else:
            self._log.warning("password_hook_not_proved", why=UNPROVED)

    def _failed(self, error: KratosIncompatible) -> KratosIncompatible:
        """Log what is wrong, and remember it for a while."""
        self._fault = error
        self._next_try = self._clock() + PROOF_INTERVAL_SECONDS
        self._log.error("kratos_incompatible", why=error.detail)
        return KratosIncompatible(error.detail)

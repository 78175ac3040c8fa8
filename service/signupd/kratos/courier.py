"""What Kratos' courier says of a sign-up's mail, in the same time for every address."""

import asyncio
import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.admin import AdminApi
from signupd.kratos.outcomes import Delivery

# Kratos lists an address' mails: 3 to 5 ms, and longer the more there are. That would
# tell addresses with a history, so an answer takes this long whatever Kratos takes.
PAUSE_SECONDS: Final = 0.025
# Between two look-ups for one sign-up; further answers repeat the last one.
INTERVAL_MICROS: Final = 1_000_000
# Sign-ups whose last look-up is remembered, some hundred bytes each.
MAX_SIGNUPS: Final = 10_000
# The clocks of Kratos' database and of the ledger may differ a little.
CLOCK_SKEW: Final = timedelta(seconds=5)


@dataclass(slots=True)
class _Look:
    """The last look-up for one sign-up, done or under way."""

    task: asyncio.Task[Delivery | None] | None = None
    sent: int = 0
    begun: int = 0


class Courier:
    """Asks the courier, at most once a second for a sign-up.

    Args:
        admin: Kratos' admin API.
        clock: The ledger's, in microseconds since the Unix epoch.
        log: Learns why the courier could not be asked.
    """

    def __init__(
        self,
        admin: AdminApi,
        clock: Callable[[], int],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._admin = admin
        self._clock = clock
        self._log = log
        self._looks = functools.lru_cache(MAX_SIGNUPS)(lambda _: _Look())

    async def delivery(
        self, signup_id: uuid.UUID, address: str, sent: int
    ) -> Delivery | None:
        """Return what became of the newest code mail to an address.

        Args:
            signup_id: Whose look-ups are counted.
            address: The canonical address.
            sent: When the sign-up's last mail was asked for. Older ones do not count.

        Returns:
            None if there is no such mail, or if the courier cannot say.
        """
        look, now = self._looks(signup_id), self._clock()
        fresh = look.sent == sent and 0 <= now - look.begun < INTERVAL_MICROS
        if look.task is None or not fresh:
            look.sent, look.begun = sent, now
            look.task = asyncio.create_task(self._ask(address, sent))
        delivery, _ = await asyncio.gather(look.task, asyncio.sleep(PAUSE_SECONDS))
        return delivery

    async def _ask(self, address: str, sent: int) -> Delivery | None:
        since = datetime.fromtimestamp(sent / 1_000_000, UTC) - CLOCK_SKEW
        try:
            return await self._admin.code_delivery(address, since)
        except (KratosUnavailable, KratosIncompatible) as error:
            self._log.warning("courier_not_asked", why=error.detail)
            return None

"""What Kratos' courier says of a sign-up's mail, in the same time for every address."""

import asyncio
import functools
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.admin import AdminApi
from signupd.kratos.answers import Delivery

# Kratos lists an address' mails: 3 to 5 ms, and longer the more there are. That would
# tell addresses with a history, so an answer takes this long whatever Kratos takes.
PAUSE_SECONDS: Final = 0.025
MAX_LOOKS: Final = 1000  # that are remembered
# The clocks of Kratos' database and of the ledger may differ a little.
CLOCK_SKEW: Final = timedelta(seconds=5)
_SECOND: Final = 1_000_000  # in the ledger's microseconds


class Courier:
    """Asks the courier, once in each second of the ledger's clock for a sign-up."""

    def __init__(
        self,
        admin: AdminApi,
        clock: Callable[[], int],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._admin = admin
        self._clock = clock
        self._log = log
        self._look = functools.lru_cache(MAX_LOOKS)(self._begin)

    async def delivery(
        self, signup_id: uuid.UUID, address: str, sent: int
    ) -> Delivery | None:
        """Return what became of a sign-up's newest code mail to a canonical address.

        ``sent`` is when it was asked for; older mails do not count. None says that
        there is no such mail, or that the courier cannot say.
        """
        look = self._look(signup_id, address, sent, self._clock() // _SECOND)
        delivery, _ = await asyncio.gather(look, asyncio.sleep(PAUSE_SECONDS))
        return delivery

    def _begin(
        self, _signup_id: uuid.UUID, address: str, sent: int, _second: int
    ) -> asyncio.Task[Delivery | None]:
        return asyncio.create_task(self._ask(address, sent))

    async def _ask(self, address: str, sent: int) -> Delivery | None:
        since = datetime.fromtimestamp(sent / _SECOND, UTC) - CLOCK_SKEW
        try:
            return await self._admin.code_delivery(address, since)
        except (KratosUnavailable, KratosIncompatible) as error:
            self._log.warning("courier_not_asked", why=error.detail)
            return None

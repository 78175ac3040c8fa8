"""A service in this process, whose clock a test moves."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar

import structlog
from signupd.ledger.database import steady_clock
from signupd.service import Service
from signupd.settings import Settings
from signupd.sweeper import Swept

from devstack.ports import LOOPBACK

T = TypeVar("T")

WAIT_SECONDS = 60.0
SECOND = 1_000_000


class Inside:
    """A whole service on a thread of its own.

    A context manager.

    Args:
        settings: By the names of the contract, without the prefix.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = Settings.model_validate(
            {"drain_wait": "0s"}
            | {name.lower(): value for name, value in settings.items()}
        )
        self._ahead = 0
        self._clock = steady_clock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._service: Service

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._service.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def target(self) -> str:
        """Where it serves."""
        return f"{LOOPBACK}:{self._service.port}"

    @property
    def hook_port(self) -> int:
        """Where its hooks come in."""
        return self._service.hook_port

    def now(self) -> int:
        """Tell the time as its ledger has it, in microseconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass for its ledger."""
        self._ahead += int(seconds * SECOND)

    def sweep(self) -> Swept:
        """Do one round of sweeping."""
        return self._run(self._service.sweeper.sweep())

    async def _start(self) -> None:
        log = structlog.get_logger()
        self._service = Service(self._settings, log, clock=self.now)
        await self._service.start()

    def _run(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(WAIT_SECONDS)

"""A log with memory."""

import asyncio
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import structlog


class LogDouble:
    """Keeps what is logged, from whatever thread.

    Attributes:
        logger: To hand to the service.
        entries: What was logged: the event's fields, and its ``log_level``.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._waiting: list[Callable[[], object]] = []
        self.logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.processors.format_exc_info,
                self._keep,
            ],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        )

    def events(self, level: str = "") -> list[str]:
        """Name the events, all or those of one level."""
        return [
            entry["event"] for entry in self.entries if level in ("", entry["level"])
        ]

    def entry(self, event: str) -> dict[str, Any]:
        """Give the last entry of an event."""
        return [entry for entry in self.entries if entry["event"] == event][-1]

    async def wait_for(self, event: str, count: int = 1) -> None:
        """Wait until an event was logged so many times."""
        news = asyncio.Event()
        loop = asyncio.get_running_loop()
        wake = partial(loop.call_soon_threadsafe, news.set)
        self._waiting.append(wake)
        try:
            while self.events().count(event) < count:
                await news.wait()
                news.clear()
        finally:
            self._waiting.remove(wake)

    def _keep(
        self, _logger: object, _name: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        self.entries.append(dict(entry))
        for wake in tuple(self._waiting):
            wake()
        raise structlog.DropEvent

"""The audit trail: each transition of a sign-up is counted and is a line in the log."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import uuid

    import structlog


class Event(enum.StrEnum):
    """What happened to a sign-up."""

    STARTED = "started"
    VERIFIED = "verified"
    COMPLETED = "completed"
    ALREADY_REGISTERED = "already_registered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Counters(Protocol):
    """Counts since the process began."""

    def event(self, event: Event) -> None:
        """Count a transition."""

    def wrong_code(self) -> None:
        """Count a wrong code, which costs its sign-up an attempt."""


class Events:
    """Counts transitions and wrong codes, and logs the transitions.

    A transition is noted once it is committed. A process that dies in between leaves
    the row and no line.

    Args:
        log: Gets a line ``signup_EVENT`` with the sign-up's id and the name of the
            caller who began it.
        counters: Count what is noted.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        counters: Counters,
    ) -> None:
        self._log = log
        self._counters = counters

    def note(self, event: Event, signup_id: uuid.UUID, caller: str) -> None:
        """Count a transition and log it."""
        self._counters.event(event)
        self._log.info(f"signup_{event}", signup_id=str(signup_id), caller=caller)

    def wrong_code(self) -> None:
        """Count a wrong code."""
        self._counters.wrong_code()

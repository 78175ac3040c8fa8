"""What is told of calls while they last, so that somebody may count or trace them.

Nothing is told but names, outcomes and statuses: an observer cannot leak what it is
never given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

# Outcomes that are no answer.
OK: Final = "OK"
CALLER_GONE: Final = "CALLER_GONE"
UNREACHED: Final = "unreached"
LOST: Final = "lost"

# Gives pairs of a name and a value, or None: gRPC's, whose types say otherwise.
Metadata = Callable[[], Any]
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class RpcWatch(Protocol):
    """Watches one RPC."""

    def end(self, reason: str, status: int) -> None:
        """Note that it is over; called once, in the task that began it.

        Args:
            reason: OK, the error's reason, or CALLER_GONE.
            status: gRPC's number of the status.
        """


class CallWatch(Protocol):
    """Watches one call to Kratos."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What is to be sent along, by which Kratos can join the trace."""

    def end(self, outcome: str) -> None:
        """Note that it is over; called once.

        Args:
            outcome: The HTTP status, unreached or lost.
        """


class Observer(Protocol):
    """Is told of every RPC and every call to Kratos when it begins."""

    def rpc(self, method: str, metadata: Metadata) -> RpcWatch:
        """Begin to watch an RPC.

        Args:
            method: Its full name, ``/package.Service/Method``.
            metadata: Gives what the caller sent along.
        """

    def call(self, name: str, method: str) -> CallWatch:
        """Begin to watch a call to Kratos.

        Args:
            name: What it is for, one of a few.
            method: The HTTP method.
        """


class Silent:
    """Watches nothing: an observer, and what watches for it."""

    headers: Mapping[str, str] = _NO_HEADERS

    def rpc(self, _method: str, _metadata: Metadata) -> Silent:
        """Let it pass."""
        return self

    def call(self, _name: str, _method: str) -> Silent:
        """Let it pass."""
        return self

    def end(self, _outcome: str, _status: int = 0) -> None:
        """Let it pass."""


class Both:
    """Tells two observers.

    Args:
        first: One.
        second: The other.
    """

    def __init__(self, first: Observer, second: Observer) -> None:
        self._first = first
        self._second = second

    def rpc(self, method: str, metadata: Metadata) -> RpcWatch:
        """Have both watch an RPC."""
        return _BothRpcs(
            self._first.rpc(method, metadata), self._second.rpc(method, metadata)
        )

    def call(self, name: str, method: str) -> CallWatch:
        """Have both watch a call to Kratos."""
        return _BothCalls(
            self._first.call(name, method), self._second.call(name, method)
        )


class _BothRpcs:
    __slots__ = ("_first", "_second")

    def __init__(self, first: RpcWatch, second: RpcWatch) -> None:
        self._first = first
        self._second = second

    def end(self, reason: str, status: int) -> None:
        self._first.end(reason, status)
        self._second.end(reason, status)


class _BothCalls:
    __slots__ = ("_first", "_second", "headers")

    def __init__(self, first: CallWatch, second: CallWatch) -> None:
        self._first = first
        self._second = second
        self.headers = {**first.headers, **second.headers}

    def end(self, outcome: str) -> None:
        self._first.end(outcome)
        self._second.end(outcome)

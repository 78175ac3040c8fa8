"""Loopback ports: free ones, and the usual ones of the stack."""

import itertools
import random
import socket
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import Self

LOOPBACK = "127.0.0.1"
# Below those that systems give to outgoing connections (Linux from 32768, others from
# 49152 on): one of these cannot be taken by a connection before its server listens.
FIRST, LAST = 12_000, 32_000
CONNECT_SECONDS = 1.0


def _round() -> Iterator[int]:
    """Go round the range, from anywhere, so that processes side by side differ."""
    start = random.randrange(FIRST, LAST)  # noqa: S311 - no secret
    return itertools.cycle([*range(start, LAST), *range(FIRST, start)])


# Going round, a port comes again late: not while its server is only being restarted.
_PORTS = _round()


def free_ports(count: int) -> tuple[int, ...]:
    """Find ports that nobody listens on.

    Kratos cannot be handed an open socket, so somebody else may take a port before
    it does; that somebody would have to choose this very one.

    Args:
        count: How many; they differ from each other.

    Returns:
        The port numbers.
    """
    return tuple(itertools.islice(filter(_is_free, _PORTS), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_served(port: int) -> bool:
    """Check that a server takes connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the stack listens: Kratos' two APIs, the hooks, signupd and two pages."""

    public: int = 4433
    admin: int = 4434
    hook: int = 9465
    rpc: int = 50051
    web: int = 8080
    inbox: int = 8025

    @classmethod
    def free(cls) -> Self:
        """Take whatever is free."""
        return cls(*free_ports(len(fields(cls))))

    @classmethod
    def usual(cls) -> Self:
        """Take the contract's defaults, and free ones for those in use."""
        usual = astuple(cls())
        pairs = zip(usual, free_ports(len(usual)), strict=True)
        return cls(*(other if is_served(port) else port for port, other in pairs))

    def taken(self) -> str:
        """Name the ports of the defaults that others take the places of."""
        pairs = zip(astuple(Ports()), astuple(self), strict=True)
        return ", ".join(str(usual) for usual, port in pairs if usual != port)

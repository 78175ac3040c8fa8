"""Free loopback ports."""

import itertools
import random
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
# Below those that systems give to outgoing connections (Linux from 32768, others from
# 49152 on): one of these cannot be taken by a connection before its server listens.
FIRST, LAST = 12_000, 32_000


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

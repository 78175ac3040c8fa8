"""Free loopback ports."""

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """Find ports that nobody listens on.

    Kratos cannot be handed an open socket, so somebody else may take a port before
    it does. The kernel goes round its range, which makes that rare.

    Args:
        count: How many; they differ from each other.

    Returns:
        The port numbers.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return tuple(one.getsockname()[1] for one in sockets)

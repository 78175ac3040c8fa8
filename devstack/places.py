"""Where the stack listens: the contract's ports, or free ones."""

import socket
from dataclasses import dataclass
from typing import Self

from devstack.ports import LOOPBACK, free_ports


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen: Kratos' two APIs, the hooks, and signupd itself."""

    public: int
    admin: int
    hook: int
    rpc: int

    @classmethod
    def free(cls) -> Self:
        """Take whatever is free."""
        return cls(*free_ports(4))

    @classmethod
    def usual(cls) -> Self:
        """Take the contract's defaults, and free ones for those in use."""
        spare = free_ports(4)
        usual = (4433, 4434, 9465, 50051)
        pairs = zip(usual, spare, strict=True)
        return cls(*(port if is_free(port) else other for port, other in pairs))


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        # As servers do: what a closed connection left behind is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

"""A TCP balancer: connections go round the servers that are ready."""

import asyncio
from typing import Any

from devstack.ports import LOOPBACK
from tests.doubles.forwarder import Forwarder


class Balancer(Forwarder):
    """Gives each connection to the next port; a port that refuses it is passed over.

    Attributes:
        ports: Of the ready servers; may be changed at any time.
        given: Each connection's task, done once it is closed, and its port; in order.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self.ports: list[int] = []
        self.given: dict[asyncio.Task[Any], int] = {}
        self._turn = 0

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self.ports:
            self._turn += 1
            port = self.ports[self._turn % len(self.ports)]
            try:
                ends = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                continue
            if (task := asyncio.current_task()) is not None:
                self.given[task] = port
            return ends
        raise ConnectionRefusedError

"""A way between two processes that a test can close, hold up and open again."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Coroutine
from typing import Any, Self

from devstack.ports import LOOPBACK, free_ports

CHUNK_BYTES = 64 * 1024
WAIT_SECONDS = 60.0


class Forwarder:
    """Passes TCP connections on to ports of this machine.

    A context manager; it is open from `__enter__` on. Closed, it refuses connections
    as a dead process does.

    Args:
        target_ports: Where the connections go, in turn; a port that takes none is
            passed over.
    """

    def __init__(self, *target_ports: int) -> None:
        (self.port,) = free_ports(1)
        self._target_ports = deque(target_ports)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._asked = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Take connections, and let pass what was held up."""
        self._run(self._open())

    def hold(self) -> None:
        """Take connections and requests, but pass no more of them on."""
        self._run(self._hold())

    def close(self) -> None:
        """Cut all connections and refuse new ones."""
        self._run(self._close())

    def wait_for_request(self) -> None:
        """Wait until something has come since `hold`."""
        if not self._asked.wait(WAIT_SECONDS):
            raise AssertionError(f"nothing came in {WAIT_SECONDS} s")

    def _run(self, job: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(job, self._loop).result(WAIT_SECONDS)

    async def _open(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, LOOPBACK, self.port
            )

    async def _hold(self) -> None:
        self._asked.clear()
        self._passing.clear()

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection until either side ends it, or the target is dead."""
        with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
            beginning = await self._begin(reader, writer)
            far_reader, far_writer = await self._connect()
            with contextlib.closing(far_writer):
                far_writer.write(beginning)
                there = asyncio.create_task(self._there(reader, far_writer))
                back = asyncio.create_task(_pump(far_reader, writer))
                pumps = (there, back)
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._target_ports)):
            self._target_ports.rotate(-1)
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(LOOPBACK, self._target_ports[0])
        raise ConnectionRefusedError

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """Meet a connection; give what is to be passed on before all else."""
        return b""

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self._asked.set()
            await self._passing.wait()
            writer.write(data)
            await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()

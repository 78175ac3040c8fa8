"""A pooler in front of PostgreSQL that drops a session's options.

So does PgBouncer with `ignore_startup_parameters = options`, but for the few settings
that it keeps track of. All else is passed on, each session on a connection of its own;
requests to cancel are not understood.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Self

from devstack.ports import LOOPBACK

# https://www.postgresql.org/docs/current/protocol-message-formats.html
HEAD = struct.Struct("!ii")
ENCRYPTION_REQUESTS = (80877103, 80877104)
CHUNK_BYTES = 2**16


class Pooler:
    """Passes connections on. An asynchronous context manager.

    Args:
        port: PostgreSQL's.

    Attributes:
        port: Its own.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._behind = port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, LOOPBACK)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for serving in self._serving:
                serving.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()

    def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            beginning = await _beginning(reader, writer)
            back, onward = await asyncio.open_connection(LOOPBACK, self._behind)
            onward.write(beginning)
            await asyncio.gather(_pass_on(reader, onward), _pass_on(back, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for side in filter(None, (writer, onward)):
                side.close()
                with contextlib.suppress(ConnectionError):
                    await side.wait_closed()


async def _beginning(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """Read how a session begins; leave `options` out."""
    while True:
        size, code = HEAD.unpack(await reader.readexactly(HEAD.size))
        rest = await reader.readexactly(size - HEAD.size)
        if code not in ENCRYPTION_REQUESTS:
            break
        writer.write(b"N")
    words = rest[:-2].split(b"\0")  # the last word's end, and the list's
    given = dict(zip(words[::2], words[1::2], strict=True))
    given.pop(b"options", None)
    kept = b"".join(b"%b\0%b\0" % one for one in given.items()) + b"\0"
    return HEAD.pack(HEAD.size + len(kept), code) + kept


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()

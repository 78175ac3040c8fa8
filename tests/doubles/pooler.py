"""A pooler in front of PostgreSQL that drops a session's options.

So does PgBouncer with `ignore_startup_parameters = options`, but for the few settings
that it keeps track of. All else is passed on, each session on a connection of its own;
requests to cancel are not understood.
"""

import asyncio
import struct

from tests.doubles.forwarder import Forwarder

# https://www.postgresql.org/docs/current/protocol-message-formats.html
HEAD = struct.Struct("!ii")
ENCRYPTION_REQUESTS = (80877103, 80877104)


class Pooler(Forwarder):
    """Passes sessions on to PostgreSQL, but for their options."""

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
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

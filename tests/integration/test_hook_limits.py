"""The hook port's limits: what a client can take, and what it gets to see."""

import asyncio
import contextlib
import gzip
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import pytest
from signupd.ports.hooks import MAX_BODY_BYTES, Hooks, PortLimits, listen, runner_of
from signupd.signup.approve import HookRefusal

from tests.doubles.log import LogDouble

PATIENCE = 30.0  # seconds
SOON = 0.5  # seconds; a machine may stand still for tenths of one
HOOK_KEY = "sixteen-or-more-characters"
SECRET = "not for strangers"
BODY = json.dumps({"flow_id": "f", "email": "ann@example.com"}).encode()
HEAD = b"POST /kratos/password HTTP/1.1\r\nHost: x\r\n"
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n"
ASKING = LENGTH % len(BODY) + BODY
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CODE = HEAD.replace(b"password", b"code")
UNKNOWN_FLOW, PROVED = b"9999002", b"9999001"


class Client:
    """A connection to the port."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self.send = writer.write
        self.abort = writer.transport.abort

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """Read a response: status, headers and body."""
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["Content-Length"]))
        return int(first.split(" ")[1]), headers, body

    async def rest(self) -> bytes:
        """Wait until the server closes; give what it sent before."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read()
        return b""


class Door:
    """The hook port, before a ledger that answers when told.

    Args:
        key: The hook key.
        limits: Other limits than the usual.

    Attributes:
        asked: How often the ledger was asked.
        released: Set to let it answer.
        answered: How often it did.
        fault: What it raises in place of an answer.
    """

    def __init__(self, key: str | None = None, **limits: Any) -> None:
        self.log = LogDouble()
        self.asked = self.answered = 0
        self.released = asyncio.Event()
        self.fault: Exception | None = None
        self._news = asyncio.Condition()
        keys = () if key is None else (key,)
        sign = "{}{}".format
        app = Hooks(self._note, self._approve, sign, self.log.logger, keys).app()
        self.runner = runner_of(app, self.log.logger, "hook port", PortLimits(**limits))
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        self._port = await listen(self.runner, "127.0.0.1:0")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        await self.runner.cleanup()
        for client in self._clients:
            client.abort()

    async def client(self, sent: bytes = b"") -> Client:
        """Connect, and send something."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self._clients.append(client)
        client.send(sent)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the ledger brings about."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    async def _note(self, _flow_id: str, _address: str) -> None:
        await self._approve(_flow_id, _address)

    async def _approve(self, _flow_id: str, _address: str) -> HookRefusal:
        self.asked += 1
        await self._notify()
        await self.released.wait()
        if self.fault is not None:
            raise self.fault
        self.answered += 1
        await self._notify()
        return HookRefusal.UNKNOWN_FLOW

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Open the port, without limits that a test would reach."""
    async with Door() as opened:
        yield opened


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\nHELLO\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        HEAD + b"no colon\r\n\r\n",
        LENGTH.replace(b"%d", b"-1"),
        LENGTH.replace(b"%d", b"1\r\nTransfer-Encoding: chunked"),
        CHUNKED + b"z\r\n",
        HEAD.replace(b"password", b"password?" + 1024 * b"a") + b"\r\n",
        HEAD + b"A: " + 8193 * b"a" + b"\r\n\r\n",
        HEAD + 8193 * b"a" + b": A\r\n\r\n",
        HEAD + 64 * b"A: b\r\n" + b"\r\n",
        # Far beyond the bounds, and handed over in one piece.
        HEAD.replace(b"password", 300_000 * b"a") + b"\r\n",
        HEAD + b"A: " + 300_000 * b"a" + b"\r\n\r\n",
        HEAD + 100 * (b"A: " + 3000 * b"a" + b"\r\n") + b"\r\n",
    ],
)
async def test_malformed(
    door: Door, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """What is not HTTP, or has too large a head, is refused and fills no log.

    Other clients are served as before.
    """
    client = await door.client(sent)
    status, _, _ = await client.response()
    await client.rest()
    other, _, _ = await (await door.client(CODE + b"\r\n")).response()

    assert (400, 403) == (status, other)
    assert 0 == door.asked
    assert [] == door.log.entries
    assert [] == caplog.records


@pytest.mark.parametrize("head", [HEAD, CODE])
@pytest.mark.parametrize("key", [b"x", b"\xff"])
async def test_before_the_body(head: bytes, key: bytes) -> None:
    """A wrong key is refused before the body comes."""
    async with Door(key=HOOK_KEY) as door:
        sent = head + b"X-Hook-Key: %s\r\nContent-Length: 9\r\n\r\n" % key
        status, _, body = await (await door.client(sent)).response()

    assert (403, b"") == (status, body)


async def test_compressed(door: Door) -> None:
    """A compressed body is not unpacked: it is garbage like other bytes."""
    packed = gzip.compress(BODY)
    encoded = (LENGTH % len(packed)).replace(b"Host", b"Content-Encoding: gzip\r\nHost")
    status, _, body = await (await door.client(encoded + packed)).response()

    assert 403 == status
    assert UNKNOWN_FLOW in body
    assert 0 == door.asked


@pytest.mark.parametrize("sent", [LENGTH % 9 + b"a", CHUNKED])
async def test_slow_body(sent: bytes) -> None:
    """A body that takes too long to come is given up, and the connection with it."""
    async with Door(request_seconds=SOON) as door:
        client = await door.client(sent)
        status, _, body = await client.response()
        rest = await client.rest()

    assert (503, b"", b"") == (status, body, rest)
    assert 0 == door.asked


@pytest.mark.parametrize("sent", [b"", HEAD[:9], HEAD, CODE + b"\r\n", ASKING + HEAD])
async def test_idle(sent: bytes) -> None:
    """A connection on which no complete head comes is closed."""
    async with Door(idle_seconds=SOON) as door:
        door.released.set()
        rest = await (await door.client(sent)).rest()

    assert sent.count(b"\r\n\r\n") == rest.count(b"HTTP/1.1 403")


async def test_slow_ledger() -> None:
    """So is an answer that takes too long; Kratos may retry."""
    async with Door(request_seconds=SOON) as door:
        client = await door.client(ASKING)
        status, _, body = await client.response()
        door.released.set()
        client.send(ASKING)
        again = await client.response()

    assert (503, b"") == (status, body)
    assert 403 == again[0]
    assert ["request_timed_out"] == door.log.events()


async def test_too_many() -> None:
    """Beyond the limit of requests at work others are refused at once."""
    async with Door(max_requests=2) as door:
        busy = [await door.client(ASKING) for _ in range(2)]
        await door.until(lambda: 2 == door.asked)
        refused = [
            (await (await door.client(sent)).response())[::2]
            for sent in (ASKING, CODE + b"\r\n")
        ]
        door.released.set()
        answers = [await one.response() for one in busy]
        after = await (await door.client(ASKING)).response()

    assert [(503, b"")] * 2 == refused
    assert [403] * 3 == [status for status, _, _ in (*answers, after)]


async def test_gone(door: Door) -> None:
    """The work on a request goes on when its client has gone away."""
    client = await door.client(ASKING)
    await door.until(lambda: 1 == door.asked)
    client.abort()
    other = await door.client(CODE + b"\r\n")
    await other.response()
    door.released.set()
    await door.until(lambda: 1 == door.answered)

    assert [] == door.log.entries


async def test_defect(caplog: pytest.LogCaptureFixture) -> None:
    """A defect is a 500 that says nothing, and a line of our log; we go on."""
    async with Door() as door:
        door.fault = RuntimeError(SECRET)
        door.released.set()
        client = await door.client(ASKING)
        defect = await client.response()
        door.fault = None
        client.send(ASKING)
        after = await client.response()

    assert (500, b"") == defect[::2]
    assert 403 == after[0]
    assert ["defect"] == door.log.events("error")
    assert [] == caplog.records


async def test_software(door: Door) -> None:
    """No response of ours tells what software, of which version, is at work."""
    door.fault = RuntimeError(SECRET)
    door.released.set()
    size, body = MAX_BODY_BYTES + 1, (MAX_BODY_BYTES + 1) * b"a"
    table = {
        CODE + b"\r\n": 403,
        CODE.replace(b"POST", b"GET") + b"\r\n": 405,
        HEAD.replace(b"password", b"x") + b"\r\n": 404,
        LENGTH % size + body: 413,
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body): 413,
        ASKING: 500,
    }
    found = [await (await door.client(sent)).response() for sent in table]

    assert list(table.values()) == [status for status, _, _ in found]
    assert [None] * 6 == [headers.get("Server") for _, headers, _ in found]
    assert not any(b"aiohttp" in body or b"ython" in body for _, _, body in found)

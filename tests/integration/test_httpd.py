"""The hook port's HTTP server, asked with exactly these bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import pytest
from signupd.httpd.connection import (
    MAX_BODY_BYTES,
    MAX_FORGOTTEN_BYTES,
    MAX_HEAD_BYTES,
    Connection,
)
from signupd.httpd.messages import Answer
from signupd.httpd.server import MAX_CONNECTIONS, HttpServer

from tests.doubles.log import LogDouble
from tests.integration.on_uvloop import play

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable, Coroutine

    from signupd.httpd.messages import Answerer, Question

    Scenario = Callable[["Site"], Coroutine[Any, Any, None]]

PATIENCE = 30.0  # seconds
SOON = 0.05  # seconds
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = GET.replace(b"/a", b"/wait")
CLOSE = GET.replace(b"Host", b"Connection: close\r\nHost")
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nX: late\r\n\r\n"
UPGRADE = GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost")
SECRET = "not for strangers"
LARGE = 256 * 1024


class Caller:
    """A connection to the server."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self.say = writer.write
        self.abort = writer.transport.abort

    async def hear(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer: status, headers and body."""
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["Content-Length"]))
        return int(first.split(" ")[1]), headers, body

    async def left(self) -> bytes:
        """Wait until the server closes; give what it said before."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read()
        return b""


class Full(asyncio.Transport):
    """A transport whose other end reads nothing, and so takes nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = asyncio.Event()
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep it."""

    def close(self) -> None:
        """Wait until everything is sent."""
        self.closed = True

    def abort(self) -> None:
        """Let go of it."""
        self.aborted.set()


class Site:
    """A server, and what it was asked.

    Args:
        answer: Answers; by default the questions' number, and at ``/wait`` when told.
        limits: The server's, in seconds.
    """

    def __init__(self, answer: Answerer | None = None, **limits: float) -> None:
        self.log = LogDouble()
        self.server = HttpServer(answer or self._answer, self.log.logger, **limits)
        self.asked: list[Question] = []
        self.released = asyncio.Event()
        self.finished = asyncio.Event()
        self.size = 0
        self._came = asyncio.Event()
        self._callers: list[Caller] = []

    async def __aenter__(self) -> Self:
        self._port = await self.server.listen("127.0.0.1:0")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        await self.server.close()
        for caller in self._callers:
            caller.abort()

    async def caller(self, said: bytes = b"") -> Caller:
        """Connect, and say something."""
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self._port))
        self._callers.append(caller)
        if said:
            caller.say(said)
        return caller

    async def questions(self, count: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(PATIENCE):
            while len(self.asked) < count:
                self._came.clear()
                await self._came.wait()

    def _answer(self, question: Question) -> Answer | Coroutine[Any, Any, Answer]:
        self.asked.append(question)
        self._came.set()
        answer = Answer(HTTPStatus.OK, b"%d" % len(self.asked) + bytes(self.size))
        return self._later(answer) if question.path == "/wait" else answer

    async def _later(self, answer: Answer) -> Answer:
        await self.released.wait()
        self.finished.set()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Give a server."""
    async with Site() as started:
        yield started


async def test_question(site: Site) -> None:
    """All of a request is told: its headers in lower case, the first of several."""
    lines = b"\r\nX-Key: \xff\r\nx-key: b\r\nContent-Length:"
    said = (
        (POST % 4).replace(b"/a", b"/a%20b?c=d").replace(b"\r\nContent-Length:", lines)
    )
    caller = await site.caller(said + b"body")
    await caller.hear()
    [asked] = site.asked

    assert ("POST", "/a%20b", b"body") == (asked.method, asked.path, asked.body)
    assert {b"host": b"x", b"x-key": b"\xff", b"content-length": b"4"} == asked.headers
    assert "body" not in repr(asked)
    assert "key" not in repr(asked)


async def test_answer(site: Site) -> None:
    """An answer has a date, and tells its length and that it is JSON."""
    status, headers, body = await (await site.caller(GET)).hear()
    date = headers.pop("Date")

    assert (200, b"1") == (status, body)
    assert {"Content-Type": "application/json", "Content-Length": "1"} == headers
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", date)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (GET, b""),
        (POST % 4 + b"body", b"body"),
        (CHUNKS, b"Wikipedia"),
        (GET.replace(b"/a", b"http://x:1/a?b"), b""),
    ],
)
@pytest.mark.parametrize("pieces", [False, True])
async def test_kept(site: Site, said: bytes, body: bytes, *, pieces: bool) -> None:
    """A request is read however it comes, and others follow on its connection."""
    caller = await site.caller()
    for part in [bytes([byte]) for byte in said] if pieces else [said]:
        caller.say(part)
        await asyncio.sleep(0)  # it is read on its own
    first = await caller.hear()
    caller.say(GET)
    second = await caller.hear()

    assert (b"1", b"2") == (first[2], second[2])
    assert ("/a", body) == (site.asked[0].path, site.asked[0].body)
    assert b"x" not in site.asked[0].headers
    assert "Connection" not in first[1]


@pytest.mark.parametrize(
    "said",
    [
        CLOSE,
        GET.replace(b"1.1", b"1.0"),
        GET.replace(b"1.1", b"1.0").replace(b"Host", b"Connection: keep-alive\r\nHost"),
        UPGRADE.replace(b"Upgrade\r\n", b"Upgrade, close\r\n"),
    ],
)
async def test_last(site: Site, said: bytes) -> None:
    """Who wants no more, or speaks HTTP/1.0, is told that the connection ends."""
    caller = await site.caller(said)
    _, headers, _ = await caller.hear()

    assert "close" == headers["Connection"]
    assert b"" == await caller.left()


async def test_upgrade(site: Site) -> None:
    """Who wants another protocol is answered in this one, and that is all."""
    caller = await site.caller(UPGRADE + b"\x00PRI")

    assert 200 == (await caller.hear())[0]
    assert b"" == await caller.left()


async def test_upgrade_later(site: Site) -> None:
    """So is who has to wait for the answer."""
    caller = await site.caller(UPGRADE.replace(b"/a", b"/wait"))
    await site.questions(1)
    site.released.set()

    assert "close" == (await caller.hear())[1]["Connection"]
    assert b"" == await caller.left()


async def test_continue(site: Site) -> None:
    """Who waits to be told sends the body then."""
    expecting = (POST % 2).replace(b"Host", b"Expect: 100-Continue\r\nHost")
    caller = await site.caller(expecting)
    async with asyncio.timeout(PATIENCE):
        told = await caller._reader.readuntil(b"\r\n\r\n")  # noqa: SLF001 - no answer yet
    caller.say(b"{}")

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == told
    assert 200 == (await caller.hear())[0]
    assert b"{}" == site.asked[0].body


async def test_in_a_row(site: Site) -> None:
    """Questions that come together are answered in their order."""
    caller = await site.caller(GET * 3)

    assert [b"1", b"2", b"3"] == [(await caller.hear())[2] for _ in range(3)]


@pytest.mark.parametrize("more", [GET, b"G", b"\x00"])
async def test_impatient(site: Site, more: bytes) -> None:
    """Who asks on while an answer is waited for loses the connection, no work."""
    caller = await site.caller(WAIT + more)
    await site.questions(1)
    left = await caller.left()
    site.released.set()
    async with asyncio.timeout(PATIENCE):
        await site.finished.wait()

    assert b"" == left
    assert 1 == len(site.asked)


async def test_after_the_last(site: Site) -> None:
    """What comes behind the last request is nobody's."""
    caller = await site.caller(CLOSE.replace(b"/a", b"/wait") + GET)
    await site.questions(1)
    site.released.set()

    assert (200, b"1") == (await caller.hear())[::2]
    assert b"" == await caller.left()
    assert 1 == len(site.asked)


async def test_spaces(site: Site) -> None:
    """A header's value is told without the spaces around it."""
    await (await site.caller(GET[:-2] + b"X-Key: \t a b \t\r\n\r\n")).hear()

    assert b"a b" == site.asked[0].headers[b"x-key"]


async def test_old_continue(site: Site) -> None:
    """HTTP/1.0 knows no 100."""
    expecting = (POST % 2).replace(b"Host", b"Expect: 100-continue\r\nHost")
    caller = await site.caller(expecting.replace(b"1.1", b"1.0") + b"{}")

    assert 200 == (await caller.hear())[0]


async def test_pieces_of_a_head(site: Site) -> None:
    """A head within the bound is read, in however many pieces."""
    caller = await site.caller(GET[:-2] + b"A: ")
    for _ in range(15):
        caller.say(1000 * b"a")
        await asyncio.sleep(0)  # it is read on its own
    caller.say(b"\r\n\r\n")

    assert 200 == (await caller.hear())[0]


async def test_body_before_a_head(site: Site) -> None:
    """A body is not taken for the head of what follows it."""
    size = MAX_HEAD_BYTES + 1
    caller = await site.caller(POST % size + size * b"a" + GET[:9])
    await caller.hear()
    caller.say(GET[9:])

    assert 200 == (await caller.hear())[0]


async def test_later(site: Site) -> None:
    """What comes while an answer is waited for is read after it."""
    caller = await site.caller(WAIT)
    await site.questions(1)
    caller.say(GET)
    other = await (await site.caller(GET)).hear()
    site.released.set()

    assert b"2" == other[2]
    assert [b"1", b"3"] == [(await caller.hear())[2] for _ in range(2)]


async def test_gone(site: Site) -> None:
    """Who goes away is not missed: the work is done, and others are served."""
    caller = await site.caller(WAIT)
    await site.questions(1)
    caller.abort()
    await (await site.caller(GET)).hear()
    site.released.set()
    async with asyncio.timeout(PATIENCE):
        await site.finished.wait()

    assert 200 == (await (await site.caller(GET)).hear())[0]
    assert [] == site.log.entries


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\r\n\r\nHELLO\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://:x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a HTTP/9.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"\r\n" * MAX_HEAD_BYTES, 431),
        (CHUNKED + b"1;" + 2 * MAX_HEAD_BYTES * b"a", 431),
        (CHUNKED + 2 * MAX_HEAD_BYTES * b"0", 431),
        (CHUNKED + b"1\r\na\r\n0\r\nA: " + 2 * MAX_HEAD_BYTES * b"a", 431),
        (CHUNKED + b"1\r\na\r\n0\r\n" + 2 * MAX_HEAD_BYTES * b"a", 431),
        (b"GET /a HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (POST.replace(b"%d", b"-1"), 400),
        (POST.replace(b"%d", b"1\r\nTransfer-Encoding: chunked"), 400),
        (CHUNKED + b"z\r\n", 400),
        (b"GET /" + MAX_HEAD_BYTES * b"a", 431),
        (b"GET /" + MAX_HEAD_BYTES * b"a" + GET[6:], 431),
        (GET[:-2] + b"A: " + MAX_HEAD_BYTES * b"a", 431),
        (GET[:-2] + b"A: " + MAX_HEAD_BYTES * b"a" + b"\r\n\r\n", 431),
        (GET[:-2] + MAX_HEAD_BYTES * b"a", 431),
        (GET[:-2] + MAX_HEAD_BYTES // 4 * b"A: b\r\n", 431),
        (POST % (2 * MAX_FORGOTTEN_BYTES) + MAX_FORGOTTEN_BYTES * b"a" + b"a", 413),
    ],
)
async def test_refused(site: Site, said: bytes, status: int) -> None:
    """What is not HTTP, or too much, is refused, and the connection ends."""
    caller = await site.caller(said)
    refused = await caller.hear()
    left = await caller.left()

    assert (status, b"") == (refused[0], refused[2])
    assert "close" == refused[1]["Connection"]
    assert b"" == left
    assert [] == site.asked


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_large(site: Site, size: int, *, chunked: bool) -> None:
    """Of a body beyond the bound nothing is told, but that; others follow."""
    body = size * b"a"
    said = CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
    caller = await site.caller(said if chunked else POST % size + body)
    await caller.hear()
    caller.say(GET)
    await caller.hear()

    assert [body if size == MAX_BODY_BYTES else None, b""] == [
        asked.body for asked in site.asked
    ]


@pytest.mark.parametrize("later", [False, True])
async def test_defect(*, later: bool) -> None:
    """A defect is a 500 that says nothing, and a line of the log; we go on."""

    def fail(_question: Question) -> Answer:
        raise RuntimeError(SECRET)

    async def fail_later() -> Answer:
        raise RuntimeError(SECRET)

    async with Site(lambda one: fail_later() if later else fail(one)) as site:
        caller = await site.caller(GET)
        answers = [await caller.hear()]
        caller.say(GET)
        answers.append(await caller.hear())

        assert [(500, b"")] * 2 == [(status, body) for status, _, body in answers]
        assert ["defect"] * 2 == site.log.events("error")


async def test_defect_in_writing() -> None:
    """An answer that cannot be written is a defect too, and ends the connection."""
    async with Site(lambda _: Answer(299)) as site:  # type: ignore[arg-type]
        left = await (await site.caller(GET)).left()

        assert b"" == left
        assert ["defect"] == site.log.events("error")


@pytest.mark.parametrize("said", [b"", GET])
async def test_idle(said: bytes) -> None:
    """A connection on which nothing comes is closed."""
    async with Site(idle_seconds=SOON) as site:
        caller = await site.caller(said)
        left = await caller.left()

    assert (b"200" in left) == bool(said)


@pytest.mark.parametrize("said", [GET[:9], GET[:-2], POST % 9 + b"a", CHUNKED])
async def test_slow(said: bytes) -> None:
    """A request that takes too long to come is given up."""
    async with Site(request_seconds=SOON) as site:
        left = await (await site.caller(said)).left()

    assert b"" == left
    assert [] == site.asked


async def test_no_limit_on_answers() -> None:
    """Neither limit is on the answer, which has its own."""
    async with Site(request_seconds=SOON, idle_seconds=SOON) as site:
        caller = await site.caller(WAIT)
        await site.questions(1)
        await (await site.caller()).left()  # as long as either
        site.released.set()

        assert 200 == (await caller.hear())[0]


async def test_enough(site: Site) -> None:
    """When there are enough connections whoever was idle longest goes."""
    busy = await site.caller(WAIT)
    await site.questions(1)
    first, second, *_ = [await site.caller() for _ in range(MAX_CONNECTIONS - 1)]
    first.say(GET)
    await first.hear()
    other = await site.caller(GET)

    assert 200 == (await other.hear())[0]
    assert b"" == await second.left()
    first.say(GET)
    assert 200 == (await first.hear())[0]
    site.released.set()
    assert 200 == (await busy.hear())[0]


async def test_too_many(site: Site) -> None:
    """Where all are at work the newcomer goes."""
    busy = [await site.caller(WAIT) for _ in range(MAX_CONNECTIONS)]
    await site.questions(MAX_CONNECTIONS)
    left = await (await site.caller(GET)).left()
    site.released.set()

    assert b"" == left
    assert {200} == {(await one.hear())[0] for one in busy}


async def test_does_not_read(site: Site) -> None:
    """Who asks on and on and reads no answer is left."""
    site.size = LARGE
    caller = await site.caller(GET * 100)
    await caller.left()
    count = len(site.asked)

    assert 0 < count < 100


async def test_lingers() -> None:
    """A connection that ends does not wait for ever until its last answer is read."""
    transport = Full()
    server = HttpServer(
        lambda _: Answer(HTTPStatus.OK), LogDouble().logger, request_seconds=SOON
    )
    connection = Connection(server)
    connection.connection_made(transport)
    connection.data_received(CLOSE)
    async with asyncio.timeout(PATIENCE):
        await transport.aborted.wait()

    assert transport.closed


@pytest.mark.parametrize("served", [False, True])
async def test_strangers(site: Site, *, served: bool) -> None:
    """Who begins to ask and does not go on shuts nobody out who is served."""
    kratos = await site.caller(GET)
    await kratos.hear()
    strangers = [await site.caller(GET[:1]) for _ in range(2 * MAX_CONNECTIONS)]
    other = await site.caller(GET)
    kratos.say(GET)

    assert 200 == (await (kratos if served else other).hear())[0]
    assert b"" == await strangers[0].left()


async def test_close() -> None:
    """At the end what was asked is answered, and nothing else is kept."""
    async with Site() as site:
        busy, idle, begun = [await site.caller(said) for said in (WAIT, GET, GET[:9])]
        await site.questions(2)
        await idle.hear()
        closing = asyncio.ensure_future(site.server.close())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await site.caller()
        site.released.set()
        status, headers, _ = await busy.hear()
        await closing

        assert (200, "close") == (status, headers["Connection"])
        assert [b""] * 3 == [await one.left() for one in (busy, idle, begun)]


async def test_close_waits_for_nothing_new() -> None:
    """While it closes, who has not asked yet is not waited for."""
    async with Site() as site:
        busy, idle = await site.caller(WAIT), await site.caller(GET)
        await site.questions(2)
        await idle.hear()
        closing = asyncio.ensure_future(site.server.close())
        left = await idle.left()
        site.released.set()
        await closing

        assert b"" == left
        assert 200 == (await busy.hear())[0]


async def test_close_unused() -> None:
    """A server that never listened is closed all the same."""
    await HttpServer(lambda _: Answer(HTTPStatus.OK), LogDouble().logger).close()


@pytest.mark.parametrize(
    "scenario",
    [
        test_question,
        test_answer,
        test_upgrade,
        test_upgrade_later,
        test_continue,
        test_in_a_row,
        test_after_the_last,
        test_later,
        test_gone,
        test_enough,
        test_too_many,
        test_does_not_read,
    ],
)
def test_uvloop(scenario: Scenario) -> None:
    """All of it holds on the loop that signupd runs on."""
    play(Site, scenario)

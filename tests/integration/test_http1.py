"""The HTTP client against servers that say exactly these bytes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any, Self

import pytest
from signupd.kratos.http1 import Client
from signupd.kratos.request import Request, Server, UrlInvalid

from tests.integration.on_uvloop import play

if TYPE_CHECKING:
    import ssl
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable, Coroutine

    from signupd.kratos.connection import Reply

    Scenario = Callable[["Raw"], Coroutine[Any, Any, None]]

PATIENCE = 30.0  # seconds
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = OK.replace(b"Content", b"Connection: close\r\nContent")
OTHER = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nother"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nServer: raw\r\n\r\n"  # till the connection's end
CONTINUE = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"


class Visit:
    """A connection that the server accepted."""

    asked = b""  # the last time

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self.say = writer.write
        self.abort = writer.transport.abort
        self.end = writer.write_eof

    async def request(self) -> bytes:
        """Read a request."""
        head = await self.head()
        length = re.search(rb"Content-Length: (\d+)", head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        self.asked = head + body
        return self.asked

    async def head(self) -> bytes:
        """Read a request's head."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        return await self._reader.readexactly(count)

    async def left(self) -> bytes:
        """Wait until the client closes; give what it said before."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""


class Raw:
    """A server that a test plays, and a client of it.

    Args:
        tls: The server's, and the client's; none for plaintext.

    Attributes:
        accepted: The connections, all there were.
        client: Asks it.
        url: The server's.
    """

    def __init__(self, *tls: ssl.SSLContext) -> None:
        self._own = tls[0] if tls else None
        self.client = Client(tls[1] if tls else None)
        self.accepted: list[Visit] = []
        self._fresh: asyncio.Queue[Visit] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._own
        )
        port = self._listening.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._own else ''}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        for visit in self.accepted:
            visit.abort()
        self._listening.close()
        await self._listening.wait_closed()

    def leave(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted.append(Visit(reader, writer))
        self._fresh.put_nowait(self.accepted[-1])

    def ask(
        self,
        method: str = "GET",
        target: str = "/",
        value: str = "",
        body: bytes = b"",
        seconds: float = PATIENCE,
    ) -> asyncio.Task[Reply]:
        """Have the client ask."""
        headers = {"X-Value": value} if value else {}
        server = Server.of(self.url)
        return asyncio.create_task(
            self.client.request(
                server, Request(method, target, headers, body or None), seconds
            )
        )

    async def visit(self) -> Visit:
        """Wait for a connection, and read its first request."""
        visit = await self._fresh.get()
        await visit.request()
        return visit

    async def headed(self) -> Visit:
        """Wait for a connection, and read its first request's head."""
        visit = await self._fresh.get()
        await visit.head()
        return visit

    async def answered(self, *parts: bytes) -> tuple[Visit, Reply]:
        """Have the client ask on a new connection, and answer."""
        asking, visit = self.ask(), await self.visit()
        for part in parts:
            visit.say(part)
            await asyncio.sleep(0)  # it is read on its own
        return visit, await asking

    async def again(self, visit: Visit) -> Reply:
        """Have the client ask on a connection that is there."""
        asking = self.ask()
        await visit.request()
        visit.say(OTHER)
        return await asking


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Give a server to be played."""
    async with Raw() as started:
        yield started


async def test_request(raw: Raw) -> None:
    """A request goes as it is given, with Host and the body's length."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask("POST", "/a?b=%20", value="v\tw", body=b"{}")
    sent = await visit.request()
    visit.say(OK)
    await asking
    host = raw.url.removeprefix("http://")

    assert (
        f"POST /a?b=%20 HTTP/1.1\r\nHost: {host}\r\n"
        "X-Value: v\tw\r\nContent-Length: 2\r\n\r\n{}"
    ) == sent.decode()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (CHUNKS, 200, b"Wikipedia"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (CONTINUE * 2 + OTHER, 201, b"other"),
    ],
)
@pytest.mark.parametrize("pieces", [False, True])
async def test_answers(
    raw: Raw, answer: bytes, status: int, body: bytes, *, pieces: bool
) -> None:
    """An answer that tells its end is read, however it comes; its connection stays."""
    parts = [bytes([byte]) for byte in answer] if pieces else [answer]
    visit, reply = await raw.answered(*parts)
    other = await raw.again(visit)

    assert (status, body) == (reply.status, reply.body)
    assert "X-Early" not in reply.headers
    assert (201, b"other") == (other.status, other.body)
    assert 1 == len(raw.accepted)


async def test_headers(raw: Raw) -> None:
    """Headers are found in any letter case, and may come more than once."""
    lines = b"\r\nset-cookie: a=1\r\nSet-Cookie: b=\xe9\r\nContent-Length:"
    _, reply = await raw.answered(OK.replace(b"\r\nContent-Length:", lines))

    assert ["a=1", "b=é"] == reply.headers.getall("SET-COOKIE")


@pytest.mark.parametrize("first", [0, 1])
async def test_last_used_first(raw: Raw, first: int) -> None:
    """Of two connections the one used last is taken, whichever was made last."""
    tasks, visits = [], []
    for _ in range(2):
        tasks.append(raw.ask())
        visits.append(await raw.visit())
    for index in (first, 1 - first):
        visits[index].say(OK)
        await tasks[index]
    reply = await raw.again(visits[1 - first])

    assert 201 == reply.status
    assert 2 == len(raw.accepted)


@pytest.mark.parametrize("answer", [CLOSE, OK.replace(b"1.1", b"1.0")])
async def test_not_kept(raw: Raw, answer: bytes) -> None:
    """A connection that the server wants closed is closed."""
    visit, reply = await raw.answered(answer)

    assert b"ok" == reply.body
    assert b"" == await visit.left()
    await raw.answered(OK)


async def test_until_the_end(raw: Raw) -> None:
    """A body of which nothing else tells the end has the connection's."""
    asking, visit = raw.ask(), await raw.visit()
    visit.say(ENDLESS + b"to the ")
    visit.say(b"end")
    visit.end()

    assert b"to the end" == (await asking).body
    assert b"" == await visit.left()
    await raw.answered(OK)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/a\r\nX-More: 1", ""),
        ("/a b", ""),
        ("/\u00e4", ""),
        ("/", "a\r\nX-More: 1"),
        ("/", "a\n"),
        ("/", "\u00e4"),
        ("/", "\x7f"),
    ],
)
async def test_unfit(raw: Raw, target: str, value: str) -> None:
    """What would end a line, or is no ASCII, is not sent, nor anything of it."""
    visit, _ = await raw.answered(OK)
    with pytest.raises(UrlInvalid) as caught:
        await raw.ask("GET", target, value, b"{}")
    asking = raw.ask()
    host = raw.url.removeprefix("http://")

    assert f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() == await visit.request()
    assert "X-More" not in str(caught.value)
    visit.say(OK)
    await asking


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://kratos", "kratos", 80, "kratos"),
        ("https://kratos/", "kratos", 443, "kratos"),
        ("http://kratos:4434/admin?a=b", "kratos", 4434, "kratos:4434"),
        ("HTTPS://Kratos.Example.ORG", "kratos.example.org", 443, "kratos.example.org"),
        ("http://[::1]", "::1", 80, "[::1]"),
        ("https://[2001:DB8::A]:8443/", "2001:db8::a", 8443, "[2001:db8::a]:8443"),
        ("http://b\u00fccher:81", "xn--bcher-kva", 81, "xn--bcher-kva:81"),
        ("http://Ann:secret@kratos", "kratos", 80, "kratos"),
        ("http://ann:secret@[::1]:81", "::1", 81, "[::1]:81"),
    ],
)
def test_server(url: str, host: str, port: int, authority: str) -> None:
    """A URL names a server; the header Host has it as the URL does."""
    server = Server.of(url)

    assert (host, port, authority) == (server.host, server.port, server.authority)
    assert url.lower().startswith("https") is server.secure


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ("ann:secret@", "ann:secret"),
        ("ann%40x:s%3A%2Fcr%C3%A9t@", "ann@x:s:/cr\u00e9t"),
        ("ann:p@ss@", "ann:p@ss"),
    ],
)
def test_credentials(given: str, credentials: str) -> None:
    """A URL's own credentials are decoded for Basic; nothing shows them."""
    server = Server.of(f"http://{given}kratos")
    basic = base64.b64encode(credentials.encode()).decode()

    assert f"Basic {basic}" == server.basic
    assert basic not in repr(server)
    assert "" == Server.of("http://kratos").basic == Server.of("http://@kratos").basic


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//kratos",
        "ftp://kratos",
        "http://:80",
        "http://kratos:99999",
        "http://hunter2 x/",
        "http://a..b",
        "http://[::1",
    ],
)
def test_no_server(url: str) -> None:
    """What names no server is told as such, without a word of it."""
    with pytest.raises(UrlInvalid, match=r"\Ano URL of a server\Z"):
        Server.of(url)


@pytest.mark.parametrize(
    "scenario",
    [
        test_request,
        test_until_the_end,
        functools.partial(test_last_used_first, first=0),
        functools.partial(test_not_kept, answer=CLOSE),
        functools.partial(
            test_answers, answer=CHUNKS, status=200, body=b"Wikipedia", pieces=True
        ),
    ],
)
def test_uvloop(scenario: Scenario) -> None:
    """All of it holds on the loop that signupd runs on."""
    play(Raw, scenario)

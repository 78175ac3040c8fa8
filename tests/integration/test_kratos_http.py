"""HTTP to Kratos, against a server that misbehaves at every moment there is.

What counts is the difference between a request that never went out (KratosUnreached)
and one whose answer is lost (KratosUnavailable): what was counted is given back for the
one and never for the other.
"""

import asyncio
import base64
import contextlib
import itertools
import re
import socket
import ssl
import traceback
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from signupd.errors import KratosIncompatible, KratosUnavailable, KratosUnreached
from signupd.kratos.failures import MAX_BODY_BYTES
from signupd.kratos.http import (
    FAILURES,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    HttpClient,
    Response,
)

from tests.doubles.authority import LOOPBACK, Authority, Issued, dns
from tests.doubles.certificate import certificate_file

AUTHORITY, STRANGER = Authority(), Authority()
SECONDS = 30.0
# Seconds, for what is to be given up; a loaded machine connects within half of it.
LITTLE = 1.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
OTHER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n[]"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nServer: raw\r\n\r\n"
LONG_HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Long: %s\r\n\r\n{}"


class Visit:
    """A connection that the server accepted."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.say = writer.write
        self.close = writer.close
        self.abort = writer.transport.abort

    async def request(self) -> bytes:
        """Read a request."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        return head + await self.read(int(length[1]) if length else 0)

    async def read(self, count: int) -> bytes:
        """Read so many bytes."""
        return await self._reader.readexactly(count)

    async def left(self) -> bytes:
        """Wait until the client closes; give what it sent before."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""


class Raw:
    """A server that a test plays, and the client that asks it.

    Args:
        ca: The authority that the client trusts.
        tls: The server's context; none for plaintext.

    Attributes:
        accepted: All connections there were.
    """

    def __init__(self, ca: Path, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        # Calls are hours apart, so that no breaker opens.
        hours = itertools.count(step=3600.0)
        self.client = HttpClient(ca=ca, clock=lambda: next(hours))
        self.accepted: list[Visit] = []
        self._fresh: asyncio.Queue[Visit] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._tls
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        for visit in self.accepted:
            visit.abort()
        self._server.close()
        await self._server.wait_closed()

    def leave(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted.append(Visit(reader, writer))
        self._fresh.put_nowait(self.accepted[-1])

    def ask(
        self, method: str = "POST", seconds: float = SECONDS
    ) -> asyncio.Task[Response]:
        """Have the client ask."""
        payload = {"a": 1} if method == "POST" else None
        asking = self.client.request(method, self.url, seconds, payload)
        return asyncio.create_task(asking)

    async def connection(self) -> Visit:
        """Wait for the next connection."""
        return await self._fresh.get()

    async def asked(self) -> Visit:
        """Wait for the next connection, and read its first request."""
        visit = await self.connection()
        await visit.request()
        return visit

    async def answered(self, response: bytes = OK) -> tuple[Visit, Response]:
        """Have the client ask on a new connection, and answer."""
        asking, visit = self.ask(), await self.asked()
        visit.say(response)
        return visit, await asking


async def failure(asking: asyncio.Task[Response]) -> object:
    """Give what a call ends in; an error is what it should be."""
    (outcome,) = await asyncio.gather(asking, return_exceptions=True)
    return outcome


@pytest.fixture
async def raw(tmp_path: Path) -> AsyncIterator[Raw]:
    """Give a server to be played."""
    async with Raw(certificate_file(tmp_path)) as started:
        yield started


def secure(directory: Path, issued: Issued) -> Raw:
    """Make a server with this certificate, and a client that trusts AUTHORITY."""
    cert, key, ca = (directory / name for name in ("tls.crt", "tls.key", "ca.crt"))
    issued.write(cert, key)
    ca.write_bytes(AUTHORITY.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return Raw(ca, context)


class TestNeverConnected:
    """No connection was made: Kratos did nothing, whatever the method."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_refused(self, raw: Raw, method: str) -> None:
        """A port where nothing listens."""
        with socket.socket() as bound:  # and not listening
            bound.bind(("127.0.0.1", 0))
            raw.url = f"http://127.0.0.1:{bound.getsockname()[1]}/"

            with pytest.raises(KratosUnreached, match="Connection refused"):
                await raw.ask(method)

    async def test_unknown_name(self, raw: Raw) -> None:
        """A host name that does not exist."""
        raw.url = "http://kratos.invalid/"

        with pytest.raises(
            KratosUnreached, match=r"kratos\.invalid: the host name is unknown"
        ):
            await raw.ask()

    async def test_dropped_packets(self, raw: Raw) -> None:
        """A server whose queue of connections is full answers no packet."""
        with contextlib.ExitStack() as sockets:
            deaf = sockets.enter_context(socket.socket())
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for _ in range(4):  # until the queue is full
                waiting = sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(deaf.getsockname())
            raw.url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"

            with pytest.raises(KratosUnreached, match="no connection in time"):
                await raw.ask(seconds=LITTLE)

    @pytest.mark.parametrize(
        ("issued", "why"),
        [
            (STRANGER.issue(*LOOPBACK), "certificate signature failure"),
            (AUTHORITY.issue(dns("localhost")), "IP address mismatch"),
        ],
        ids=["authority", "name"],
    )
    async def test_not_trusted(self, tmp_path: Path, issued: Issued, why: str) -> None:
        """A certificate of another authority, or for another name."""
        async with secure(tmp_path, issued) as raw:
            with pytest.raises(KratosUnreached, match=why):
                await raw.ask()

    async def test_no_tls(self, raw: Raw) -> None:
        """A server that ends the handshake, does not speak TLS, or says nothing."""
        raw.url = raw.url.replace("http", "https")
        answers = {b"": "Conn", b"HTTP/1.1 400 Bad Request\r\n\r\n": "needs http://"}
        for said, why in answers.items():
            asking, visit = raw.ask(), await raw.connection()
            visit.say(said)
            visit.close()

            with pytest.raises(KratosUnreached, match=why):
                await asking
        with pytest.raises(KratosUnreached, match="no connection in time"):
            await raw.ask(seconds=LITTLE)

    async def test_no_connection_free(self, raw: Raw) -> None:
        """Every connection is in use: a request gives up after half of its time."""
        asking = [raw.ask() for _ in range(MAX_CONNECTIONS)]
        visits = [await raw.asked() for _ in range(MAX_CONNECTIONS)]
        for _ in range(FAILURES):
            with pytest.raises(KratosUnreached, match="no connection in time"):
                await raw.ask(seconds=LITTLE)
        for visit in visits:
            visit.say(OK)
        responses = await asyncio.gather(*asking)

        assert {200} == {response.status for response in responses}
        assert MAX_CONNECTIONS == len(raw.accepted)


class TestTlsExpected:
    """A request in plaintext to a server with TLS: the error says so."""

    @pytest.mark.parametrize(
        "said",
        [
            "Client sent an HTTP request to an HTTPS server.",
            "<center>The plain HTTP request was sent to HTTPS port</center>",
            "You're speaking plain HTTP to an SSL-enabled server port.",
        ],
        ids=["Go", "nginx", "Apache"],
    )
    async def test_told(self, raw: Raw, said: str) -> None:
        """The server says what it is; no credentials are shown."""
        raw.url = raw.url.replace("//", "//ann:hunter2@") + "schemas?secret"
        head = LENGTH.replace(b"200 OK", b"400 Bad Request") % len(said)
        with pytest.raises(KratosIncompatible) as caught:
            await raw.answered(head + said.encode())

        port = raw.url.split(":")[3].split("/")[0]
        assert f"http://127.0.0.1:{port}: the server expects https://" == str(
            caught.value
        )

    async def test_cut(self, tmp_path: Path) -> None:
        """The server cuts the connection, or answers with a TLS alert."""
        async with secure(tmp_path, AUTHORITY.issue(*LOOPBACK)) as raw:
            raw.url = raw.url.replace("https", "http")

            with pytest.raises(KratosUnavailable, match="needs https://"):
                await raw.ask()


class TestLost:
    """The request may have been sent: what Kratos did is not known."""

    async def test_closed_within_the_request(self, raw: Raw) -> None:
        """A connection that ends after any number of the request's bytes."""
        asking, visit = raw.ask(), await raw.connection()
        size = len(await visit.request())
        visit.abort()
        errors: list[Any] = [*await asyncio.gather(asking, return_exceptions=True)]
        for count in range(size):
            asking, visit = raw.ask(), await raw.connection()
            await visit.read(count)
            visit.abort()
            errors += await asyncio.gather(asking, return_exceptions=True)

        assert {KratosUnavailable} == {type(error) for error in errors}
        assert size + 1 == len(raw.accepted)

    @pytest.mark.parametrize("end", ["close", "abort"])
    @pytest.mark.parametrize(
        "response", [OK, CHUNKS, CONTINUE + OK], ids=["length", "chunked", "continue"]
    )
    async def test_closed_within_the_response(
        self, raw: Raw, response: bytes, end: str
    ) -> None:
        """A connection that ends after any number of the response's bytes."""
        errors: list[Any] = []
        for count in range(len(response)):
            asking, visit = raw.ask(), await raw.asked()
            visit.say(response[:count])
            getattr(visit, end)()
            errors += await asyncio.gather(asking, return_exceptions=True)

        assert {KratosUnavailable} == {type(error) for error in errors}
        assert len(response) == len(raw.accepted)
        assert {} == (await raw.answered(response))[1].body

    @pytest.mark.parametrize(
        "said",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            LENGTH.replace(b"%d", b"2\r\nContent-Length: 3"),
            CHUNKED + b"x\r\n",
            OK + b"more",
            LONG_HEADER % (MAX_HEADER_BYTES * b"x" + b"x"),
            LONG_HEADER % (200 * 1024 * b"x"),  # handed over in one piece
            OK.replace(b"OK", (64 * 1024 + 1) * b"x"),
            OK.replace(b"\r\n\r\n", 200 * b"\r\nX: y" + b"\r\n\r\n"),
        ],
        ids=range(9),
    )
    async def test_no_http(self, raw: Raw, said: bytes) -> None:
        """Bytes that are not HTTP, or headers beyond all bounds."""
        asking, visit = raw.ask(), await raw.asked()
        visit.say(said)

        assert KratosUnavailable is type(await failure(asking))
        assert b"" == await visit.left()

    @pytest.mark.parametrize("said", [b"", OK[:20], OK[:-1], CHUNKED])
    async def test_stalls(self, raw: Raw, said: bytes) -> None:
        """A server that stops in the middle; its connection is closed."""
        asking, visit = raw.ask(seconds=LITTLE), await raw.asked()
        visit.say(said)

        assert KratosUnavailable is type(await failure(asking))
        assert b"" == await visit.left()

    async def test_goes_on_and_on(self, raw: Raw) -> None:
        """A server that always says something: the time is for all of it."""
        asking, visit = raw.ask(seconds=LITTLE), await raw.asked()
        while not asking.done():
            visit.say(CONTINUE)
            await asyncio.sleep(0)

        assert KratosUnavailable is type(await failure(asking))


class TestKeptConnections:
    """A kept connection may end at any moment, and no POST is sent twice."""

    @pytest.mark.parametrize("end", ["close", "abort"])
    async def test_post_is_sent_once(self, raw: Raw, end: str) -> None:
        """A POST on a connection that ends is lost, and not sent again."""
        visit, _ = await raw.answered()
        asking = raw.ask("POST")
        await visit.request()
        getattr(visit, end)()

        assert KratosUnavailable is type(await failure(asking))
        assert 1 == len(raw.accepted)

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_idempotent_is_sent_again(self, raw: Raw, method: str) -> None:
        """A GET or a DELETE is sent once more, on a new connection."""
        visit, _ = await raw.answered()
        asking = raw.ask(method)
        await visit.request()
        visit.abort()
        (await raw.asked()).say(OTHER)

        assert 201 == (await asking).status
        assert 2 == len(raw.accepted)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_cancelled(self, raw: Raw, method: str) -> None:
        """The response to a request that was given up goes to no other."""
        visit, _ = await raw.answered()
        asking = raw.ask(method)
        await visit.request()
        visit.say(OTHER[:-1])
        asking.cancel()

        assert b"" == await visit.left()
        assert 200 == (await raw.answered())[1].status
        assert asking.cancelled()

    async def test_tls(self, tmp_path: Path) -> None:
        """A server whose certificate is trusted is asked."""
        async with secure(tmp_path, AUTHORITY.issue(*LOOPBACK)) as raw:
            assert 200 == (await raw.answered())[1].status


class TestBounds:
    """A response without end is not kept in memory."""

    @pytest.mark.parametrize(
        "said",
        [
            LENGTH % (MAX_BODY_BYTES + 2) + MAX_BODY_BYTES * b"x" + b"x",
            CHUNKED + b"%x\r\n" % (MAX_BODY_BYTES + 1) + MAX_BODY_BYTES * b"x" + b"x",
            UNTIL_CLOSED + MAX_BODY_BYTES * b"x" + b"x",
        ],
        ids=["length", "chunked", "until closed"],
    )
    async def test_too_large(self, raw: Raw, said: bytes) -> None:
        """One byte more than the bound; the connection is closed."""
        asking, visit = raw.ask(), await raw.asked()
        visit.say(said)

        with pytest.raises(KratosIncompatible, match="bytes came"):
            await asking
        assert b"" == await visit.left()

    async def test_compressed(self, raw: Raw) -> None:
        """A compressed response, which nobody asked for, is not unpacked."""
        body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\xae\x05\x00"
        head = LENGTH.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        _, response = await raw.answered(head % len(body) + body)

        assert (200, None) == (response.status, response.body)


class TestRequests:
    """What goes out, and to whom."""

    @pytest.mark.parametrize("body", [b"<h1>", b"\xff", b"[" * 100_000, b""])
    async def test_no_json(self, raw: Raw, body: bytes) -> None:
        """A body that is no JSON is None."""
        _, response = await raw.answered(LENGTH % len(body) + body)

        assert (200, None) == (response.status, response.body)

    async def test_no_cookies(self, raw: Raw) -> None:
        """A cookie that Kratos sets is for its reader; the next request has none."""
        said = OK.replace(b"Content", b"Set-Cookie: a=b; Path=/\r\nContent")
        visit, response = await raw.answered(said)
        asking = raw.ask()
        asked = await visit.request()
        visit.say(OK)
        await asking

        assert "a=b" == response.cookies
        assert b"a=b" not in asked

    async def test_no_environment(
        self, raw: Raw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy in the environment is not for Kratos."""
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9/")

        assert 200 == (await raw.answered())[1].status

    async def test_credentials_in_the_url(self, raw: Raw) -> None:
        """A URL's own credentials are sent as Basic."""
        raw.url = raw.url.replace("//", "//ann:s%40cret@")
        asking, visit = raw.ask("GET"), await raw.connection()
        asked = await visit.request()
        visit.say(OK)
        await asking
        basic = base64.b64encode(b"ann:s@cret")

        assert [b"Basic " + basic] == re.findall(rb"Authorization: (.*)\r", asked)

    async def test_error_without_url(self, raw: Raw) -> None:
        """An error says nothing of the URL, in which an address may be."""
        raw.leave()
        raw.url += "?credentials_identifier=ann%40example.com"

        with pytest.raises(KratosUnreached) as caught:
            await raw.ask("GET", LITTLE)
        assert "ann" not in "".join(traceback.format_exception(caught.value))

"""The HTTP client against servers that break off, say too much or are not there."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from signupd.kratos.connection import (
    MAX_BODY_BYTES,
    MAX_BYTES,
    MAX_HEAD_BYTES,
    AnswerTooLarge,
    ConnectionBroken,
)
from signupd.kratos.http1 import IDLE_SECONDS, NotConnected

from tests.doubles.authority import LOOPBACK, Authority, Issued, dns
from tests.integration.on_uvloop import play
from tests.integration.test_http1 import (
    CHUNKED,
    CONTINUE,
    ENDLESS,
    OK,
    OTHER,
    Raw,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.test_http1 import Scenario

AUTHORITY, STRANGER = Authority(), Authority()
HEAD = b"HTTP/1.1 200 OK\r\nX-Long: "
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Ahead(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        """Tell the time."""
        return super().time() + self.ahead


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Give a server to be played."""
    async with Raw() as started:
        yield started


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_closed_meanwhile(raw: Raw, method: str) -> None:
    """A kept connection known to be closed costs nothing, whatever is asked."""
    visit, _ = await raw.answered(OK)
    visit.end()
    await visit.left()
    asking, fresh = raw.ask(method), await raw.visit()
    fresh.say(OTHER)

    assert b"other" == (await asking).body


@pytest.mark.parametrize(("idle", "connections"), [(-1.0, 1), (1.0, 2)])
def test_idle(idle: float, connections: int) -> None:
    """A connection that was idle for long is not used again, and is closed."""

    async def scenario(loop: Ahead) -> int:
        async with Raw() as raw:
            visit, _ = await raw.answered(OK)
            loop.ahead += IDLE_SECONDS + idle
            if connections == 1:
                await raw.again(visit)
            else:
                await raw.answered(OK)
                await visit.left()
            return len(raw.accepted)

    loop = Ahead()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert connections == runner.run(scenario(loop))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_again(raw: Raw, method: str) -> None:
    """What a kept connection loses is asked again on a new one, if it may be."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask(method, "/again")
    await visit.request()
    visit.abort()
    fresh = await raw.visit()
    fresh.say(OTHER)

    assert visit.asked == fresh.asked
    assert fresh.asked.startswith(f"{method} /again ".encode())
    assert b"other" == (await asking).body
    assert 2 == len(raw.accepted)


async def test_only_once_more(raw: Raw) -> None:
    """What is lost again is not asked a third time."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask()
    await visit.request()
    visit.abort()
    (await raw.visit()).abort()
    with pytest.raises(ConnectionBroken):
        await asking

    assert 2 == len(raw.accepted)


async def test_lost_and_gone(raw: Raw) -> None:
    """What was sent may be done, though there is no connection to ask again."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask("DELETE")
    await visit.request()
    raw.leave()
    visit.abort()
    with pytest.raises(ConnectionBroken):
        await asking


async def test_post_once(raw: Raw) -> None:
    """A POST that was sent may have done anything: it is not sent again."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask("POST", body=b"{}")
    await visit.request()
    visit.abort()
    with pytest.raises(ConnectionBroken):
        await asking

    assert 1 == len(raw.accepted)
    await raw.answered(OK)


async def test_begun(raw: Raw) -> None:
    """A kept connection that breaks within an answer was not closed before."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask()
    await visit.request()
    visit.say(OTHER[:9])
    visit.end()
    with pytest.raises(ConnectionBroken):
        await asking

    assert 1 == len(raw.accepted)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        OK[:20],
        OK[:-1],
        CONTINUE,
        CHUNKED,
        CHUNKED + b"4\r\nWi",
        CHUNKED + b"4\r\nWiki\r\n",
        ENDLESS[:-2],
    ],
)
async def test_cut_short(raw: Raw, answer: bytes) -> None:
    """An answer that ends too early is none, and what was sent may be done."""
    asking, visit = raw.ask("POST"), await raw.visit()
    visit.say(answer)
    visit.end()
    with pytest.raises(ConnectionBroken):
        await asking

    assert 1 == len(raw.accepted)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<h1>It works</h1>",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 OK\r\n\r\n",
        LONG.replace(b"%d", b"some"),
        LONG.replace(b"%d", b"2\r\nContent-Length: 3"),
        LONG.replace(b"%d", b"2\r\nTransfer-Encoding: chunked"),
        CHUNKED + b"x\r\n",
    ],
)
async def test_no_http(raw: Raw, answer: bytes) -> None:
    """What is not HTTP is not read on, and its connection is closed."""
    asking, visit = raw.ask(), await raw.visit()
    visit.say(answer)
    with pytest.raises(ConnectionBroken):
        await asking

    assert b"" == await visit.left()


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + MAX_HEAD_BYTES * b"x",
        HEAD + MAX_HEAD_BYTES // 4 * b"\r\na: b",
        CONTINUE + HEAD + 8 * MAX_HEAD_BYTES * b"x",
        LONG % (MAX_BODY_BYTES + 1) + MAX_BODY_BYTES * b"x" + b"x",
        CHUNKED + b"%x\r\n" % (MAX_BODY_BYTES + 1) + MAX_BODY_BYTES * b"x" + b"x",
        ENDLESS + MAX_BODY_BYTES * b"x" + b"x",
        CHUNKED + b"0\r\nX-Long: " + MAX_BYTES * b"x",
    ],
    ids=range(7),
)
async def test_too_large(raw: Raw, answer: bytes) -> None:
    """A head or a body without end is not kept, nor its connection."""
    asking, visit = raw.ask(), await raw.visit()
    visit.say(answer)
    with pytest.raises(AnswerTooLarge):
        await asking

    assert b"" == await visit.left()
    assert 1 == len(raw.accepted)


async def test_large(raw: Raw) -> None:
    """One that is just not too large passes."""
    name = MAX_HEAD_BYTES // 2 * b"x"
    start = HEAD + name + b"\r\n" + (LONG % MAX_BODY_BYTES).partition(b"\r\n")[2]
    visit, reply = await raw.answered(start + MAX_BODY_BYTES * b"x")

    assert MAX_BODY_BYTES == len(reply.body)
    assert name.decode() == reply.headers["X-Long"]
    await raw.again(visit)


@pytest.mark.parametrize("said", [b"HTTP/1.1 408 Late\r\n\r\n", OTHER, b"\0"])
async def test_nobody_asked(raw: Raw, said: bytes) -> None:
    """What comes on an idle connection closes it, and is nobody's answer."""
    visit, _ = await raw.answered(OK)
    visit.say(said)

    assert b"" == await visit.left()
    assert b"ok" == (await raw.answered(OK))[1].body


@pytest.mark.parametrize("surplus", [b"more", OTHER, OTHER[:-1]])
async def test_more_than_an_answer(raw: Raw, surplus: bytes) -> None:
    """What follows an answer closes the connection, and is not the next one's."""
    visit, reply = await raw.answered(OK + surplus)
    asking, fresh = raw.ask("POST"), await raw.visit()
    fresh.say(OK)

    assert [b"ok", b"ok"] == [reply.body, (await asking).body]
    assert b"" == await visit.left()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_cancelled(raw: Raw, method: str) -> None:
    """The answer to a request that was given up goes to nobody else."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask(method)
    await visit.request()
    visit.say(OTHER[:-1])
    asking.cancel()

    assert b"" == await visit.left()
    assert b"ok" == (await raw.answered(OK))[1].body
    assert asking.cancelled()


async def test_late(raw: Raw) -> None:
    """An answer that comes too late is nobody's, and its connection is closed."""
    visit, _ = await raw.answered(OK)
    asking = raw.ask("POST", seconds=0.05)
    await visit.request()
    with pytest.raises(TimeoutError):
        await asking

    assert b"" == await visit.left()
    assert b"ok" == (await raw.answered(OK))[1].body


async def test_refused(raw: Raw) -> None:
    """A port where nobody listens is not connected to."""
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        raw.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        for method in ("GET", "POST"):
            with pytest.raises(NotConnected, match="ConnectionRefusedError"):
                await raw.ask(method)


class Ways(asyncio.SelectorEventLoop):
    """A loop to which every name has several addresses.

    Attributes:
        ports: Where they are, on this machine.
    """

    ports: tuple[int, ...] = ()

    async def getaddrinfo(self, *_: Any, **__: Any) -> list[Any]:
        """Look a name up."""
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, ("127.0.0.1", port)) for port in self.ports]


def test_another_address() -> None:
    """Where one address swallows all packets, another one is tried in time."""

    async def played() -> None:
        deaf = socket.create_server(("127.0.0.1", 0), backlog=0)
        with deaf, socket.create_connection(deaf.getsockname()):  # its queue is full
            async with Raw() as raw:
                loop.ports = (deaf.getsockname()[1], int(raw.url.rpartition(":")[2]))
                assert b"ok" == (await raw.answered(OK))[1].body

    loop = Ways()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(played())


def secure(directory: Path, issued: Issued) -> Raw:
    """Make a server that has this certificate, and a client that trusts AUTHORITY."""
    cert, key = directory / "tls.crt", directory / "tls.key"
    issued.write(cert, key)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(cert, key)
    return Raw(own, ssl.create_default_context(cadata=AUTHORITY.pem.decode()))


async def test_tls(tmp_path: Path) -> None:
    """A server whose certificate is trusted is asked, on connections that are kept."""
    async with secure(tmp_path, AUTHORITY.issue(*LOOPBACK)) as raw:
        visit, reply = await raw.answered(OK)
        other = await raw.again(visit)

    assert (b"ok", b"other") == (reply.body, other.body)


FOREIGN = [STRANGER.issue(*LOOPBACK), AUTHORITY.issue(dns("localhost"))]


@pytest.mark.parametrize("issued", FOREIGN, ids=["authority", "name"])
async def test_not_trusted(tmp_path: Path, issued: Issued) -> None:
    """Another authority's certificate, or another name's, gets no connection."""
    async with secure(tmp_path, issued) as raw:
        with pytest.raises(NotConnected, match="SSLCertVerificationError"):
            await raw.ask()


@pytest.mark.parametrize(
    "scenario",
    [
        test_only_once_more,
        test_post_once,
        test_begun,
        test_large,
        test_refused,
        functools.partial(test_closed_meanwhile, method="POST"),
        functools.partial(test_again, method="DELETE"),
        functools.partial(test_cut_short, answer=OK[:-1]),
        functools.partial(test_no_http, answer=b"<h1>It works</h1>"),
        functools.partial(test_too_large, answer=HEAD + MAX_HEAD_BYTES * b"x"),
        functools.partial(test_nobody_asked, said=OTHER),
        functools.partial(test_cancelled, method="POST"),
    ],
    ids=range(12),
)
def test_uvloop(scenario: Scenario) -> None:
    """All of it holds on the loop that signupd runs on."""
    play(Raw, scenario)


def test_tls_on_uvloop(tmp_path: Path) -> None:
    """So does TLS."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_tls(tmp_path))
        runner.run(test_not_trusted(tmp_path, FOREIGN[0]))

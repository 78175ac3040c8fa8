"""The HTTP client with something to be done between head and body."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from signupd.kratos.http1 import MAX_WAITING, NotConnected, NotSent
from signupd.kratos.request import Request, Server

from tests.integration.on_uvloop import play
from tests.integration.test_http1 import OK, OTHER, PATIENCE, Raw, Visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.kratos.connection import Reply

    from tests.integration.test_http1 import Scenario

BODY = b'{"a": 1}'


class Between:
    """What is to be done between head and body: it waits to be told.

    Attributes:
        begun: Set when it is called.
        done: To be set.
        times: How often it was called.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = asyncio.Event()
        self.done = asyncio.Event()
        self.times = 0
        self._error = error

    async def __call__(self) -> None:
        """Wait."""
        self.times += 1
        self.begun.set()
        await self.done.wait()
        if self._error is not None:
            raise self._error


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request whose head was sent, on a connection that was there."""

    visit: Visit
    between: Between
    asking: asyncio.Task[Reply]


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Give a server to be played."""
    async with Raw() as started:
        yield started


def ask(raw: Raw, between: Between, seconds: float = PATIENCE) -> asyncio.Task[Reply]:
    """Have the client ask."""
    request = Request("POST", "/", {}, BODY, between)
    asked = raw.client.request(Server.of(raw.url), request, seconds)
    return asyncio.create_task(asked)


async def waiting(raw: Raw, error: Exception | None = None) -> Waiting:
    """Have the client wait between head and body."""
    visit, _ = await raw.answered(OK)
    between = Between(error)
    asking = ask(raw, between)
    await visit.head()
    await between.begun.wait()
    return Waiting(visit, between, asking)


async def test_in_two(raw: Raw) -> None:
    """The head goes first, and the body when all is done; the connection stays."""
    at = await waiting(raw)
    at.between.done.set()
    body = await at.visit.exactly(len(BODY))
    at.visit.say(OK)
    reply = await at.asking

    assert BODY == body
    assert b"ok" == reply.body
    assert 201 == (await raw.again(at.visit)).status
    assert 1 == at.between.times


async def test_fails(raw: Raw) -> None:
    """What goes wrong in between is raised, and no body is sent."""
    at = await waiting(raw, LookupError("busy"))
    at.between.done.set()
    with pytest.raises(LookupError, match="busy"):
        await at.asking

    assert b"" == await at.visit.left()
    assert b"ok" == (await raw.answered(OK))[1].body


async def test_cancelled(raw: Raw) -> None:
    """Nor is it when nobody waits for the answer any more."""
    at = await waiting(raw)
    at.asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await at.asking

    assert b"" == await at.visit.left()


async def test_breaks(raw: Raw) -> None:
    """A connection that breaks in between is no lost answer: all goes on another."""
    at = await waiting(raw)
    at.visit.abort()
    await raw.answered(OK)  # so that is noticed
    at.between.done.set()
    other = await raw.visit()
    other.say(OTHER)

    assert 201 == (await at.asking).status
    assert other.asked.endswith(b"\r\n\r\n" + BODY)
    assert 1 == at.between.times


async def test_breaks_for_good(raw: Raw) -> None:
    """Where there is no other, nothing was sent."""
    at = await waiting(raw)
    at.visit.abort()
    await raw.answered(OK)  # so that is noticed
    raw.leave()
    at.between.done.set()

    with pytest.raises(NotConnected):
        await at.asking


@pytest.mark.parametrize("error", [None, LookupError("busy")])
async def test_nonsense(raw: Raw, error: Exception | None) -> None:
    """A server that says what is no HTTP breaks the connection, and no more."""
    at = await waiting(raw, error)
    at.visit.say(b"nonsense\r\n\r\n")
    await at.visit.left()
    at.between.done.set()
    if error is None:
        (await raw.visit()).say(OK)
        assert b"ok" == (await at.asking).body
    else:
        with pytest.raises(LookupError, match="busy"):
            await at.asking


async def test_early_answer(raw: Raw) -> None:
    """Who answers before the body has come has not answered: all goes once more."""
    at = await waiting(raw)
    at.visit.say(OTHER)
    await raw.answered(OK)  # so it is read
    at.between.done.set()
    (await raw.visit()).say(OK)

    assert b"ok" == (await at.asking).body
    assert b"" == await at.visit.left()
    assert 1 == at.between.times


async def test_nobody_there(raw: Raw) -> None:
    """Where no connection is made nothing is done in between."""
    raw.leave()
    between = Between()
    with pytest.raises(NotConnected):
        await ask(raw, between)

    assert 0 == between.times


async def test_takes_too_long(raw: Raw) -> None:
    """The time is up for both together."""
    visit, _ = await raw.answered(OK)
    between = Between()
    asking = ask(raw, between, 0.05)
    await visit.head()
    await visit.left()
    between.done.set()

    with pytest.raises(NotSent):
        await asking


async def test_many_wait(raw: Raw) -> None:
    """Where too many wait in between, others are sent whole, when all is done."""
    betweens = [Between() for _ in range(MAX_WAITING + 1)]
    asking = [ask(raw, between) for between in betweens[:-1]]
    visits = [await raw.headed() for _ in asking]
    last = ask(raw, betweens[-1])
    await betweens[-1].begun.wait()
    (_, other) = raw.ask(), await raw.visit()
    for between in betweens:
        between.done.set()
    whole = await raw.visit()
    for visit in visits:
        await visit.exactly(len(BODY))
    for visit in (*visits, other, whole):
        visit.say(OK)

    assert {b"ok"} == {(await one).body for one in (*asking, last)}
    assert whole.asked.endswith(b"\r\n\r\n" + BODY)
    assert MAX_WAITING + 2 == len(raw.accepted)


@pytest.mark.parametrize(
    "scenario",
    [
        test_in_two,
        test_fails,
        test_cancelled,
        test_breaks,
        test_early_answer,
        functools.partial(test_nonsense, error=None),
    ],
)
def test_uvloop(scenario: Scenario) -> None:
    """All of it holds on the loop that signupd runs on."""
    play(Raw, scenario)

"""Work that outlives its caller, and the calls that join it."""

from __future__ import annotations

import asyncio

import pytest
from signupd.work import Work


class Job:
    """A piece of work that waits to be let go.

    Attributes:
        runs: How often it was begun.
        done: How often it came to its end.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = self.done = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        """Do it."""
        self.runs += 1
        self.begun.set()
        await self.go.wait()
        self.done += 1
        if self._error is not None:
            raise self._error
        return self.runs


async def test_join() -> None:
    """Calls with one key share one run and its result."""
    work, job = Work(), Job()
    calls = [asyncio.create_task(work.run(b"key", job)) for _ in range(3)]
    await job.begun.wait()
    job.go.set()

    assert [1, 1, 1] == await asyncio.gather(*calls)


async def test_join_of_an_error() -> None:
    """They share its error too."""
    work, job = Work(), Job(LookupError("x"))
    calls = [asyncio.create_task(work.run(b"key", job)) for _ in range(3)]
    await job.begun.wait()
    job.go.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [LookupError] * 3 == [type(outcome) for outcome in outcomes]
    assert 1 == job.runs


async def test_after_the_end() -> None:
    """When the run has ended the next call with its key begins another."""
    work, job = Work(), Job()
    job.go.set()

    assert [1, 2] == [await work.run(b"key", job) for _ in range(2)]


async def test_after_an_error() -> None:
    """Also when it ended with an error."""
    work, job = Work(), Job(LookupError("x"))
    job.go.set()
    for _ in range(2):
        with pytest.raises(LookupError):
            await work.run(b"key", job)

    assert 2 == job.runs


@pytest.mark.parametrize("keys", [(b"one", b"other"), (None, None), (b"one", None)])
async def test_no_join(keys: tuple[bytes | None, bytes | None]) -> None:
    """Calls with other keys, or with none, share nothing."""
    work, jobs = Work(), (Job(), Job())
    calls = [
        asyncio.create_task(work.run(key, job))
        for key, job in zip(keys, jobs, strict=True)
    ]
    for job in jobs:
        await job.begun.wait()
        job.go.set()
    await asyncio.gather(*calls)

    assert [1, 1] == [job.runs for job in jobs]


async def test_caller_gone() -> None:
    """A caller that goes away does not end the work; who joins gets its result."""
    work, job = Work(), Job()
    first = asyncio.create_task(work.run(b"key", job))
    await job.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(work.run(b"key", job))
    job.go.set()

    assert 1 == await second
    assert (1, 1) == (job.runs, job.done)


async def test_caller_gone_before_an_error() -> None:
    """An error that no caller is left for is nobody's unhandled one."""
    work, job = Work(), Job(LookupError("x"))
    unhandled: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
    call = asyncio.create_task(work.run(None, job))
    await job.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    job.go.set()
    await work.drain()

    assert 1 == job.done
    assert [] == unhandled


async def test_drain() -> None:
    """Draining waits for all work, with and without callers."""
    work, jobs = Work(), (Job(), Job(LookupError("x")))
    calls = [asyncio.create_task(work.run(None, job)) for job in jobs]
    for job in jobs:
        await job.begun.wait()
    calls[0].cancel()
    draining = asyncio.create_task(work.drain())
    jobs[0].go.set()
    await asyncio.wait([calls[0]])
    early = draining.done()
    jobs[1].go.set()
    await draining
    await asyncio.wait([calls[1]])

    assert not early
    assert [1, 1] == [job.done for job in jobs]
    assert isinstance(calls[1].exception(), LookupError)


async def test_drain_of_nothing() -> None:
    """Where there is no work draining is over at once."""
    work = Work()
    await work.drain()

    assert 0 == work.under_way


async def test_drain_of_work_that_comes_meanwhile() -> None:
    """Work that begins during the drain is waited for too."""
    work, first, second = Work(), Job(), Job()
    calls = [asyncio.create_task(work.run(None, first))]
    await first.begun.wait()
    draining = asyncio.create_task(work.drain())
    calls.append(asyncio.create_task(work.run(None, second)))
    await second.begun.wait()
    first.go.set()
    await calls[0]
    early = draining.done()
    second.go.set()
    await draining
    await calls[1]

    assert not early
    assert 1 == second.done

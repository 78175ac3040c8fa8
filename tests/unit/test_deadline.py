"""The caller's deadline bounds the wait, never the work."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from signupd.errors import (
    CodeIncorrect,
    DeadlineTooShort,
    KratosUnavailable,
    SignupBusy,
)
from signupd.rpc.deadline import within_deadline
from signupd.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from signupd.rpc.interceptor import Context

T = TypeVar("T")


class Call:
    """A call that has so many seconds left, or no deadline."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        """Tell how long its caller still waits."""
        return self._seconds


def call(seconds: float | None) -> Context:
    """Make a call's context, of which the deadline alone is looked at."""
    return cast("Context", Call(seconds))


class Job:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()

    async def run(self) -> str:
        """Wait to be told."""
        self.begun += 1
        await self.go_on.wait()
        return "done"


def doing(job: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], asyncio.Task[T]]:
    """Have a job done that nobody else does."""
    return partial(Work().begin, None, job)


async def at_once() -> str:
    """Be done at once."""
    return "done"


@pytest.mark.parametrize("seconds", [None, 0.3, 1.0, 60.0, 1e9])
async def test_in_time(seconds: float | None) -> None:
    """With time enough, or no deadline at all, a call gets its answer."""
    assert "done" == await within_deadline(call(seconds), doing(at_once))


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.1, 0.299])
async def test_too_short(seconds: float) -> None:
    """With too little time a call is refused at once, and nothing is begun."""
    job, work = Job(), Work()

    with pytest.raises(DeadlineTooShort):
        await within_deadline(call(seconds), partial(work.begin, b"key", job.run))

    await work.drain()
    assert 0 == job.begun


async def test_past_the_deadline() -> None:
    """Work that takes longer goes on; its caller is told to come back, and joins."""
    job, work = Job(), Work()

    with pytest.raises(SignupBusy) as refusal:
        await within_deadline(call(0.3), partial(work.begin, b"key", job.run))

    assert 1.0 == refusal.value.retry_after_seconds
    repeat = asyncio.create_task(
        within_deadline(call(60.0), partial(work.begin, b"key", job.run))
    )
    await asyncio.sleep(0)
    job.go_on.set()
    assert "done" == await repeat
    assert 1 == job.begun


async def test_told_otherwise() -> None:
    """Where there is no sign-up to be busy, being late is told as something else."""
    job, work = Job(), Work()

    with pytest.raises(KratosUnavailable) as refusal:
        await within_deadline(
            call(0.3), partial(work.begin, None, job.run), late=KratosUnavailable
        )

    assert 2.0 == refusal.value.retry_after_seconds
    job.go_on.set()
    await work.drain()


async def test_errors_pass() -> None:
    """What goes wrong with the work is told as it is."""

    async def wrong() -> None:
        raise CodeIncorrect("detail")

    with pytest.raises(CodeIncorrect, match="detail"):
        await within_deadline(call(None), doing(wrong))


async def test_timeouts_of_the_work_are_its_own() -> None:
    """A time-out inside the work is not mistaken for the caller's deadline."""

    async def slow_neighbour() -> None:
        raise TimeoutError("another clock")

    with pytest.raises(TimeoutError, match="another clock"):
        await within_deadline(call(60.0), doing(slow_neighbour))

"""The caller's deadline: it bounds the wait, not the work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from signupd.errors import DeadlineTooShort, SignupBusy, SignupdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.rpc.interceptor import Context

# Stands for no deadline.
DEFAULT_SECONDS: Final = 60.0
# Kept back so that the answer still arrives.
KEPT_BACK_SECONDS: Final = 0.1
# Calls to Kratos take tens of milliseconds, a password's hash a quarter of a second.
# With less time than this, a call begins work whose result its caller cannot receive.
LEAST_SECONDS: Final = 0.3

T = TypeVar("T")


async def within_deadline(
    context: Context,
    begin: Callable[[], asyncio.Task[T]],
    late: type[SignupdError] = SignupBusy,
) -> T:
    """Begin a job, and wait for it until shortly before the caller's deadline.

    Args:
        context: Of the call.
        begin: As ``Work.begin`` does: the job goes on when its waiter is gone.
        late: Raised when the time is up and the job still at work; a repeat may join
            it.

    Raises:
        DeadlineTooShort: At once; nothing is begun.
    """
    # None if the caller sets no deadline, whatever the stubs say.
    remaining: float | None = context.time_remaining()
    seconds = DEFAULT_SECONDS if remaining is None else remaining
    if seconds < LEAST_SECONDS:
        raise DeadlineTooShort
    # asyncio.wait costs several times as much, at each call.
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    job = begin()
    job.add_done_callback(lambda _: _wake(waiter))
    limit = loop.call_later(seconds - KEPT_BACK_SECONDS, _wake, waiter)
    try:
        await waiter
    finally:
        limit.cancel()
    if not job.done():
        raise late("still at work past the caller's deadline")
    return job.result()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

"""The caller's deadline: it bounds the wait, never the work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from signupd.errors import DeadlineTooShort, SignupBusy, SignupdError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from signupd.rpc.interceptor import Context

# What a caller without a deadline is held to have.
DEFAULT_SECONDS: Final = 60.0
# Kept back so that the answer still arrives.
KEPT_BACK_SECONDS: Final = 0.1
# Calls to Kratos take tens of milliseconds, a password a hash of a quarter second; with
# less than this a call would only begin what its caller cannot hear the end of.
LEAST_SECONDS: Final = 0.3

T = TypeVar("T")


async def within_deadline(
    context: Context,
    job: Coroutine[Any, Any, T],
    late: type[SignupdError] = SignupBusy,
) -> T:
    """Wait for a job until shortly before the caller's deadline.

    Args:
        context: Of the call.
        job: Something that goes on when its waiter is gone, as ``Work.run`` does.
        late: Raised when the time is up and the job still at work; a repeat may join
            it.

    Raises:
        DeadlineTooShort: At once; nothing is begun.
    """
    # None where the caller sets no deadline, whatever the stubs say.
    remaining: float | None = context.time_remaining()
    seconds = DEFAULT_SECONDS if remaining is None else remaining
    if seconds < LEAST_SECONDS:
        job.close()
        raise DeadlineTooShort
    try:
        async with asyncio.timeout(seconds - KEPT_BACK_SECONDS) as limit:
            return await job
    except TimeoutError:
        if not limit.expired():
            raise
        raise late("still at work past the caller's deadline") from None

"""The caller's deadline: it bounds the wait, not the work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from signupd.errors import DeadlineTooShort, SignupBusy, SignupdError
from signupd.rpc.callers import Context
from signupd.work import Work

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
    work: Work,
    job: Callable[[], Coroutine[Any, Any, T]],
    key: bytes | None = None,
    late: type[SignupdError] = SignupBusy,
) -> T:
    """Do a job by ``Work.begin``, and wait until shortly before the caller's deadline.

    Raises:
        DeadlineTooShort: At once; nothing is begun.
        SignupBusy: Or ``late``, if given: the time is up and the job is still at work.
            A repeat may join it.
    """
    # None if the caller sets no deadline, whatever the stubs say.
    remaining: float | None = context.time_remaining()
    seconds = DEFAULT_SECONDS if remaining is None else remaining
    if seconds < LEAST_SECONDS:
        raise DeadlineTooShort
    run = work.begin(key, job)
    await asyncio.wait({run}, timeout=seconds - KEPT_BACK_SECONDS)
    if not run.done():
        raise late("still at work past the caller's deadline")
    return run.result()

"""Work that outlives its caller.

gRPC cancels a handler when its caller goes away. A cancelled call to Kratos would leave
no record of what it did. So each piece of work is a task of its own, and a repeat of a
call that is still at work joins it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from signupd.errors import DeadlineTooShort, SignupBusy, SignupdError

# Stands for no deadline.
DEFAULT_SECONDS: Final = 60.0
# Kept back so that the answer still arrives.
KEPT_BACK_SECONDS: Final = 0.1
# Calls to Kratos take tens of milliseconds, a password's hash a quarter of a second.
# With less time than this, a call begins work whose result its caller cannot receive.
LEAST_SECONDS: Final = 0.3

T = TypeVar("T")


class Work:
    """The work under way in this process, each piece bounded by Kratos' timeouts."""

    def __init__(self) -> None:
        self._joinable: dict[bytes, asyncio.Task[Any]] = {}
        # All that run, with or without a waiting caller.
        self.tasks: set[asyncio.Task[Any]] = set()

    def begin(
        self, key: bytes | None, job: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Begin a job, or join the run that a call with the same key has begun.

        Others may wait for the run too, so do not cancel it. None joins no other.
        """
        task: asyncio.Task[T] | None = None if key is None else self._joinable.get(key)
        if task is None:
            task = asyncio.create_task(job())
            self.tasks.add(task)
            task.add_done_callback(self._done)
            if key is not None:
                self._joinable[key] = task
                task.add_done_callback(lambda _: self._joinable.pop(key))
        return task

    async def run(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a job; if this call is cancelled the job goes on."""
        return await asyncio.shield(self.begin(None, job))

    async def result(
        self,
        seconds: float | None,
        job: Callable[[], Coroutine[Any, Any, T]],
        key: bytes | None = None,
        late: type[SignupdError] = SignupBusy,
    ) -> T:
        """Begin or join a job, and wait until shortly before its caller's deadline.

        The deadline bounds the wait, not the work. It is ``seconds`` away; None stands
        for the default.

        Raises:
            DeadlineTooShort: At once; nothing is begun.
            SignupBusy: Or ``late``, if given: the time is up and the job is still at
                work. A repeat may join it.
        """
        seconds = DEFAULT_SECONDS if seconds is None else seconds
        if seconds < LEAST_SECONDS:
            raise DeadlineTooShort
        task = self.begin(key, job)
        await asyncio.wait({task}, timeout=seconds - KEPT_BACK_SECONDS)
        if not task.done():
            raise late("still at work past the caller's deadline")
        return task.result()

    async def drain(self, seconds: float | None = None) -> None:
        """Wait until all work is done, and cancel what is left after ``seconds``.

        Work on Kratos is not to be cancelled; its timeouts bound it.
        """
        try:
            async with asyncio.timeout(seconds):
                while self.tasks:
                    await asyncio.wait(set(self.tasks))
        except TimeoutError:
            for task in (left := set(self.tasks)):
                task.cancel()
            await asyncio.wait(left)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen; a waiting caller still gets it

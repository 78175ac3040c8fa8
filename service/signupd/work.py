"""Work that outlives its caller.

gRPC cancels a handler when its caller goes away. A cancelled call to Kratos would leave
no record of what it did. So each piece of work is a task of its own, and a repeat of a
call that is still at work joins it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Work:
    """The work under way in this process, each piece bounded by Kratos' timeouts."""

    def __init__(self) -> None:
        self._joinable: dict[bytes, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def under_way(self) -> int:
        """How many pieces are running, with or without a waiting caller."""
        return len(self._tasks)

    def begin(
        self, key: bytes | None, job: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Begin a job, or join a run of it.

        Args:
            key: Calls with one key share one run of the job; None never shares.
            job: Makes the coroutine; not called when there is a run to join.

        Returns:
            The run. Others may wait for it too, so do not cancel it.
        """
        task: asyncio.Task[T] | None = None if key is None else self._joinable.get(key)
        if task is None:
            task = asyncio.create_task(job())
            self._tasks.add(task)
            task.add_done_callback(self._done)
            if key is not None:
                self._joinable[key] = task
                task.add_done_callback(lambda _: self._joinable.pop(key))
        return task

    async def run(
        self, key: bytes | None, job: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """Do a job to its end, even if the caller is cancelled.

        Args:
            key: As in ``begin``.
            job: Likewise.

        Returns:
            What the job returns. It raises what the job raises.
        """
        return await asyncio.shield(self.begin(key, job))

    async def drain(self, seconds: float | None = None) -> None:
        """Wait until all work is done, and cancel what is left after ``seconds``.

        Work on Kratos is not to be cancelled; its timeouts bound it.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
        except TimeoutError:
            for task in (left := set(self._tasks)):
                task.cancel()
            await asyncio.wait(left)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen; a waiting caller still gets it

"""The threads that run statements, each with a connection of its own.

A statement goes to a thread as a whole and its outcome comes back, which is one trip.
Whoever was at work last is asked first: that thread, its connection and the server's
end of it are still in the caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from signupd.ledger.engine import WAIT_SECONDS, let_go
from signupd.ledger.jobs import LONGEST_SECONDS, Job
from signupd.ledger.prepared import Prepared
from signupd.ledger.statements import begin, commits, drivers_error, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa

    from signupd.ledger.prepared import Rows
    from signupd.ledger.statements import Outcomes, Statement


class Workers:
    """Runs statements in threads, which come when they are needed.

    Args:
        engine: Where every statement commits by itself unless told otherwise.
        name: What the threads are called.
        most: How many there may be.
        together: How many statements may share a transaction. Those that wait then
            share the wait for the disk.
        in_place: Whether, on SQLite, prepared statements are run by the loop itself
            where nobody has to be waited for, and only committed by a thread.
    """

    def __init__(
        self,
        engine: sa.Engine,
        name: str,
        *,
        most: int,
        together: int = 1,
        in_place: bool = False,
    ) -> None:
        self._engine = engine
        self._name = name
        self._most = most
        self._together = together
        self._in_place = in_place
        self._waiting: deque[Job] = deque()
        self._called = False
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._closed = False

    def begin(self, statement: Statement) -> asyncio.Future[Rows]:
        """Have a statement run.

        Once begun it goes on, whether or not somebody still waits; what nobody waits
        for any more when its turn comes is not begun.

        Returns:
            Done when it is committed, or fails: with what ``run`` of statements.py
            returns or raises, a TimeoutError after LONGEST_SECONDS, or a RuntimeError
            where no thread is to be had.

        Raises:
            RuntimeError: It is closed.
        """
        if self._closed:
            raise RuntimeError("the ledger is closed")
        job = Job.of(statement, self._give_up)
        self._waiting.append(job)
        self._assign_soon()
        return job.done

    async def close(self) -> None:
        """Run what waits and is waited for, then let go of the connections.

        What is under way is seen to its end, for LONGEST_SECONDS at the most; a worker
        that still hangs in the database then is left behind.
        """
        self._closed = True
        jobs = [*self._waiting, *(job for one in self._workers for job in one.jobs)]
        if jobs:
            await asyncio.wait([job.done for job in jobs])
        workers, self._workers, self._idle = self._workers, [], []
        for one in workers:
            one.dismiss()
        await asyncio.to_thread(_see_off, workers)

    def _give_up(self, job: Job) -> None:
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)

    def _assign_soon(self) -> None:
        """Assign once for all that comes in this turn of the loop, or of this turn."""
        if not self._called:
            self._called = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._assign)

    def _assign(self) -> None:
        """Give those that are free what waits."""
        self._called = False
        while self._waiting and (worker := self._free()):
            jobs = self._next()
            if jobs:
                worker.give(jobs)
            else:
                self._idle.append(worker)

    def _free(self) -> _Worker | None:
        if self._idle:
            return self._idle.pop()
        if len(self._workers) >= self._most:
            return None
        try:
            worker = _Worker(
                self._engine, self._name, self._done, in_place=self._in_place
            )
        except RuntimeError as error:  # the system has no more threads
            while not self._workers and (jobs := self._next()):
                for job in jobs:
                    job.tell(error)
            return None
        self._workers.append(worker)
        return worker

    def _next(self) -> list[Job]:
        """Take the next jobs that somebody waits for."""
        jobs: list[Job] = []
        while self._waiting and len(jobs) < self._together:
            job = self._waiting.popleft()
            if not job.done.done():
                jobs.append(job)
        return jobs

    def _done(self, worker: _Worker, outcomes: Outcomes) -> None:
        """Tell everybody how it went, and find the worker its next work."""
        jobs, worker.jobs = worker.jobs, []
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.tell(outcome)
        if worker.cut_off:
            # The server went away, and with it what the others are connected to.
            worker.cut_off = False
            for other in self._workers:
                other.stale = True
        self._idle.append(worker)
        self._assign_soon()  # with what those who were told now want next


@dataclass(frozen=True, slots=True)
class _Work:
    """Statements to be run; or to be committed, where they are begun already."""

    statements: list[Statement]
    begun: Outcomes | None


class _Worker:
    """One thread and its connection.

    Attributes:
        jobs: What it is at.
        stale: Set where its connection is not to be trusted any more.
        cut_off: Set where it was seen that the server has ended the connection.

    Args:
        engine: Gives the connection.
        name: The thread's.
        done: Called in the loop with the outcomes of ``jobs``.
        in_place: As for ``Workers``.

    Raises:
        RuntimeError: The system has no more threads.
    """

    def __init__(
        self,
        engine: sa.Engine,
        name: str,
        done: Callable[[_Worker, Outcomes], None],
        *,
        in_place: bool,
    ) -> None:
        self.jobs: list[Job] = []
        self.stale = self.cut_off = False
        self._engine = engine
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._in_place = in_place
        self._inbox: SimpleQueue[_Work | None] = SimpleQueue()
        self._connection: sa.Connection | None = None
        self._driver: Any = None
        # Not waited for at the interpreter's end: it may hang in the database.
        self.thread = Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def give(self, jobs: list[Job]) -> None:
        """Have it run the statements of some jobs."""
        self.jobs = jobs
        statements = [job.statement for job in jobs]
        self._inbox.put(_Work(statements, self._begin(statements)))

    def dismiss(self) -> None:
        """Have it end when it is done."""
        self._inbox.put(None)

    def _begin(self, statements: list[Statement]) -> Outcomes | None:
        """Run, in the loop, what does not have to wait; the thread is idle.

        To do this in the thread costs more than the statements: it and the loop would
        take the interpreter from each other at each of SQLite's calls.

        Returns:
            How they will have fared when they are committed; None where nothing is
            done, and the thread has to see to it.
        """
        connection = self._connection if self._in_place and not self.stale else None
        prepared = all(isinstance(one.text, Prepared) for one in statements)
        if connection is None or not prepared:
            return None
        try:
            return begin(connection, statements)
        except Exception:  # noqa: BLE001 - the thread will find out what is wrong
            with contextlib.suppress(Exception):
                self._driver.execute("ROLLBACK")
            return None

    def _run(self) -> None:
        while work := self._inbox.get():
            outcomes = self._outcomes(work)
            try:
                self._loop.call_soon_threadsafe(self._done, self, outcomes)
            except RuntimeError:
                break  # the loop is closed: nobody waits
            del work, outcomes  # what they hold is not kept while it is idle
        self._drop()

    def _outcomes(self, work: _Work) -> Outcomes:
        try:
            if self.stale:
                self._drop()
            if self._connection is None:
                self._connection = self._engine.connect()
                self._driver = self._connection.connection.driver_connection
                self.stale = False
            if not self._in_place:
                return run(self._connection, work.statements)
            return self._patiently(self._connection, work)
        except Exception as error:  # noqa: BLE001 - it is each one's outcome
            cause = drivers_error(error)
            self._note_disconnect(cause)
            self._drop()  # and with it what is not committed
            return [cause] * len(work.statements)

    def _patiently(self, connection: sa.Connection, work: _Work) -> Outcomes:
        """Wait for others' locks, as the loop with this connection must not."""
        if work.begun is not None and commits(self._driver):
            return work.begun
        self._driver.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
        if work.begun is None:
            outcomes = run(connection, work.statements)
        else:
            outcomes = work.begun
            self._driver.execute("COMMIT")
        self._driver.execute("PRAGMA busy_timeout = 0")
        return outcomes

    def _note_disconnect(self, trouble: Exception) -> None:
        if self._connection is not None:
            dialect: Any = self._engine.dialect
            self.cut_off = dialect.is_disconnect(trouble, self._driver, None)

    def _drop(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        let_go(connection)


def _see_off(workers: Sequence[_Worker]) -> None:
    end = time.monotonic() + LONGEST_SECONDS
    for one in workers:
        one.thread.join(max(0.0, end - time.monotonic()))

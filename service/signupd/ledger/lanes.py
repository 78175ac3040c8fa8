"""Prepared statements on PostgreSQL, run from the event loop.

A thread for each statement costs twice as much as the statement, and a driver's own way
through asyncio more than that; see docs/rationale.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from contextvars import Context
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from signupd.ledger.engine import WAIT_SECONDS, let_go
from signupd.ledger.jobs import LONGEST_SECONDS, Job
from signupd.ledger.lane import Lane

if TYPE_CHECKING:
    import sqlalchemy as sa

    from signupd.ledger.prepared import Rows
    from signupd.ledger.statements import Statement

# After a connection could not be made, until more than one is tried again.
RETRY_SECONDS: Final = 1.0


class Lanes:
    """Runs prepared statements, one at a time on each connection.

    The connection used last is used first: the server's end of it is in the caches.

    Args:
        engine: Of PostgreSQL; gives connections on which statements commit by
            themselves.
        most: How many connections there may be, with those that are being made. They
            are made when they are needed.
    """

    def __init__(self, engine: sa.Engine, *, most: int) -> None:
        self._engine = engine
        self._most = most
        self._waiting: deque[Job] = deque()
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []
        self._opening = 0
        self._rests_until = 0.0
        self._closed = False
        self._quiet = asyncio.Event()

    def begin(self, statement: Statement) -> asyncio.Future[Rows]:
        """Have a statement run.

        Once begun it goes on, whether or not somebody still waits; what nobody waits
        for any more when its turn comes is not begun.

        Args:
            statement: A prepared one.

        Returns:
            Done when it is committed, or fails: with a ConstraintBroken, the driver's
            error, or a TimeoutError after LONGEST_SECONDS.

        Raises:
            RuntimeError: It is closed.
        """
        if self._closed:
            raise RuntimeError("the ledger is closed")
        job = Job.of(statement, self._give_up)
        self._waiting.append(job)
        self._assign()
        return job.done

    async def close(self) -> None:
        """Run what waits and is waited for, then let go of the connections.

        What is under way is seen to its end, for LONGEST_SECONDS at the most. Nobody
        waits for a connection that is still being made.
        """
        self._closed = True
        self._assign()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._quiet.wait()
        for lane in [*self._lanes]:
            lane.end()

    def _give_up(self, job: Job) -> None:
        """See that nothing is left of a job that was waited for too long."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)
        for lane in self._lanes:
            if lane.job is job:
                # It may have waited for its turn until now. Sent, it is over soon, by
                # the server's own limit; if not, the server is not to be relied on.
                asyncio.get_running_loop().call_later(WAIT_SECONDS, lane.end_with, job)
        self._assign()

    def _assign(self) -> None:
        """Give those that are free what waits, and see that there are enough."""
        while self._waiting:
            if self._waiting[0].done.done():
                self._waiting.popleft()  # nobody waits any more
            elif self._idle:
                self._idle.pop().carry(self._waiting.popleft())
            else:
                break
        if self._closed and not (self._waiting or any(one.job for one in self._lanes)):
            self._quiet.set()
        # Others may be faster to do what waits than a new one is made.
        room = self._most - len(self._lanes)
        while self._opening < min(len(self._waiting), room) and self._may_open():
            self._open()

    def _may_open(self) -> bool:
        """Tell whether to try; a server that refuses is left alone, but for one try."""
        rests = asyncio.get_running_loop().time() < self._rests_until
        return not rests or not (self._lanes or self._opening)

    def _open(self) -> None:
        """Connect. That takes several round trips, which a thread waits for.

        Nobody waits for the thread at the interpreter's end: the server may hang.
        """
        opening = Thread(
            target=self._connect,
            args=[asyncio.get_running_loop()],
            name="ledger-connect",
            daemon=True,
        )
        self._opening += 1
        try:
            opening.start()
        except RuntimeError as error:  # the system has no more threads
            asyncio.get_running_loop().call_soon(self._opened, error)

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        raw: Any = None
        outcome: Any
        try:
            outcome = raw = self._engine.raw_connection()
        except Exception as error:  # noqa: BLE001 - told to who waits
            outcome = error
        try:
            loop.call_soon_threadsafe(self._opened, outcome, context=Context())
        except RuntimeError:  # the loop is closed: nobody waits
            let_go(raw)

    def _opened(self, outcome: Any) -> None:
        self._opening -= 1
        if isinstance(outcome, Exception):
            self._not_opened(outcome)
            return
        if self._closed and not self._waiting:
            let_go(outcome)
            return
        try:
            lane = Lane(outcome, self._free, self._ended)
        except Exception as error:  # noqa: BLE001 - told to who waits
            let_go(outcome)
            self._not_opened(error)
            return
        self._rests_until = 0.0
        self._lanes.add(lane)
        self._free(lane)

    def _not_opened(self, error: Exception) -> None:
        """Tell those who wait, where nobody is left who could do their work."""
        now = asyncio.get_running_loop().time()
        self._rests_until = now + RETRY_SECONDS
        if not (self._lanes or self._opening):
            waiting, self._waiting = self._waiting, deque()
            for job in waiting:
                job.tell(error)
        self._assign()

    def _free(self, lane: Lane) -> None:
        self._idle.append(lane)
        self._assign()

    def _ended(self, lane: Lane, cut_off: bool) -> None:
        self._lanes.discard(lane)
        with contextlib.suppress(ValueError):
            self._idle.remove(lane)
        if cut_off:
            # The server went away, and with it what the others are connected to.
            for other in [*self._idle]:
                other.end()
        self._assign()

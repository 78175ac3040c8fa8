"""Prepared statements on PostgreSQL, run from the event loop.

libpq, PostgreSQL's own client, is told what to send and never made to wait: the loop
watches its sockets. A thread for each statement costs twice as much as the statement,
and a driver's own way through asyncio more than that; see docs/rationale.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from contextvars import Context
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

from signupd.ledger.engine import WAIT_SECONDS, let_go
from signupd.ledger.jobs import LONGEST_SECONDS, Job
from signupd.ledger.statements import ConstraintBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from signupd.ledger.prepared import Prepared, Rows
    from signupd.ledger.statements import Statement


# After a connection could not be made, until more than one is tried again.
RETRY_SECONDS: Final = 1.0
# Of SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
_SHUTDOWN: Final = "57P"
# How a parameter's value is sent, by whether it is bytes. In letters numbers are short
# too, and need not be told apart by their size.
_FORMATS: Final = {True: PyFormat.BINARY, False: PyFormat.TEXT}
# Of which type it is: 0 where SQLAlchemy's SQL says so, as it does for all but bytes.
_TYPES: Final = {True: psycopg.adapters.types["bytea"].oid, False: 0}


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
        self._lanes: set[_Lane] = set()
        self._idle: list[_Lane] = []
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
            lane = _Lane(outcome, self._free, self._ended)
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

    def _free(self, lane: _Lane) -> None:
        self._idle.append(lane)
        self._assign()

    def _ended(self, lane: _Lane, cut_off: bool) -> None:
        self._lanes.discard(lane)
        with contextlib.suppress(ValueError):
            self._idle.remove(lane)
        if cut_off:
            # The server went away, and with it what the others are connected to.
            for other in [*self._idle]:
                other.end()
        self._assign()


class _Lane:
    """One connection, and the statement under way on it.

    Attributes:
        job: What is under way.

    Args:
        raw: The engine's connection.
        free: Called when the lane has nothing to do.
        ended: Called when it will carry nothing any more, with whether the server has
            ended the connection.
    """

    def __init__(
        self,
        raw: Any,
        free: Callable[[_Lane], None],
        ended: Callable[[_Lane, bool], None],
    ) -> None:
        self.job: Job | None = None
        self._raw = raw
        self._free = free
        self._ended = ended
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        driver = raw.driver_connection
        self._libpq: Any = driver.pgconn
        self._types: Any = Transformer(driver)  # turns values into bytes, and back
        # What the server knows by name, and the form in which its values go there.
        self._known: dict[Prepared, tuple[bytes, list[PyFormat]]] = {}
        self._naming = False
        self._result: Any = None
        self._socket = self._libpq.socket  # when it breaks libpq forgets which it was
        self._loop.add_reader(self._socket, self._read)

    def carry(self, job: Job) -> None:
        """Run a job's statement; by its name, once the server knows it by one."""
        self.job = job
        statement = job.statement
        prepared: Any = statement.text
        try:
            known = self._known.get(prepared)
            self._naming = known is None
            if known is None:
                name = b"ledger_%d" % len(self._known)
                self._known[prepared] = name, [_FORMATS[one] for one in prepared.binary]
                types = [_TYPES[one] for one in prepared.binary]
                self._libpq.send_prepare(name, prepared.sql.encode(), types)
            else:
                name, formats = known
                given = prepared.given(statement.values)
                values = self._types.dump_sequence(given, formats)
                self._libpq.send_query_prepared(
                    name, values, self._types.formats, pq.Format.BINARY
                )
            if self._libpq.flush():
                # The caller's context must not be kept as long as the connection is.
                Context().run(self._loop.add_writer, self._socket, self._write)
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)

    def end_with(self, job: Job) -> None:
        """Let go of the connection, if this job is still under way on it."""
        if self.job is job:
            self.end()

    def end(self, error: Exception | None = None) -> None:
        """Let go of the connection.

        Args:
            error: Told to whoever waits.
        """
        if self._is_over:
            return
        self._is_over = True
        cut_off = error is not None and self._was_cut_off(error)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        let_go(self._raw)
        job, self.job = self.job, None
        if job is not None and error is not None:
            job.tell(error)
        self._ended(self, cut_off)

    def _was_cut_off(self, error: Exception) -> bool:
        said = getattr(error, "sqlstate", None) or ""
        lost: bool = self._libpq.status == pq.ConnStatus.BAD
        return lost or said.startswith(_SHUTDOWN)

    def _write(self) -> None:
        """Send what did not fit into the socket."""
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)

    def _read(self) -> None:
        """Take what the server says; with no job under way that it goes, as a rule."""
        try:
            self._libpq.consume_input()
            while self.job is not None and not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._answered(self.job)
                    break
                self._result = result
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)

    def _answered(self, job: Job) -> None:
        result, self._result = self._result, None
        if error := _error_of(result):
            if not isinstance(error, ConstraintBroken):
                raise error
            outcome: Rows | Exception = error
        elif self._naming:
            self.carry(job)
            return
        else:
            prepared: Any = job.statement.text
            self._types.set_pgresult(result)
            rows = self._types.load_rows(0, result.ntuples, tuple)
            outcome = prepared.came_to(rows, result.command_tuples or 0)
        self.job = None
        job.tell(outcome)
        self._free(self)


def _error_of(result: Any) -> Exception | None:
    """Tell what PostgreSQL refused, if it did."""
    if result is None:
        return psycopg.OperationalError("no answer")
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return None
    error = psycopg.errors.error_from_result(result)
    if isinstance(error, psycopg.IntegrityError):
        broken = ConstraintBroken()
        broken.__cause__ = error
        return broken
    return error

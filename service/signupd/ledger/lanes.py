"""Prepared statements on PostgreSQL, run from the event loop.

libpq, PostgreSQL's own client, is told what to send and never made to wait: the loop
watches its sockets. A thread for each statement costs twice as much as the statement,
and a driver's own way through asyncio more than that; see docs/rationale.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

from signupd.ledger.jobs import Job
from signupd.ledger.statements import ConstraintBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from signupd.ledger.prepared import Prepared, Rows
    from signupd.ledger.statements import Statement


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
        most: How many connections there may be. They are made when they are needed.
    """

    def __init__(self, engine: sa.Engine, *, most: int) -> None:
        self._engine = engine
        self._most = most
        self._waiting: deque[Job] = deque()
        self._lanes: set[_Lane] = set()
        self._idle: list[_Lane] = []
        self._openings: set[asyncio.Task[None]] = set()
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

        What is under way is seen to its end, for LONGEST_SECONDS at the most.
        """
        self._closed = True
        self._assign()
        await self._quiet.wait()
        for lane in [*self._lanes]:
            lane.end()
        if self._openings:
            await asyncio.wait(self._openings)

    def _give_up(self, job: Job) -> None:
        """See that nothing is left of a job that was waited for too long."""
        for lane in self._lanes:
            if lane.job is job:  # its server is not to be relied on
                lane.end()
                break
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)

    def _assign(self) -> None:
        """Give those that are free what waits."""
        while self._waiting:
            if self._waiting[0].done.done():
                self._waiting.popleft()  # nobody waits any more
            elif self._idle:
                self._idle.pop().carry(self._waiting.popleft())
            elif len(self._lanes) < self._most:
                self._widen().carry(self._waiting.popleft())
            else:
                break
        if self._closed and not any(lane.job for lane in self._lanes):
            self._quiet.set()

    def _widen(self) -> _Lane:
        lane = _Lane(self._engine, self._free, self._ended)
        self._lanes.add(lane)
        self._openings.add(lane.opening)
        lane.opening.add_done_callback(self._openings.discard)
        return lane

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
        opening: Connects.

    Args:
        engine: Gives the connection.
        free: Called when the lane has nothing to do.
        ended: Called when it will carry nothing any more, with whether the server has
            ended the connection.
    """

    def __init__(
        self,
        engine: sa.Engine,
        free: Callable[[_Lane], None],
        ended: Callable[[_Lane, bool], None],
    ) -> None:
        self.job: Job | None = None
        self._engine = engine
        self._free = free
        self._ended = ended
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self.opening = self._loop.create_task(self._open())
        self._raw: Any = None  # the engine's connection
        self._libpq: Any = None  # the driver's
        self._socket = -1  # libpq's; when that breaks it forgets which it was
        self._types: Any = None  # turns values into bytes, and back
        # What the server knows by name, and the form in which its values go there.
        self._known: dict[Prepared, tuple[bytes, list[PyFormat]]] = {}
        self._naming = False
        self._result: Any = None

    def carry(self, job: Job) -> None:
        """Run a job's statement, as soon as there is a connection."""
        self.job = job
        if self._libpq is not None:
            self._send()

    def end(self, error: Exception | None = None) -> None:
        """Let go of the connection.

        Args:
            error: Told to whoever waits.
        """
        if self._is_over:
            return
        self._is_over = True
        cut_off = error is not None and self._was_cut_off(error)
        if self._libpq is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        _drop(self._raw)
        job, self.job = self.job, None
        if job is not None and error is not None:
            job.tell(error)
        self._ended(self, cut_off)

    def _was_cut_off(self, error: Exception) -> bool:
        if self._libpq is None:
            return False  # it never was there
        said = getattr(error, "sqlstate", None) or ""
        lost: bool = self._libpq.status == pq.ConnStatus.BAD
        return lost or said.startswith(_SHUTDOWN)

    async def _open(self) -> None:
        """Connect. That takes several round trips, which a thread waits for."""
        try:
            raw: Any = await asyncio.to_thread(self._engine.raw_connection)
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)
            return
        if self._is_over:
            _drop(raw)
            return
        self._raw, self._libpq = raw, raw.driver_connection.pgconn
        self._types = Transformer(raw.driver_connection)
        self._socket = self._libpq.socket
        self._loop.add_reader(self._socket, self._read)
        if self.job is not None and not self.job.done.done():
            self._send()
        else:  # nobody waits any more
            self.job = None
            self._free(self)

    def _send(self) -> None:
        """Send the job's statement; by its name, once the server knows it by one."""
        if self.job is None:
            raise AssertionError("there is nothing to send")
        statement = self.job.statement
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
                self._loop.add_writer(self._socket, self._write)
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)

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
                    self._answered()
                    break
                self._result = result
        except Exception as error:  # noqa: BLE001 - it is the job's outcome
            self.end(error)

    def _answered(self) -> None:
        result, self._result = self._result, None
        job = self.job
        if job is None:
            raise AssertionError("it was asked for")
        if error := _error_of(result):
            if not isinstance(error, ConstraintBroken):
                raise error
            outcome: Rows | Exception = error
        elif self._naming:
            self._send()
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


def _drop(raw: Any) -> None:
    # What becomes of a connection that is broken is nobody's trouble.
    with contextlib.suppress(Exception):
        raw.invalidate()
        raw.close()

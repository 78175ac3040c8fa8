"""One connection to PostgreSQL, whose statements are run from the event loop.

libpq, PostgreSQL's own client, is told what to send and never made to wait: the loop
watches its socket.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

from signupd.ledger.engine import let_go
from signupd.ledger.statements import ConstraintBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.ledger.jobs import Job
    from signupd.ledger.prepared import Prepared, Rows

# Of SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
_SHUTDOWN: Final = "57P"
# How a parameter's value is sent, by whether it is bytes. In letters numbers are short
# too, and need not be told apart by their size.
_FORMATS: Final = {True: PyFormat.BINARY, False: PyFormat.TEXT}
# Of which type it is: 0 where SQLAlchemy's SQL says so, as it does for all but bytes.
_TYPES: Final = {True: psycopg.adapters.types["bytea"].oid, False: 0}


class Lane:
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
        free: Callable[[Lane], None],
        ended: Callable[[Lane, bool], None],
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

"""A statement that somebody waits for, whoever runs it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.ledger.engine import WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.ledger.prepared import Rows
    from signupd.ledger.statements import Statement

# Nobody waits longer for a statement, whatever has become of the database: it may have
# to wait for others, which wait for another process' lock.
LONGEST_SECONDS: Final = 3 * WAIT_SECONDS


@dataclass(eq=False, slots=True)
class Job:
    """A statement, and what is to become of it.

    Args:
        statement: What to run.
        done: Whoever waits, waits for this.
        limit: Ends the wait.
    """

    statement: Statement
    done: asyncio.Future[Rows]
    limit: asyncio.TimerHandle

    @classmethod
    def of(cls, statement: Statement, late: Callable[[Job], object]) -> Job:
        """Begin to wait.

        Args:
            statement: What to run.
            late: Called when it has been waited for too long; its waiter is told
                before.
        """
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            job.tell(TimeoutError())
            late(job)

        limit = loop.call_later(LONGEST_SECONDS, give_up)
        job = cls(statement, loop.create_future(), limit)
        return job

    def tell(self, outcome: Rows | Exception) -> None:
        """Tell whoever waits how it went, if somebody still does."""
        self.limit.cancel()
        if self.done.done():
            return
        if isinstance(outcome, Exception):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)

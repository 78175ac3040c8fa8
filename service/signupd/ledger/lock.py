"""The one server of a SQLite ledger: it declares the leases it finds dead."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from signupd.errors import LedgerUnavailable
from signupd.ledger.database import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def alone_on(url: str) -> Iterator[None]:
    """Hold a SQLite ledger against a second server, started by mistake.

    The lock lies in a file of its own beside the ledger: SQLite's own locks on the
    ledger end when any descriptor of it is closed. It ends with the process.

    Args:
        url: Of the ledger; one that servers share needs no lock.

    Raises:
        LedgerUnavailable: Another server has it.
        OSError: The file cannot be made.
    """
    ledger = sqlite_file(url)
    if ledger is None:
        yield
        return
    with ledger.with_name(f"{ledger.name}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerUnavailable(f"another server has {ledger} open") from error
        yield

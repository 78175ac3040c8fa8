"""What ``signupd orphans`` shows: what it found, what it removed, how far it is."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from signupd.accounts.orphans import Outcome
from signupd.accounts.verdict import Verdict
from signupd.cli.page import age, columns, console, printable, rfc3339

if TYPE_CHECKING:
    import uuid

    from rich.table import Table

    from signupd.accounts.orphans import Orphan, Page

# What a person looks through; a script gets them all.
MAX_ROWS: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Why identities that might have been orphans are none.
_LEFT_OUT: Final = {
    Verdict.ALIVE: "with a later sign of life",
    Verdict.SIGNED_IN: "with a session that works, or did minutes ago",
    Verdict.DISABLED: "disabled by somebody, who will have had reasons",
    Verdict.UNTRACED: "of whose registration Kratos keeps no session, and which may "
    "have been imported as they are (--untraced takes them in)",
}
_OUTCOMES: Final = {
    Outcome.REMOVED: "removed",
    Outcome.CHANGED: "let be, since they have changed meanwhile",
    Outcome.GONE: "gone already",
}


class Findings:
    """Takes orphans as they are found. A context manager, while it does.

    Args:
        older_than: The duration, as it was given.
        untraced: Whether the untraced are among the orphans.
        as_json: Write each of them at once, a line of JSON; else a table at the end.
        keep: Keep the ids of all.
    """

    def __init__(
        self, older_than: str, *, untraced: bool, as_json: bool, keep: bool
    ) -> None:
        self.ids: list[uuid.UUID] = []
        self._older_than = older_than
        self._untraced = untraced
        self._json = as_json
        self._keep = keep
        self._verdicts: Counter[Verdict] = Counter()
        self._rows: list[Orphan] = []
        self._count = 0
        self._bar = _bar("Looking at identities", 1.0, as_json=as_json)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def take(self, page: Page) -> None:
        """Take what came of a page of identities."""
        self._count += len(page.orphans)
        self._verdicts.update(page.verdicts)
        if self._json:
            for orphan in page.orphans:
                typer.echo(json.dumps(_json_of(orphan)))
        else:
            self._rows += page.orphans[: MAX_ROWS - len(self._rows)]
        if self._keep:
            self.ids += [orphan.id for orphan in page.orphans]
        self._bar.update(self._bar.task_ids[0], completed=page.share)

    def conclude(self) -> None:
        """Say what was found, and what to make of it."""
        if self._rows:
            console().print(_table(self._rows, _micros(datetime.now(UTC))))
        if len(self._rows) < self._count and not self._json:
            _say(f"These are the first {len(self._rows)}; --json lists all.")
        _say(
            f"{self._count} of {self._verdicts.total()} identities were proved, have "
            f"no password, and gave no sign of life for {self._older_than}."
        )
        for verdict, why in _LEFT_OUT.items():
            wanted = verdict is Verdict.UNTRACED and self._untraced
            if self._verdicts[verdict] and not wanted:
                _say(f"Left out: {self._verdicts[verdict]} {why}.")
        if self._count:
            _say("People who sign in by code alone, and mean to, look just the same.")
            if not self._keep:
                _say(f"To remove them: the same with --apply --expect {self._count}")


class Removals:
    """Takes what becomes of orphans. A context manager; at its end it says so.

    Args:
        total: How many are to be removed.
        as_json: Write the outcome of each, a line of JSON.
    """

    def __init__(self, total: int, *, as_json: bool) -> None:
        self._total = total
        self._json = as_json
        self._outcomes: Counter[Outcome] = Counter()
        self._bar = _bar("Removing", total, as_json=as_json)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        for outcome, what in _OUTCOMES.items():
            if self._outcomes[outcome]:
                _say(f"{self._outcomes[outcome]} {what}.")
        if left := self._total - self._outcomes.total():
            _say(f"{left} not done; the first of them may be gone all the same.")

    def take(self, identity_id: uuid.UUID, outcome: Outcome) -> None:
        """Take what became of one."""
        self._outcomes[outcome] += 1
        if self._json:
            line = {"identity_id": str(identity_id), "outcome": outcome.value}
            typer.echo(json.dumps(line))
        elif outcome is not Outcome.REMOVED:
            self._bar.console.print(f"{identity_id}: {_OUTCOMES[outcome]}")
        self._bar.advance(self._bar.task_ids[0])


def _json_of(orphan: Orphan) -> dict[str, Any]:
    return {
        "identity_id": str(orphan.id),
        "masked_email": orphan.masked_email,
        "create_time": rfc3339(_micros(orphan.created_at)),
        "last_sign_of_life": orphan.life.sign.value,
        "last_sign_of_life_time": rfc3339(_micros(orphan.life.at)),
    }


def _table(orphans: list[Orphan], now: int) -> Table:
    table = columns("identity", "age", "last sign of life", "address")
    for orphan in orphans:
        sign = orphan.life.sign.replace("_", " ")
        table.add_row(
            str(orphan.id),
            age(now - _micros(orphan.created_at)),
            f"{age(now - _micros(orphan.life.at))} ago, {sign}",
            printable(orphan.masked_email),
        )
    return table


def _micros(moment: datetime) -> int:
    """Put a moment as microseconds since the Unix epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _bar(doing: str, total: float, *, as_json: bool) -> Progress:
    """Make a progress bar on standard error, shown only to whoever looks at it.

    Not to a terminal that gets lines on standard output at the same time.
    """
    screen = Console(stderr=True, highlight=False, emoji=False, markup=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        redirect_stdout=False,  # which may be a file
        disable=not screen.is_terminal or (as_json and sys.stdout.isatty()),
    )
    bar.add_task(doing, total=total)
    return bar


def _say(line: str) -> None:
    typer.echo(line, err=True)

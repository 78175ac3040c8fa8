"""The progress bar of a build of Kratos."""

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)


class BuildBar:
    """Shows that Kratos is being built, from the first word of go on.

    A context manager. Nothing is shown when nothing is built. Into a pipe it writes a
    line at each quarter.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Fetching modules", total=None)
        self._begun = False
        self._quarter = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self, _text: str) -> None:
        """Take a line that go wrote."""
        if not self._begun:
            self._begun = True
            self._console.print("  Kratos is being built: once, in a few minutes.")
            self._bar.start()

    def progress(self, done: int, total: int) -> None:
        """Take how many packages have been compiled."""
        # Then go links, for a while and in silence: one more piece of work.
        doing = "Compiling" if done < total else "Linking"
        self._bar.update(self._task, description=doing, completed=done, total=total + 1)
        quarter = 4 * done // max(total, 1)
        if not self._console.is_terminal and quarter > self._quarter:
            self._console.print(f"  {doing}: {done} of {total} packages")
        self._quarter = quarter

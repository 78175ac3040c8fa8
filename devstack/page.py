"""The page: what the demo and the running stack write on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from devstack.mailbox import Mail

# The terminal is often wider; long lines are not read better there.
MAX_COLUMNS = 80


class Page:
    """Writes for people: in colour on a terminal, plainly into a pipe.

    Attributes:
        console: What rich writes through.
        held: How many claims were true.
        failed: How many were not.
    """

    def __init__(self) -> None:
        # A terminal that lacks a sign shows another; it is no reason to stop.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        self.console = Console(highlight=False, emoji=False, markup=False)
        self.console.width = min(self.console.width, MAX_COLUMNS)
        self.held = 0
        self.failed = 0

    def say(self, text: str = "", style: str = "") -> None:
        """Write a paragraph."""
        self.console.print(text, style=style)

    def verbatim(self, text: str) -> None:
        """Write lines that somebody will copy: none is broken or filled up."""
        self.console.print(text, soft_wrap=True)

    def heading(self, text: str, sentence: str = "") -> None:
        """Begin a chapter, with a sentence on what happens in it."""
        self.console.print()
        self.console.print(Rule(Text(text, style="bold"), align="left", style="dim"))
        if sentence:
            self.console.print(sentence, style="italic")

    def error(self, text: str) -> None:
        """Say what went wrong; the first line is the headline."""
        headline, _, rest = text.strip().partition("\n")
        self.console.print(f"\n✗ {headline}", style="bold red", soft_wrap=True)
        if rest:
            self.verbatim(rest)

    @contextmanager
    def step(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes its time, then what came of it and how long.

        Args:
            doing: Shown meanwhile, on a terminal.

        Yields:
            A function that takes what to say afterwards.
        """
        outcome = [doing]
        begun = time.monotonic()
        with self.console.status(f"{doing} ..."):
            yield outcome.append
        self.tick(outcome[-1], begun)

    @contextmanager
    def building(self) -> Iterator[Callable[[int, int], None]]:
        """Show the build of Kratos: on a terminal a counter, else each quarter.

        Yields:
            A function that takes how many packages are compiled, of how many. Nothing
            is shown before its first call.
        """
        status = self.console.status("")
        quarter = -1

        def show(done: int, total: int) -> None:
            nonlocal quarter
            if quarter < 0:
                self.say("  Kratos is being built: once, in a few minutes.")
                status.start()
            # Linking comes last, takes a while, and is silent.
            doing = "Compiling" if done < total else "Linking"
            status.update(f"{doing}: {done} of {total} packages")
            before, quarter = quarter, 4 * done // max(total, 1)
            if not self.console.is_terminal and quarter > max(before, 0):
                self.say(f"  {doing}: {done} of {total} packages")

        with status:
            status.stop()
            yield show

    def tick(self, text: str, begun: float) -> None:
        """Show what is done, and the seconds since `begun` (monotonic clock)."""
        self.console.print(_ticked(text, f"{time.monotonic() - begun:.1f} s"))

    def claim(self, subject: str, expected: object, seen: object) -> bool:
        """Check a claim about a subject, such as "Kratos holds", and show it.

        Returns:
            Whether it held.
        """
        if expected == seen:
            self.held += 1
            self.console.print(_ticked(f"{subject}: {seen}"))
            return True
        self.failed += 1
        self.console.print(f"✗ Not so: {subject}", style="bold red")
        self.console.print(
            _fields({"expected": str(expected), "seen": str(seen)}, "red")
        )
        return False

    def fields(self, values: Mapping[str, str], title: str = "") -> None:
        """Show names and values below each other."""
        if title:
            self.console.print(Text(title, style="bold cyan"))
        self.console.print(_fields(values))

    def mail(self, mail: Mail) -> None:
        """Show a mail as its reader sees it."""
        head = Text(f"To: {mail.to}\nSubject: {mail.subject}\n\n", style="bold")
        body = Text(mail.text.strip())
        body.highlight_words([mail.code] if mail.code else [], style="bold green")
        panel = Panel(head + body, box=box.ROUNDED, border_style="dim", padding=(0, 1))
        self.console.print(panel)


def _ticked(text: str, aside: str = "") -> Text:
    """Put a line behind a green tick."""
    line = Text.assemble(("✓ ", "bold green"), text)
    return line.append(f"  {aside}", style="dim") if aside else line


def _fields(values: Mapping[str, str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style=style, overflow="fold")
    for name, value in values.items():
        table.add_row(f"  {name}", value)
    return table

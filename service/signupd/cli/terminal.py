"""The terminal that ``signupd signup`` asks at."""

from __future__ import annotations

import getpass
import sys

from signupd.cli.page import console, printable


class StandardTerminal:
    """Standard input and output, be they a terminal or a pipe."""

    def __init__(self) -> None:
        self._console = console()

    def say(self, text: str) -> None:
        """Show a line; what of it would act on the terminal is taken out."""
        self._console.print(printable(text), soft_wrap=True)

    def ask(self, question: str) -> str:
        """Ask for a line.

        Raises:
            EOFError: Nothing more will be typed.
        """
        return input(question)

    def ask_hidden(self, question: str) -> str:
        """Ask for a line that shows nowhere.

        Raises:
            EOFError: Nothing more will be typed.
        """
        # A pipe does not echo; getpass would look for a terminal past it.
        return getpass.getpass(question) if sys.stdin.isatty() else input(question)

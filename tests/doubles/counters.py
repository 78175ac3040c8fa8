"""Counters that are read back."""

from collections import Counter

from signupd.signup.transitions import Event


class CountersDouble:
    """Counts what is noted of sign-ups.

    Attributes:
        events: How often each transition was noted.
        wrong_codes: How many wrong codes were.
    """

    def __init__(self) -> None:
        self.events: Counter[Event] = Counter()
        self.wrong_codes = 0

    def event(self, event: Event) -> None:
        """Count a transition."""
        self.events[event] += 1

    def wrong_code(self) -> None:
        """Count a wrong code."""
        self.wrong_codes += 1

    def wrong_password(self) -> None:
        """Count nothing: the row has the count."""

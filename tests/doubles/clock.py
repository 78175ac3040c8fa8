"""A clock that stands until it is moved."""

import time

MICROSECONDS = 1_000_000


class ClockDouble:
    """Microseconds since the Unix epoch, from now on."""

    def __init__(self) -> None:
        self.micros = time.time_ns() // 1000
        self.looks = 0  # how often it was asked

    def __call__(self) -> int:
        """Tell the time."""
        self.looks += 1
        return self.micros

    def move(self, seconds: float) -> None:
        """Move it on."""
        self.micros += round(seconds * MICROSECONDS)

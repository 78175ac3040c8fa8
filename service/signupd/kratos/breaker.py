"""The breaker: a Kratos that does not answer is left alone for a while.

Without it every call would wait out its timeout, holding a connection and a lease, and
a Kratos that comes back would meet all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.errors import KratosUnreached

if TYPE_CHECKING:
    from collections.abc import Callable

# In a row, with no answer in between: more than chance, and soon reached under load.
FAILURES: Final = 10
# Then one call in so many seconds tries; the first that is answered lets all others on.
PROBE_SECONDS: Final = 2.0


class Breaker:
    """Counts failures of one kind of call, and refuses calls while there are too many.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._next_probe = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are refused, but for probes."""
        return self._failures >= FAILURES

    def admit(self) -> None:
        """Let a call on, or refuse it at once.

        Raises:
            KratosUnreached: The server is being left alone; nothing was sent.
        """
        self.refuse_resting()
        if self.open:  # this call is the probe
            self._next_probe = self._clock() + PROBE_SECONDS

    def refuse_resting(self) -> None:
        """Refuse a call that is none of this breaker's, until the next probe is due.

        Raises:
            KratosUnreached: The server is being left alone; nothing was sent.
        """
        if not self.open:
            return
        now = self._clock()
        if now < self._next_probe:
            raise KratosUnreached(
                f"Kratos is left alone after {self._failures} failures in a row",
                retry_after_seconds=self._next_probe - now,
            )

    def answered(self) -> None:
        """Note that the server answered, whatever it said."""
        self._failures = 0

    def failed(self) -> None:
        """Note that it did not, or said that it cannot."""
        self._failures += 1
        if self.open:
            self._next_probe = self._clock() + PROBE_SECONDS

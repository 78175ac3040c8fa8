"""The circuit breaker: a Kratos that does not answer gets no calls for a while.

Without it every call would wait out its timeout, holding a connection and a lease, and
a Kratos that comes back would meet all of them at once.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from signupd.errors import KratosUnreached

# In a row, with no answer in between: more than chance, and soon reached under load.
FAILURES: Final = 10
# An open breaker lets one call through in so many seconds; an answer closes it.
PROBE_SECONDS: Final = 2.0


class Breaker:
    """Counts the failures of one API by method, and refuses calls while open.

    A Kratos that opens flows may still be too slow to go on with them, so a GET that is
    answered does not close the breaker of POST. While it is open for one method, the
    API's other methods are refused too. The clock has monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._next_probe: dict[str, float] = {}

    def admit(self, method: str) -> None:
        """Let a call through, or refuse it at once.

        Raises:
            KratosUnreached: The breaker is open; nothing was sent.
        """
        now = self._clock()
        for failing, next_probe in self._next_probe.items():
            if now < next_probe:
                raise KratosUnreached(
                    f"Kratos gets no calls after {self._failures[failing]} failures",
                    retry_after_seconds=next_probe - now,
                )
        if method in self._next_probe:  # this call is the probe
            self._next_probe[method] = now + PROBE_SECONDS

    def answered(self, method: str) -> None:
        """Note that the server answered, with whatever status."""
        self._failures[method] = 0
        self._next_probe.pop(method, None)

    def failed(self, method: str) -> None:
        """Note that the server did not answer, or said that it cannot."""
        self._failures[method] += 1
        if self._failures[method] >= FAILURES:
            self._next_probe[method] = self._clock() + PROBE_SECONDS

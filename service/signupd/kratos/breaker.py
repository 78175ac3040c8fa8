"""The circuit breaker of an API: it spares calls that would only wait in vain."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from signupd.errors import KratosUnreached

FAILURES: Final = 10  # in a row: more than chance, and soon reached under load
# An open breaker lets one call through in so many seconds; an answer closes it.
PROBE_SECONDS: Final = 2.0


class Breaker:
    """The circuit breaker of one API. While open it refuses calls at once.

    Otherwise each would wait out its timeout, holding a connection and a lease. A cut
    connection is an answer: one odd request must not stop all others. It counts by
    method: a Kratos that opens flows may be too slow to go on with them, so an answer
    to GET does not close the breaker of POST. The clock has monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._next_probe: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether it refuses calls, but for one now and then."""
        return bool(self._next_probe)

    def admit(self, method: str) -> None:
        """Let a call through, or raise KratosUnreached at once: nothing is sent."""
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
        """Note that the server answered, with any status, or cut the connection."""
        self._failures[method] = 0
        self._next_probe.pop(method, None)

    def failed(self, method: str) -> None:
        """Note that the server let a call wait, or said that it cannot answer."""
        self._failures[method] += 1
        if self._failures[method] >= FAILURES:
            self._next_probe[method] = self._clock() + PROBE_SECONDS

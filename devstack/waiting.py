"""Waiting until something holds: the one polling loop of stack, tests and bench."""

import time
from collections.abc import Callable
from typing import TypeVar

# Bounds a hang, however loaded the machine is.
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.02

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None], what: str, seconds: float = WAIT_SECONDS
) -> T:
    """Wait until a condition holds.

    Args:
        condition: Called again and again until its result is true.
        what: Named in the error.
        seconds: How long to wait; `math.inf` waits for ever.

    Returns:
        The condition's result.

    Raises:
        TimeoutError: It does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(POLL_SECONDS)
    return found

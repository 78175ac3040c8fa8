"""The breaker: how often Kratos may fail, and when one call tries again."""

import pytest
from signupd.errors import KratosUnreached
from signupd.kratos.http import FAILURES, PROBE_SECONDS, Breaker

# What happens to POSTs, besides that so many seconds pass.
FAILED, ANSWERED, ASKED = "failed", "answered", "asked"
OPEN = [FAILED] * FAILURES
ALMOST = PROBE_SECONDS - 0.5


@pytest.mark.parametrize(
    ("events", "admitted"),
    [
        ([*OPEN[1:], ASKED], [True]),
        ([*OPEN[1:], ANSWERED, FAILED, ASKED], [True]),
        ([*OPEN, ASKED], [False]),
        ([*OPEN, PROBE_SECONDS, ASKED, ASKED, ASKED], [True, False, False]),
        ([*OPEN, PROBE_SECONDS, ASKED, ANSWERED, ASKED, ASKED], [True, True, True]),
        ([*OPEN, PROBE_SECONDS, ASKED, ALMOST, FAILED, ALMOST, ASKED], [True, False]),
        ([*OPEN, PROBE_SECONDS, ASKED, PROBE_SECONDS, ASKED], [True, True]),
    ],
    ids=[
        "few failures",
        "an answer in between",
        "failures in a row",
        "one probe at a time",
        "probe answered",
        "probe failed late",
        "probe without a response",
    ],
)
def test_admitted(events: list[str | float], admitted: list[bool]) -> None:
    """Failures in a row stop calls; then one at a time may try, until one succeeds."""
    seconds, found = 100.0, []
    breaker = Breaker(lambda: seconds)
    for event in events:
        if isinstance(event, float):
            seconds += event
        elif event == ASKED:
            found.append(admits(breaker))
        else:
            getattr(breaker, event)("POST")

    assert admitted == found


def test_other_methods() -> None:
    """While one method fails, others are refused too, and cannot close the breaker."""
    seconds = 100.0
    breaker = Breaker(lambda: seconds)
    for _ in range(FAILURES):
        breaker.failed("POST")
    seconds += 0.5
    with pytest.raises(KratosUnreached) as refused:
        breaker.admit("GET")
    breaker.answered("GET")  # of a call that was under way

    assert ALMOST == refused.value.retry_after_seconds
    assert not admits(breaker)


def admits(breaker: Breaker) -> bool:
    """Return whether a POST is let through."""
    try:
        breaker.admit("POST")
    except KratosUnreached:
        return False
    return True

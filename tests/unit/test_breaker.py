"""The breaker: how often Kratos may fail, and who tries again."""

from __future__ import annotations

import pytest
from signupd.errors import KratosUnreached
from signupd.kratos.breaker import FAILURES, PROBE_SECONDS, Breaker


class Time:
    """Seconds that stand until they are moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.seconds


@pytest.fixture
def time() -> Time:
    """Give a time that stands."""
    return Time()


@pytest.fixture
def tripped(time: Time) -> Breaker:
    """Give a breaker that has just seen one failure too many."""
    breaker = Breaker(time)
    for _ in range(FAILURES):
        breaker.failed("POST")
    return breaker


def admits(breaker: Breaker) -> bool:
    """Tell whether a call is let on."""
    try:
        breaker.admit("POST")
    except KratosUnreached:
        return False
    return True


def test_few_failures(time: Time) -> None:
    """One failure fewer than the limit refuses nobody."""
    breaker = Breaker(time)
    for _ in range(FAILURES - 1):
        breaker.failed("POST")

    assert admits(breaker)


def test_failures_in_a_row(time: Time) -> None:
    """An answer in between begins the count anew."""
    breaker = Breaker(time)
    for _ in range(FAILURES - 1):
        breaker.failed("POST")
    breaker.answered("POST")
    breaker.failed("POST")

    assert admits(breaker)


def test_open(time: Time, tripped: Breaker) -> None:
    """Too many failures refuse calls, and say truly when to come back."""
    time.seconds += 0.5
    with pytest.raises(KratosUnreached) as refused:
        tripped.admit("POST")

    assert PROBE_SECONDS - 0.5 == refused.value.retry_after_seconds


def test_probe(time: Time, tripped: Breaker) -> None:
    """After a while one call is let on to try, and only one."""
    time.seconds += PROBE_SECONDS

    assert [True, False, False] == [admits(tripped) for _ in range(3)]


def test_probe_answered(time: Time, tripped: Breaker) -> None:
    """A probe that is answered lets everybody on."""
    time.seconds += PROBE_SECONDS
    tripped.admit("POST")
    tripped.answered("POST")

    assert [True, True] == [admits(tripped) for _ in range(2)]


def test_probe_failed(time: Time, tripped: Breaker) -> None:
    """A probe that fails, slowly too, puts the next one off."""
    time.seconds += PROBE_SECONDS
    tripped.admit("POST")
    time.seconds += PROBE_SECONDS - 0.5
    tripped.failed("POST")
    time.seconds += PROBE_SECONDS - 0.5

    assert not admits(tripped)


def test_probe_without_a_word(time: Time, tripped: Breaker) -> None:
    """A probe of which nothing is heard does not keep others from trying."""
    time.seconds += PROBE_SECONDS
    tripped.admit("POST")
    time.seconds += PROBE_SECONDS

    assert admits(tripped)


def test_other_methods(time: Time, tripped: Breaker) -> None:
    """While one method fails the others are refused too, and do not close it."""
    with pytest.raises(KratosUnreached):
        tripped.admit("GET")
    tripped.answered("GET")  # of a call that was under way

    assert not admits(tripped)

"""Free and taken addresses take the same time, as far as a short run can tell.

`make bench` makes a run ten times as long, with a narrower bound (docs/performance.md).
"""

from collections.abc import Iterator
from statistics import median

import pytest

from bench.strangers import SETTINGS, Times, chance, deviation, timed
from tests.e2e.site import Site
from tests.e2e.stack import new_address

PAIRS = 120
# Standard deviations from one half: chance alone gets so far once in 100 000 times.
FAR = 4.5
RPCS = ("StartSignup", "VerifyCode", "GetSignup", "ResendCode", "CancelSignup")


@pytest.fixture(scope="module")
def times(site: Site) -> Iterator[dict[str, Times]]:
    """Call for free and taken addresses in turns, with a stopwatch."""
    with site.stack(settings=SETTINGS) as stack:
        stack.wait_for_proof()
        taken = [new_address() for _ in range(PAIRS)]
        stack.admin.import_accounts(taken)
        yield timed(stack.caller.channel, taken)


@pytest.mark.parametrize("rpc", RPCS)
def test_times_tell_nothing(times: dict[str, Times], rpc: str) -> None:
    """Whoever guesses by the time which address has an account tosses a coin."""
    one = times[rpc]
    guessed = chance(one.taken, one.free)

    assert (PAIRS, PAIRS) == (len(one.taken), len(one.free))
    assert abs(guessed - 0.5) <= FAR * deviation(PAIRS, PAIRS)


@pytest.mark.parametrize("rpc", RPCS)
def test_difference_is_noticed(times: dict[str, Times], rpc: str) -> None:
    """Had calls for taken addresses taken half as long again, it would have shown."""
    one = times[rpc]
    more = median(one.free) / 2
    slower = [seconds + more for seconds in one.taken]
    guessed = chance(slower, one.free)

    assert guessed - 0.5 > FAR * deviation(PAIRS, PAIRS)

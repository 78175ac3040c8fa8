"""How well somebody who only sees times can guess which of two kinds a call was."""

from collections.abc import Sequence
from math import sqrt


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """Tell how often the longer of two times is one of the first kind.

    That is Mann and Whitney's U, as a share of all pairs. One half is a coin that is
    tossed; an observer who sees one time of each kind, and guesses by which is longer,
    is right in so many cases.

    Args:
        one: Times of the first kind.
        other: Of the second; together with those at least one each.
    """
    ranked = sorted([(time, True) for time in one] + [(time, False) for time in other])
    ranks, place = 0.0, 0
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        # Equal times share their ranks.
        ranks += (place + end + 1) / 2 * sum(mine for _, mine in ranked[place:end])
        place = end
    least = len(one) * (len(one) + 1) / 2
    return (ranks - least) / (len(one) * len(other))


def deviation(one: int, other: int) -> float:
    """Tell the standard deviation of `chance` where the kinds do not differ.

    Args:
        one: How many times there are of the first kind.
        other: Of the second.
    """
    return sqrt((one + other + 1) / (12 * one * other))

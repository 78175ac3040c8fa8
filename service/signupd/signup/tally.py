"""What this process has counted since it began."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts that only go up; whoever watches them adds the processes up.

    Args:
        wrong_codes: Codes that were tried and were wrong, over all sign-ups. Each costs
            its sign-up an attempt.
    """

    wrong_codes: int = 0

"""How long the sweeper rests."""

from __future__ import annotations

import pytest
from signupd.sweeper import Swept, pause


@pytest.mark.parametrize(
    ("more", "seconds", "rest"),
    [(True, 2.5, 2.5), (True, 45.0, 30.0), (False, 2.5, 30.0), (False, 45.0, 30.0)],
)
def test_pause(more: bool, seconds: float, rest: float) -> None:
    """After a full batch as long as it took, and never longer than otherwise."""
    swept = Swept(settled=0, failed=0, expired=0, forgotten=0, more=more)

    assert rest == pause(swept, seconds, interval=30.0)

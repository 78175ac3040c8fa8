"""StartSignup and the flow it took from stock, when its sign-up is not written down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from signupd.errors import (
    LedgerUnavailable,
    SendLimitReached,
    SignupBusy,
    SignupdError,
)
from signupd.kratos import flows as module
from signupd.kratos.flows import Flows
from signupd.signup.start import StartRequest, start_signup

from tests.unit.test_flows import settled
from tests.unit.test_steps import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signupd.ledger.limits import Draw, Drawn
    from signupd.ledger.record import Record


class Refusing:
    """Buckets that write no sign-up down.

    Args:
        error: Why.
    """

    def __init__(self, error: type[SignupdError]) -> None:
        self._error = error

    async def take(self, _draws: Sequence[Draw], beginning: Record) -> list[Drawn]:
        """Refuse."""
        assert beginning.sends
        raise self._error

    async def give_back(self, drawn: Sequence[Drawn]) -> None:
        """Take nothing back, since nothing was drawn."""
        assert not drawn


@pytest.mark.parametrize(
    ("error", "kept"),
    [(SendLimitReached, True), (SignupBusy, True), (LedgerUnavailable, False)],
)
async def test_flow_kept(
    monkeypatch: pytest.MonkeyPatch, error: type[SignupdError], *, kept: bool
) -> None:
    """The next one gets it, unless a row may be there that names it."""
    monkeypatch.setattr(module, "ANSWER_FIRST_SECONDS", 0.0)
    world = World()
    flows = Flows(world.kratos.open_registration, 1, lambda: 0.0)
    flows.restock()
    await settled()
    buckets = cast("Any", Refusing(error))
    deps = replace(world.deps, flows=flows, buckets=buckets)
    with pytest.raises(error):
        await start_signup(deps, StartRequest("ann@example.com", {}, "", None))

    assert kept == flows.in_stock
    assert 1 == len(world.kratos.flows)

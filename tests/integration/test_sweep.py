"""The sweeper and rows that Kratos answers badly."""

import pytest

from tests.integration.caller import refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

DAY = 24 * 3600
ADDRESSES = [f"{name}@example.com" for name in ("ann", "bob", "cid", "dot")]


async def test_bad_row_does_not_stand_in_the_way(world: World) -> None:
    """A row that cannot be opened any more keeps no other from being settled."""
    replica = await world.serve(sweep_interval="1d")
    tokens = [await to_password(world, replica.caller, one) for one in ADDRESSES]
    for token in tokens:
        world.kratos.lose("password")
        world.kratos.lose("find", times=99)
        await refusal(replica.caller.set_password(token, PASSWORD))
        world.kratos.heal()
    world.clock.move(60)
    first = min(row["signup_id"] for row in world.rows())
    world.change_row("sealed", b"spoiled", signup_id=first)
    swept = await replica.service.sweeper.sweep()

    assert (3, 1) == (swept.settled, swept.failed)
    states = [row["state"] for row in world.rows() if row["signup_id"] != first]
    assert ["completed"] * 3 == states


async def test_batches_follow_each_other(world: World) -> None:
    """Where more is due than a batch holds, nothing waits for SWEEP_INTERVAL."""
    before = await world.serve(sweep_interval="1d")
    for one in ADDRESSES:
        await to_code(world, before.caller, one)
    await before.service.stop()
    world.clock.move(DAY)
    await world.serve(sweep_interval="1d", sweep_batch=1)
    await world.log.wait_for("swept", len(ADDRESSES))

    assert ["expired"] * 4 == [row["state"] for row in world.rows()]


@pytest.mark.parametrize(
    ("column", "seconds"),
    [("approved_until", 45), ("lease_until", 75), ("expire_time", 1800)],
)
async def test_clamped_at_work(world: World, column: str, seconds: int) -> None:
    """Each time that is too far off is clamped, and the call at work goes on."""
    # A code has longer than a password, so a row at work is clamped twice.
    replica = await world.serve(sweep_interval="1d", code_ttl="1h")
    token = await to_password(world, replica.caller, ADDRESSES[0])
    async with world.held(
        "password", replica.caller.set_password(token, PASSWORD), after=True
    ) as call:
        world.change_row(column, 2**60)
        await replica.service.sweeper.sweep()
        clamped = world.row()[column] - world.clock.micros

    assert seconds * 1_000_000 == clamped
    assert "COMPLETED" == state_of(await call)

"""The steps of one sign-up, in any order and under any trouble.

Whatever Kratos loses, whatever dies and however long everything takes: no final state
changes, nothing is stored for a sign-up that is over, and every answer is true.
``one_signup.World`` asserts that after each step.
"""

import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from signupd.ledger.record import State

from tests.doubles.memory import Trouble
from tests.unit.one_signup import ADDRESS, PASSWORDS, World

Steps = list[tuple[str, Any, list[Trouble]]]

REQUEST_IDS = (uuid.uuid4(), uuid.uuid4())
TROUBLES = st.lists(st.sampled_from(Trouble), max_size=4)
STEPS = st.one_of(
    st.tuples(st.just("start"), st.none(), TROUBLES),
    st.tuples(st.just("verify"), st.integers(0, 3), TROUBLES),
    st.tuples(st.just("set"), st.sampled_from(PASSWORDS), TROUBLES),
    st.tuples(st.just("get"), st.none(), TROUBLES),
    st.tuples(st.just("resend"), st.sampled_from([None, *REQUEST_IDS]), TROUBLES),
    st.tuples(st.just("cancel"), st.none(), TROUBLES),
    st.tuples(st.just("wait"), st.sampled_from([1, 44, 45, 75, 600]), st.just([])),
    st.tuples(st.sampled_from(["late", "rival"]), st.none(), st.just([])),
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
@example(
    steps=[
        ("verify", 0, []),
        ("set", PASSWORDS[0], [Trouble.NONE, Trouble.FAILED]),
        ("set", PASSWORDS[1], []),
        ("set", PASSWORDS[0], []),
    ]
)
@example(steps=[("rival", None, []), ("verify", 0, [])])
@example(
    steps=[
        ("verify", 0, []),
        ("set", PASSWORDS[0], [Trouble.NONE, Trouble.TORN]),
        ("rival", None, []),
        ("late", None, []),
        ("wait", 45, []),
        ("set", PASSWORDS[0], []),
    ]
)
def test_any_order(steps: Steps) -> None:
    """In any order what must hold holds, and an account of a rival is left alone."""

    async def live() -> World:
        world = World()
        for name, value, troubles in [("start", None, []), *steps]:
            await world.step(name, value, troubles)
        return world

    world = asyncio.run(live())

    account = world.kratos.accounts.get(ADDRESS)
    assert world.kratos.rival in (None, account)
    completed = State.COMPLETED in {*world.final.values()}
    assert not completed or (account is not None and account is not world.kratos.rival)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(steps=st.lists(STEPS, max_size=12), seconds=st.sampled_from([0, 45, 75]))
@example(steps=[("verify", 0, [Trouble.LOST, Trouble.UNREACHED])], seconds=0)
@example(steps=[("verify", 0, [Trouble.TORN, Trouble.DIED_BEFORE])], seconds=0)
@example(
    steps=[
        ("verify", 0, [Trouble.TORN, Trouble.FAILED]),
        ("verify", 0, [Trouble.NONE, Trouble.UNREACHED]),
    ],
    seconds=0,
)
def test_all_ends_well(steps: Steps, seconds: int) -> None:
    """When troubles end, a sign-up that is in time comes to its end."""

    async def live() -> None:
        world = World()
        await world.step("start", None, [])
        for name, value, troubles in steps:
            await world.step(name, value, troubles)
        world.clock.move(seconds)
        await world.kratos.catch_up()
        world.clock.move(75 + 45)
        assert await ends(world) in (
            "COMPLETED",
            "PASSWORD_ALREADY_SET",
            "SIGNUP_EXPIRED",
            "SIGNUP_CANCELLED",
            "CODE_ATTEMPTS_EXHAUSTED",
            "CODE_EXPIRED",
            "ALREADY_REGISTERED",
        )

    async def ends(world: World) -> str:
        started = await world.outcome("start", None)
        if started in ("EXPIRED", "CANCELLED"):
            return f"SIGNUP_{started}"
        if started == "ALREADY_REGISTERED":
            return started
        verified = await world.outcome("verify", 0)
        world.check_outcome("verify", 0, verified)
        if verified not in ("PASSWORD_REQUIRED", "COMPLETED"):
            return verified
        done = await world.outcome("set", PASSWORDS[0])
        world.check_outcome("set", PASSWORDS[0], done)
        return done

    asyncio.run(live())


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("call", range(4))
def test_one_trouble(trouble: Trouble, call: int) -> None:
    """One trouble at any call of any step: the repeats come to the account."""

    async def live() -> str:
        world = World()
        troubles = [Trouble.NONE] * call + [trouble]
        for name, value in (("start", None), ("verify", 0), ("set", PASSWORDS[0])):
            outcome = ""
            for befalling in (troubles, [], []):
                await world.kratos.catch_up()
                world.kratos.troubles = [*befalling]
                outcome = await world.outcome(name, value)
                world.kratos.troubles = []
                world.check_outcome(name, value, outcome)
                world.clock.move(76)
        return outcome

    assert "COMPLETED" == asyncio.run(live())

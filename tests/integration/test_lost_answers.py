"""Kratos did it and its flow does not know, or it says that it cannot: what then.

Answers that are simply lost are limbo/test_lost_answers.py's, with a real Kratos.
"""

import asyncio
import uuid

from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"
# A client of Kratos may try a GET again by itself.
ALWAYS = 99
MICROSECOND = 1e-6


async def test_start_torn_again_and_again(world: World) -> None:
    """However often a flow loses its mail, a sign-up has no more than it may."""
    caller = (await world.serve(sends_per_signup=2)).caller
    request_id = uuid.uuid4()
    for _ in range(3):
        world.kratos.tear("send")
        refused = await refusal(caller.start(ADDRESS, request_id))

    assert 2 == len(world.kratos.mails_to(ADDRESS))
    assert "SEND_LIMIT_REACHED" == refused.reason
    world.kratos.heal()
    world.clock.move((refused.retry_seconds or 0) - MICROSECOND)
    early = await refusal(caller.start(ADDRESS, request_id))
    world.clock.move(MICROSECOND)
    begun = await caller.start(ADDRESS, request_id)

    assert "SEND_LIMIT_REACHED" == early.reason
    assert "CODE_REQUIRED" == state_of(begun)


async def test_verify_find_lost_for_a_taken_address(
    world: World, caller: Caller
) -> None:
    """A proof whose look-up was lost: the repeat finds the account that is there."""
    world.kratos.add_account(ADDRESS, verified=True)
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.lose("find", times=ALWAYS)
    await refusal(caller.verify(token, code))
    world.kratos.heal()
    got = await caller.get(token)

    assert "ALREADY_REGISTERED" == state_of(got)


async def test_password_lost_before_kratos_asked(world: World, caller: Caller) -> None:
    """Where our hook agreed to nothing the attempt is given back."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.fail("password")
    refused = await refusal(caller.set_password(token, PASSWORD))
    done = await caller.set_password(token, PASSWORD)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert refused.signup is not None
    assert 20 == refused.signup.password_attempts_remaining
    assert "COMPLETED" == state_of(done)


async def test_breach_list_away(world: World, caller: Caller) -> None:
    """A password that Kratos could not look up costs a repeat; so does a proof."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.setup.breaches_away = True
    later = (await world.serve(proved=False)).caller
    refused = [
        await refusal(call)
        for call in (caller.set_password(token, PASSWORD), later.start("bob@x.org"))
    ]
    world.kratos.setup.breaches_away = False
    done = await caller.set_password(token, PASSWORD)

    assert ["KRATOS_UNAVAILABLE"] * 2 == [one.reason for one in refused]
    assert all(one.retry_seconds for one in refused)
    assert "haveibeenpwned" in world.log.entry("kratos_unavailable")["why"]
    assert "COMPLETED" == state_of(done)
    assert 1 == world.row()["password_attempts"]


async def test_password_hook_away(world: World, caller: Caller) -> None:
    """A proved hook that is away for a moment costs a repeat, and no attempt."""
    token = await to_password(world, caller, ADDRESS)
    url = world.kratos.setup.hook_url
    world.kratos.setup.hook_url = "http://127.0.0.1:1"
    refused = await refusal(caller.set_password(token, PASSWORD))
    world.kratos.setup.hook_url = url
    done = await caller.set_password(token, PASSWORD)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert refused.retry_seconds
    assert refused.signup is not None
    assert 20 == refused.signup.password_attempts_remaining
    assert "HOOK_LISTEN" in world.log.entry("kratos_unavailable")["why"]
    assert "COMPLETED" == state_of(done)


async def test_password_not_reached(world: World, caller: Caller) -> None:
    """A password that never reached Kratos costs no attempt."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.break_after("open")
    refused = await refusal(caller.set_password(token, PASSWORD))
    row = world.row()
    await world.kratos.up()
    done = await caller.set_password(token, PASSWORD)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert ("none", 0) == (row["lease"], row["password_attempts"])
    assert "COMPLETED" == state_of(done)


async def test_sessions_not_ended(world: World, caller: Caller) -> None:
    """That a session could not be ended is logged, and changes nothing else."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.fail("sessions", times=ALWAYS)
    done = await caller.set_password(token, PASSWORD)

    assert "COMPLETED" == state_of(done)
    assert ["session_left"] == world.log.events("warning")
    assert [1] == [account.sessions for account in world.kratos.accounts()]


async def test_session_ended_later(world: World, caller: Caller) -> None:
    """A Kratos that fails for a moment is asked again to end the session."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.fail("sessions", times=ALWAYS, status=500)
    asyncio.get_running_loop().call_later(0.5, world.kratos.heal)
    done = await caller.set_password(token, PASSWORD)

    assert "COMPLETED" == state_of(done)
    assert [0] == [account.sessions for account in world.kratos.accounts()]

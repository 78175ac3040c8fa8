"""Keys come and go while sign-ups are under way."""

import base64
import secrets
import uuid

import pytest

from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"


def new_key() -> str:
    """Make a key as the settings want it."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


OLD, NEW, DIGESTS = new_key(), new_key(), new_key()


async def served(world: World, *keys: str) -> Caller:
    """Serve with these keys, the first of which seals."""
    replica = await world.serve(token_keys=",".join(keys), digest_key=DIGESTS)
    return replica.caller


@pytest.mark.parametrize(
    ("before", "after"), [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD))]
)
async def test_replicas_at_two_stages(
    world: World, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """From one stage of a rotation to the next, replicas of both serve each other."""
    early, late = await served(world, *before), await served(world, *after)
    token, code = await to_code(world, early, ADDRESS)
    verified = await late.verify(token, code)
    done = await early.set_password(verified.continuation_token, PASSWORD)
    other, code = await to_code(world, late, "bob@example.com")
    proved = await early.verify(other, code)
    completed = await late.set_password(proved.continuation_token, PASSWORD)

    assert ["COMPLETED"] * 2 == [state_of(done), state_of(completed)]


async def test_old_key_opens_only(world: World) -> None:
    """With the new key in front nothing more is sealed under the old one."""
    caller = await served(world, NEW, OLD)
    token, _ = await to_code(world, caller, ADDRESS)
    alone = await served(world, NEW)

    assert "CODE_REQUIRED" == state_of(await alone.get(token))


async def test_forgotten_key(world: World) -> None:
    """Without the old key its tokens are invalid, and the log names its sign-ups."""
    early, request_id = await served(world, OLD), uuid.uuid4()
    started = await early.start(ADDRESS, request_id)
    count = world.log.events().count("key_forgotten")
    late = await served(world, NEW)
    refused = await refusal(late.get(started.continuation_token))
    repeated = await refusal(late.start(ADDRESS, request_id))
    entry = world.log.entry("key_forgotten")

    assert 0 == count
    assert [started.signup.signup_id] == entry["signup_ids"]
    assert "TOKEN_INVALID" == refused.reason
    assert "REQUEST_ID_REUSED" == repeated.reason


async def test_row_under_a_forgotten_key(world: World) -> None:
    """A token of the new key is no good either where the row's key is gone."""
    early = await served(world, OLD)
    token = await to_password(world, early, ADDRESS)
    between = await served(world, NEW, OLD)
    token = (await between.get(token)).continuation_token
    late = await served(world, NEW)
    refused = [
        await refusal(late.set_password(token, PASSWORD)),
        await refusal(late.cancel(token)),
    ]

    assert ["TOKEN_INVALID"] * 2 == [one.reason for one in refused]
    assert [] == world.kratos.accounts()
    assert "PASSWORD_REQUIRED" == state_of(await between.get(token))


async def test_finished_sign_ups_are_not_named(world: World) -> None:
    """What has come to its end needs no key any more."""
    early = await served(world, OLD)
    await early.set_password(await to_password(world, early, ADDRESS), PASSWORD)
    await served(world, NEW)

    assert "key_forgotten" not in world.log.events()

"""A Kratos not set up for the service: said, with the setting, and nothing is left.

What is deleted is only ever what an answer to our own request named.
"""

from typing import Any

import grpc
import pytest

from tests.doubles.hooks import HookDouble
from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password
from tests.refusal import Refusal

ADDRESS = "ann@example.com"
KEY = "sixteen-or-more-characters"
# A deletion is tried more than once.
ALWAYS = 99
INCOMPATIBLE = (grpc.StatusCode.INTERNAL, "KRATOS_INCOMPATIBLE", None)


def said(refused: Refusal) -> tuple[grpc.StatusCode, str, float | None]:
    """Give status, reason and time to wait of a refusal."""
    return refused.code, refused.reason, refused.retry_seconds


@pytest.mark.parametrize(
    ("setup", "setting"),
    [
        ({"registration": False}, "registration.enabled"),
        ({"password_method": False}, "methods.password.enabled"),
        ({"password_hook": False}, "after.password.hooks"),
        ({"swapped": True, "hook_key": KEY}, "asks /kratos/code before"),
        ({"parsed": False, "hook_key": KEY}, "after it had stored"),
        ({"hook_key": "of another server"}, "HOOK_KEY"),
        ({"admin_token": "needed"}, "KRATOS_ADMIN_URL"),
        ({"hook_url": "http://127.0.0.1:1"}, "HOOK_LISTEN"),
    ],
)
async def test_not_proved(world: World, setup: dict[str, Any], setting: str) -> None:
    """No mail goes out before Kratos is known to ask; the log names the setting."""
    replica = await world.serve(proved=False, hook_key=KEY)
    # Its proof has not begun yet: nothing was awaited since.
    for name, value in setup.items():
        setattr(world.kratos.setup, name, value)
    refused = await refusal(replica.caller.start(ADDRESS))

    assert INCOMPATIBLE == said(refused)
    assert [] == world.kratos.mails_to(ADDRESS)
    assert [] == world.kratos.accounts()
    assert [] == world.rows()
    assert setting in world.log.entry("kratos_incompatible")["why"]


async def test_another_ledger(world: World) -> None:
    """No mail goes out if a signupd with another ledger answers Kratos."""
    replica = await world.serve(proved=False)
    async with HookDouble() as hooks:  # refuses unsigned
        world.kratos.setup.hook_url = hooks.url
        refused = await refusal(replica.caller.start(ADDRESS))

    assert INCOMPATIBLE == said(refused)
    assert [] == world.kratos.mails_to(ADDRESS)
    assert "another DIGEST_KEY" in world.log.entry("kratos_incompatible")["why"]


async def test_schema_changed_at_the_code(world: World, caller: Caller) -> None:
    """A schema that wants more than it did is told as that, not as a dead hook."""
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.required_traits = frozenset({"email", "name"})
    refused = await refusal(caller.verify(token, code))
    world.kratos.setup.required_traits = frozenset({"email"})
    verified = await caller.verify(token, code)

    assert INCOMPATIBLE == said(refused)
    assert "has its schema changed" in world.log.entry("kratos_incompatible")["why"]
    assert "PASSWORD_REQUIRED" == state_of(verified)


async def test_admin_api_fenced(world: World, caller: Caller) -> None:
    """An admin API that does not let us in is told by the log, not to the caller."""
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.admin_token = "needed"
    refused = await refusal(caller.verify(token, code))

    assert INCOMPATIBLE == said(refused)
    assert "KRATOS_ADMIN_TOKEN" in world.log.entry("kratos_incompatible")["why"]
    assert "KRATOS_ADMIN_TOKEN" not in refused.wire


async def test_admin_token(world: World) -> None:
    """With its token the service gets in."""
    world.kratos.setup.admin_token = "needed"
    caller = (await world.serve(kratos_admin_token="needed")).caller
    token = await to_password(world, caller, ADDRESS)

    assert "COMPLETED" == state_of(await caller.set_password(token, PASSWORD))


async def test_required_traits(world: World) -> None:
    """Where the schema wants more, the proof waits for a caller who brings it."""
    world.kratos.setup.required_traits = frozenset({"email", "name"})
    caller = (await world.serve(proved=False)).caller
    refused = await refusal(caller.start(ADDRESS))
    mails = world.kratos.mails_to(ADDRESS)
    started = await caller.start(ADDRESS, traits={"name": "Ann"})

    assert ("TRAITS_INVALID", [("traits.name", "")]) == (refused.reason, refused.faults)
    assert [] == mails
    assert "CODE_REQUIRED" == state_of(started)
    assert "password_hook_proved" in world.log.events()


@pytest.mark.parametrize(
    ("switch", "on", "cause"),
    [
        ("code_method", False, "methods.code.enabled"),
        ("passwordless", False, "passwordless_enabled"),
        ("captcha", True, "captcha"),
    ],
)
async def test_no_code_is_sent(
    world: World, caller: Caller, switch: str, cause: str, *, on: bool
) -> None:
    """Where Kratos sends no codes no sign-up is kept, and the log says why."""
    setattr(world.kratos.setup, switch, on)
    refused = await refusal(caller.start(ADDRESS))

    assert (INCOMPATIBLE, []) == (said(refused), world.rows())
    assert cause in world.log.entry("kratos_incompatible")["why"]


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
async def test_code_hook_missing(world: World, caller: Caller, *, taken: bool) -> None:
    """An account that a missing code hook let be is deleted at once, no other."""
    address = ADDRESS if taken else "bob@example.com"
    there = world.kratos.add_account(address, password="old", sessions=1)
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.code_hook = False
    refused = await refusal(caller.verify(token, code))

    assert INCOMPATIBLE == said(refused)
    assert "CODE_REQUIRED" == state_of(refused)
    assert [there] == world.kratos.accounts()
    assert ("old", 1) == (there.password, there.sessions)
    assert "after.code.hooks" in world.log.entry("kratos_incompatible")["why"]


async def test_hooks_swapped_later(world: World, caller: Caller) -> None:
    """The refusal of our other hook proves the mailbox too, and the log says so."""
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.swapped = True

    assert "PASSWORD_REQUIRED" == state_of(await caller.verify(token, code))
    assert "the URL" in world.log.entry("code_hook_dead")["why"]


async def test_code_hook_unparsed(world: World, caller: Caller) -> None:
    """An account stored before its hook was asked is left, and the log tells of it.

    Kratos does not name it.
    """
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.parsed = False
    refused = await refusal(caller.verify(token, code))

    assert INCOMPATIBLE == said(refused)
    assert "CODE_REQUIRED" == state_of(refused)
    assert 1 == len(world.kratos.accounts())
    assert "after it had stored" in world.log.entry("kratos_incompatible")["why"]


async def test_password_hook_missing(world: World, caller: Caller) -> None:
    """An account stored past us is deleted, the sign-up goes on, and mails stop.

    That our hook approved the attempt before does not matter.
    """
    bystander = world.kratos.add_account("bob@example.com", password="old")
    token = await to_password(world, caller, ADDRESS)
    async with world.held(
        "password", refusal(caller.set_password(token, PASSWORD))
    ) as call:
        flow_id = world.kratos.flow_ids()[-1]
        approved = await world.ask_hook("password", flow_id=flow_id, email=ADDRESS)
        world.kratos.setup.breached = frozenset({PASSWORD})
    await call
    world.kratos.setup.breached = frozenset()
    world.kratos.setup.password_hook = False
    refused = await refusal(caller.set_password(token, PASSWORD))
    started = await refusal(caller.start("cid@example.com"))

    assert (200, INCOMPATIBLE) == (approved.status, said(refused))
    assert refused.signup is not None
    assert ("PASSWORD_REQUIRED", 19) == (
        state_of(refused),
        refused.signup.password_attempts_remaining,
    )
    assert [bystander] == world.kratos.accounts()
    assert "after.password.hooks" in world.log.entry("kratos_incompatible")["why"]
    assert "KRATOS_INCOMPATIBLE" == started.reason
    assert [] == world.kratos.mails_to("cid@example.com")


async def test_password_hook_missing_and_address_taken(
    world: World, caller: Caller
) -> None:
    """An account that was there before is told, and left alone."""
    token = await to_password(world, caller, ADDRESS)
    there = world.kratos.add_account(ADDRESS, password="old", sessions=1)
    world.kratos.setup.password_hook = False

    assert "ALREADY_REGISTERED" == state_of(await caller.set_password(token, PASSWORD))
    assert [there] == world.kratos.accounts()


async def test_ghost_replaced_by_a_stranger(world: World, caller: Caller) -> None:
    """What is deleted is the account that was named, not the one at the address."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.setup.password_hook = False
    async with world.held(
        "delete", refusal(caller.set_password(token, PASSWORD))
    ) as call:
        world.kratos.remove_account(ADDRESS)
        there = world.kratos.add_account(ADDRESS, password="old", sessions=1)
    refused = await call

    assert INCOMPATIBLE == said(refused)
    assert [there] == world.kratos.accounts()


async def test_password_hook_of_another_server(world: World, caller: Caller) -> None:
    """A hook of a server with another ledger knows no flow of ours; the log says so."""
    token = await to_password(world, caller, ADDRESS)
    (world.directory / "other").mkdir()
    await world.serve(ledger_url=f"sqlite:///{world.directory}/other/signupd.db")
    refused = await refusal(caller.set_password(token, PASSWORD))

    assert INCOMPATIBLE == said(refused)
    assert refused.signup is not None
    assert 20 == refused.signup.password_attempts_remaining
    assert [] == world.kratos.accounts()
    assert "share" in world.log.entry("kratos_incompatible")["why"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"password_method": False}, "methods.password.enabled"),
        ({"required_traits": frozenset({"email", "name"})}, "schema"),
    ],
)
async def test_changed_before_the_password(
    world: World, caller: Caller, change: dict[str, Any], word: str
) -> None:
    """A Kratos changed under a sign-up stores nothing and costs no attempt."""
    token = await to_password(world, caller, ADDRESS)
    before = {name: getattr(world.kratos.setup, name) for name in change}
    for name, value in change.items():
        setattr(world.kratos.setup, name, value)
    refused = await refusal(caller.set_password(token, PASSWORD))
    accounts = world.kratos.accounts()
    for name, value in before.items():
        setattr(world.kratos.setup, name, value)
    done = await caller.set_password(token, PASSWORD)

    assert INCOMPATIBLE == said(refused)
    assert refused.signup is not None
    assert 20 == refused.signup.password_attempts_remaining
    assert [] == accounts
    assert word in world.log.entry("kratos_incompatible")["why"]
    assert "COMPLETED" == state_of(done)


async def test_code_of_no_known_answer(world: World, caller: Caller) -> None:
    """A proxy's answer counts as lost, and blames no hook; a repeat is free."""
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.fail("code", status=400, times=2)
    refused = await refusal(caller.verify(token, code))
    world.kratos.fail("code", status=400)
    verified = await caller.verify(token, code)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert "HTTP status 400" in world.log.entry("kratos_unavailable")["why"]
    assert "PASSWORD_REQUIRED" == state_of(verified)
    assert 1 == world.row()["code_attempts"]


async def test_ghost_that_could_not_be_deleted(world: World, caller: Caller) -> None:
    """A ghost whose deletion failed is deleted by the repeat, and is not an account."""
    token, code = await to_code(world, caller, ADDRESS)
    world.kratos.setup.code_hook = False
    world.kratos.fail("delete", times=ALWAYS)
    await refusal(caller.verify(token, code))
    world.kratos.heal()
    world.kratos.setup.code_hook = True
    got = await caller.get(token)

    assert "ALREADY_REGISTERED" != state_of(got)
    assert [] == world.kratos.accounts()


async def test_answer_overruled(world: World, caller: Caller) -> None:
    """An account that our hook approved is never deleted, verified or not."""
    token = await to_password(world, caller, ADDRESS)
    async with world.held("password", caller.set_password(token, PASSWORD)) as call:
        flow_id = world.kratos.flow_ids()[-1]
        await world.ask_hook("password", flow_id=flow_id, email=ADDRESS)
        world.kratos.setup.password_hook = False  # its answer is of no account
    done = await call
    (account,) = world.kratos.accounts()

    assert ("COMPLETED", str(account.id)) == (state_of(done), done.signup.identity_id)
    assert not account.verified
    assert "response.parse" in world.log.entry("account_unverified")["why"]
    assert "KRATOS_INCOMPATIBLE" == (await refusal(caller.start("cid@x.org"))).reason


async def test_ghost_of_a_password_that_could_not_be_deleted(
    world: World, caller: Caller
) -> None:
    """So is one that a missing password hook let be; then the password is set."""
    token = await to_password(world, caller, ADDRESS)
    world.kratos.setup.password_hook = False
    world.kratos.fail("delete", times=ALWAYS)
    refused = await refusal(caller.set_password(token, PASSWORD))
    (ghost,) = world.kratos.accounts()
    world.kratos.heal()
    world.kratos.setup.password_hook = True
    done = await caller.set_password(token, PASSWORD)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert "COMPLETED" == state_of(done)
    assert [(True, True)] == [(a.verified, a != ghost) for a in world.kratos.accounts()]

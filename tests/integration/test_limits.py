"""The limits of mails over all sign-ups, whatever callers do and whatever fails."""

import asyncio
import ipaddress
import itertools
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import pytest

from tests.doubles.kratos import KratosDouble
from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password
from tests.refusal import Refusal

ADDRESS = "ann@example.com"
BYSTANDER = "bob@example.com"
MICROSECOND = 1e-6
MINUTE = 60.0
REFILL = 30 * MINUTE
CLIENTS = itertools.count(1)
# A client of Kratos may try a GET again by itself.
ALWAYS = 99


def said(refused: Refusal) -> tuple[grpc.StatusCode, str, float | None]:
    """Return status, reason and time to wait of a refusal."""
    return refused.code, refused.reason, refused.retry_seconds


def limited(seconds: float) -> tuple[grpc.StatusCode, str, float]:
    """Return what a refusal for too many mails says."""
    return grpc.StatusCode.RESOURCE_EXHAUSTED, "SEND_LIMIT_REACHED", seconds


def start(
    caller: Caller, address: str, request_id: uuid.UUID | str = ""
) -> Awaitable[Any]:
    """Call StartSignup for a client that has not called before."""
    client = ipaddress.ip_address("10.0.0.0") + next(CLIENTS)
    return caller.start(address, request_id, client_ip=str(client))


async def start_all(caller: Caller, address: str, count: int) -> list[str]:
    """Start sign-ups, none of which is refused; return their tokens."""
    return [(await start(caller, address)).continuation_token for _ in range(count)]


async def test_address(world: World, caller: Caller) -> None:
    """Five mails at once, then one when RetryInfo says so, and not before."""
    await start_all(caller, ADDRESS, 5)
    refusals = [await refusal(start(caller, ADDRESS)) for _ in range(3)]
    world.clock.move(REFILL - MICROSECOND)
    early = await refusal(start(caller, ADDRESS))
    world.clock.move(MICROSECOND)
    await start(caller, ADDRESS)
    again = await refusal(start(caller, ADDRESS))

    assert [limited(REFILL)] * 3 == [*map(said, refusals)]
    assert limited(MICROSECOND) == said(early)
    assert limited(REFILL) == said(again)
    assert {None} == {one.signup for one in [*refusals, early, again]}
    assert 6 == len(world.kratos.mails_to(ADDRESS))


async def test_refused_costs_kratos_nothing(world: World, caller: Caller) -> None:
    """A refusal opens no flow, leaves no row and does not affect other addresses."""
    await start_all(caller, ADDRESS, 5)
    before = len(world.kratos.calls), len(world.rows())
    for _ in range(10):
        await refusal(start(caller, ADDRESS, uuid.uuid4()))

    assert before == (len(world.kratos.calls), len(world.rows()))
    assert "CODE_REQUIRED" == state_of(await start(caller, BYSTANDER))


async def test_spellings_of_an_address(world: World, caller: Caller) -> None:
    """All spellings of an address share its bucket; a plus makes another mailbox."""
    for spelling in ("Ann@Example.com", "ANN@EXAMPLE.COM", ADDRESS, "ann@example.COM"):
        await start(caller, spelling)
    await start(caller, ADDRESS)
    refused = await refusal(start(caller, "aNN@example.com"))

    assert limited(REFILL) == said(refused)
    assert "CODE_REQUIRED" == state_of(await start(caller, "ann+1@example.com"))


async def test_restart_and_replica(world: World) -> None:
    """Another server counts with the same buckets, also after a restart."""
    first, second = [await world.serve() for _ in range(2)]
    for n in range(5):
        await start((first, second)[n % 2].caller, ADDRESS)
    refusals = [await refusal(start(one.caller, ADDRESS)) for one in (first, second)]
    await first.service.stop()
    third = await world.serve()
    refusals.append(await refusal(start(third.caller, ADDRESS)))

    assert [limited(REFILL)] * 3 == [*map(said, refusals)]


async def test_client(world: World) -> None:
    """A client has a bucket of its own, over all addresses; others are not refused."""
    caller = (await world.serve(sends_per_ip_per_hour=3)).caller
    for n in range(3):
        await caller.start(f"ann+{n}@example.com", client_ip="192.0.2.1")
    refused = await refusal(caller.start(ADDRESS, client_ip="192.0.2.1"))
    world.clock.move(20 * MINUTE - MICROSECOND)
    early = await refusal(caller.start(ADDRESS, client_ip="192.0.2.1"))
    for ip in ("192.0.2.2", ""):
        await caller.start(ADDRESS, client_ip=ip)
    world.clock.move(MICROSECOND)
    await caller.start(ADDRESS, client_ip="192.0.2.1")

    assert limited(20 * MINUTE) == said(refused)
    assert limited(MICROSECOND) == said(early)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::192.0.2.1", False),
        ("2001:db8::1", "2001:0DB8::ffff:ffff:0:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        # The same four bytes, as an address and as the beginning of a network.
        ("32.1.13.184", "2001:db8::", False),
    ],
)
async def test_one_client(world: World, one: str, other: str, *, alike: bool) -> None:
    """Clients are told apart by IPv4 address, in any spelling, or by IPv6 /64."""
    caller = (await world.serve(sends_per_ip_per_hour=1)).caller
    await caller.start(ADDRESS, client_ip=one)
    again = caller.start(ADDRESS, client_ip=other)

    if alike:
        assert limited(60 * MINUTE) == said(await refusal(again))
    else:
        assert "CODE_REQUIRED" == state_of(await again)


@pytest.mark.parametrize("spent", ["the client's", "the address'"])
async def test_refused_leaves_the_other(world: World, spent: str) -> None:
    """A refusal by one bucket leaves the other bucket as it was."""
    sends = 1 if spent == "the client's" else 2
    caller = (
        await world.serve(sends_per_ip_per_hour=sends, sends_per_address=1)
    ).caller
    await caller.start(BYSTANDER, client_ip="192.0.2.1")
    address = ADDRESS if spent == "the client's" else BYSTANDER
    refusals = [
        await refusal(caller.start(address, client_ip="192.0.2.1")) for _ in range(3)
    ]
    client_ip = "" if spent == "the client's" else "192.0.2.1"
    started = await caller.start(ADDRESS, client_ip=client_ip)

    assert {"SEND_LIMIT_REACHED"} == {one.reason for one in refusals}
    assert "CODE_REQUIRED" == state_of(started)


async def test_repeat_does_not_count(world: World) -> None:
    """A repeat with the same request id counts no further mail."""
    caller = (await world.serve(sends_per_address=1, sends_per_ip_per_hour=1)).caller
    request_id = uuid.uuid4()
    answers = [
        await caller.start(ADDRESS, request_id, client_ip="192.0.2.1") for _ in range(3)
    ]

    assert 1 == len({answer.signup.signup_id for answer in answers})
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_one_more(world: World) -> None:
    """The second mail after an unknown outcome of the first counts too."""
    caller = (await world.serve(sends_per_address=1)).caller
    request_id = uuid.uuid4()
    world.kratos.tear("send")
    await refusal(caller.start(ADDRESS, request_id))
    refused = await refusal(caller.start(ADDRESS, request_id))
    world.clock.move(REFILL)
    again = await caller.start(ADDRESS, request_id)
    other = await refusal(caller.start(ADDRESS))

    assert [limited(REFILL)] * 2 == [said(refused), said(other)]
    assert "CODE_REQUIRED" == state_of(again)
    assert 2 == len(world.kratos.mails_to(ADDRESS))


TROUBLES: dict[str, Callable[[KratosDouble], None]] = {
    "no connection": lambda kratos: kratos.break_after("open"),
    "no flow": lambda kratos: kratos.lose("open", times=ALWAYS),
    "too busy for a flow": lambda kratos: kratos.fail("open", times=ALWAYS),
    "registration off": lambda kratos: setattr(kratos.setup, "registration", False),
    "a trait is wanted": lambda kratos: setattr(
        kratos.setup, "required_traits", frozenset({"email", "name"})
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_given_back(world: World, trouble: str) -> None:
    """Nothing is counted if Kratos certainly sent no mail."""
    caller = (await world.serve(sends_per_address=1, sends_per_ip_per_hour=1)).caller
    TROUBLES[trouble](world.kratos)
    refusals = [
        await refusal(caller.start(ADDRESS, client_ip="192.0.2.1")) for _ in range(3)
    ]
    world.kratos.heal()
    world.kratos.setup.registration = True
    world.kratos.setup.required_traits = frozenset({"email"})
    if trouble == "no connection":
        await world.kratos.up()
    mails = world.kratos.mails_to(ADDRESS)
    started = await caller.start(ADDRESS, client_ip="192.0.2.1")

    assert "SEND_LIMIT_REACHED" not in {one.reason for one in refusals}
    assert [] == mails
    assert "CODE_REQUIRED" == state_of(started)


async def test_death_gives_nothing_back(world: World) -> None:
    """A mail that a server counted before it died stays counted."""
    first, second = [await world.serve(sends_per_address=2) for _ in range(2)]
    async with world.held("open", start(first.caller, ADDRESS)) as dying:
        rows = world.rows()
        await start(second.caller, ADDRESS)
        refused = await refusal(start(second.caller, ADDRESS))
    await dying

    assert [] == rows
    assert limited(REFILL) == said(refused)


async def test_given_back_by_a_race(world: World) -> None:
    """A mail is given back if another server began with the same request id."""
    first, second = [await world.serve(sends_per_address=3) for _ in range(2)]
    request_id = uuid.uuid4()
    async with world.held(
        "open", first.caller.start(ADDRESS, request_id), after=True
    ) as begun:
        await second.caller.start(ADDRESS, request_id)
    refused = await refusal(begun)
    other = await first.caller.start(ADDRESS)

    assert "SIGNUP_BUSY" == refused.reason
    assert "CODE_REQUIRED" == state_of(other)


async def test_not_given_back(world: World) -> None:
    """A mail that may have been sent stays counted, whatever Kratos says."""
    caller = (await world.serve(sends_per_address=2)).caller
    world.kratos.setup.passwordless = False  # Kratos mails all the same
    refusals = [await refusal(start(caller, ADDRESS)) for _ in range(3)]

    assert ["KRATOS_INCOMPATIBLE"] * 2 == [one.reason for one in refusals[:2]]
    assert limited(REFILL) == said(refusals[2])
    assert 2 == len(world.kratos.mails_to(ADDRESS))


async def test_resend_too_soon(world: World, caller: Caller) -> None:
    """RetryInfo and resend_time name to the microsecond when a resend is allowed."""
    started = await caller.start(ADDRESS)
    token, begun = started.continuation_token, started.signup.create_time
    refused = await refusal(caller.resend(token))
    world.clock.move(60 - MICROSECOND)
    early = await refusal(caller.resend(token))
    world.clock.move(MICROSECOND)
    again = await caller.resend(token)

    assert 60 == started.signup.resend_time.seconds - begun.seconds
    assert ["RESEND_TOO_SOON"] * 2 == [refused.reason, early.reason]
    assert [60, MICROSECOND] == [refused.retry_seconds, early.retry_seconds]
    assert 3 == again.signup.resends_remaining


async def test_resends_count_for_the_client(world: World) -> None:
    """A resend also counts for the client of the sign-up."""
    caller = (await world.serve(sends_per_ip_per_hour=2, resend_interval="1s")).caller
    started = await caller.start(ADDRESS, client_ip="192.0.2.1")
    world.clock.move(1)
    await caller.resend(started.continuation_token)
    refused = await refusal(caller.start(BYSTANDER, client_ip="192.0.2.1"))

    assert limited(30 * MINUTE - 1) == said(refused)


async def test_resend_given_back(world: World) -> None:
    """A resend that never reached Kratos is given back."""
    caller = (await world.serve(sends_per_address=2, resend_interval="1s")).caller
    token, _ = await to_code(world, caller, ADDRESS)
    world.clock.move(1)
    world.kratos.break_after("open")
    refused = await refusal(caller.resend(token))
    await world.kratos.up()
    other = await start(caller, ADDRESS)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert refused.signup is not None
    assert 4 == refused.signup.resends_remaining
    assert "CODE_REQUIRED" == state_of(other)


async def test_resend_that_may_have_gone(world: World) -> None:
    """A resend that Kratos may have mailed counts, up to the sign-up's limit."""
    caller = (await world.serve(resend_interval="1s")).caller
    token, _ = await to_code(world, caller, ADDRESS)
    world.kratos.setup.passwordless = False
    seen = []
    for _ in range(6):
        world.clock.move(1)
        seen.append((await refusal(caller.resend(token))).reason)

    assert ["KRATOS_INCOMPATIBLE"] * 4 + ["SEND_LIMIT_REACHED"] * 2 == seen
    assert 5 == len(world.kratos.mails_to(ADDRESS))


async def test_swept(world: World) -> None:
    """The sweeper deletes buckets that are full again."""
    replica = await world.serve(sweep_interval="1d")
    for n in range(10):
        await replica.caller.start(f"ann+{n}@example.com", client_ip=f"192.0.2.{n}")
    swept = []
    for seconds in (MINUTE, REFILL):
        world.clock.move(seconds)
        swept.append((await replica.service.sweeper.sweep()).forgotten)

    assert [10, 10] == swept


async def test_wrong_codes_are_counted(world: World) -> None:
    """A metric counts wrong codes over all sign-ups, a repeated one once."""
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    for address in (ADDRESS, BYSTANDER):
        token, code = await to_code(world, replica.caller, address)
        for n in (1, 1, 2):
            await refusal(replica.caller.verify(token, another(code, n)))
    await replica.caller.verify(token, code)
    await refusal(replica.caller.verify(token, another(code)))

    assert "signupd_wrong_codes_total 5.0" in (await replica.page())[1]


async def test_other_passwords_after_the_account(world: World) -> None:
    """After 20 other passwords nothing is compared any more, nor the right one.

    The right one costs nothing before. A metric counts, and one line says so.
    """
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    token = await to_password(world, replica.caller, ADDRESS)
    right = partial(replica.caller.set_password, token, PASSWORD)
    done = [await right() for _ in range(22)]
    wrong = [
        await refusal(replica.caller.set_password(token, f"{PASSWORD}{n}"))
        for n in range(20)
    ]
    late = [
        await refusal(replica.caller.set_password(token, password))
        for password in (PASSWORD, f"{PASSWORD}x")
    ]

    assert ["COMPLETED"] * 22 == [*map(state_of, done)]
    assert ["PASSWORD_ALREADY_SET"] * 20 == [one.reason for one in wrong]
    assert ["STEP_MISMATCH"] * 2 == [one.reason for one in late]
    assert ["COMPLETED"] * 2 == [*map(state_of, late)]
    assert 1 == world.log.events("warning").count("password_repeats_exhausted")
    assert "signupd_wrong_passwords_total 20.0" in (await replica.page())[1]


async def test_password_a_day_later(world: World, caller: Caller) -> None:
    """After a day nothing is compared any more, also where no sweeper has run."""
    token = await to_password(world, caller, ADDRESS)
    await caller.set_password(token, PASSWORD)
    world.clock.move(24 * 60 * MINUTE - MICROSECOND)
    early = await caller.set_password(token, PASSWORD)
    world.clock.move(MICROSECOND)
    late = await refusal(caller.set_password(token, PASSWORD))

    assert ("COMPLETED", "STEP_MISMATCH") == (state_of(early), late.reason)


async def test_passwords_refused_here(world: World, caller: Caller) -> None:
    """After 100 refusals of ours a sign-up takes no password; others go on."""
    token = await to_password(world, caller, ADDRESS)
    other = await to_password(world, caller, BYSTANDER)
    reasons = [
        (await refusal(caller.set_password(token, password))).reason
        for password in ["short", "password"] * 50
    ]
    done = await caller.set_password(other, PASSWORD)
    last = await refusal(caller.set_password(token, PASSWORD))

    assert ["PASSWORD_REJECTED"] * 100 == reasons
    assert "PASSWORD_ATTEMPTS_EXHAUSTED" == last.reason
    assert "COMPLETED" == state_of(done)


async def test_checks_of_passwords(world: World, caller: Caller) -> None:
    """A thousand checks are the most; they cost nothing else and ask Kratos nothing."""
    token = await to_password(world, caller, ADDRESS)
    other = await to_password(world, caller, BYSTANDER)
    rows, calls = world.rows(), len(world.kratos.calls)
    checks = [await caller.check(token, "short") for _ in range(1000)]
    last = await refusal(caller.check(token, PASSWORD))
    unchanged = (rows, calls) == (world.rows(), len(world.kratos.calls))
    further = await caller.check(other, PASSWORD)
    done = await caller.set_password(token, PASSWORD)

    assert not any(check.acceptable for check in checks)
    assert "PASSWORD_ATTEMPTS_EXHAUSTED" == last.reason
    assert unchanged
    assert further.acceptable
    assert "COMPLETED" == state_of(done)


async def test_one_password_at_a_time(world: World, caller: Caller) -> None:
    """While a password is at work another is refused, and the same call joins it."""
    token = await to_password(world, caller, ADDRESS)
    async with world.held("open", caller.set_password(token, PASSWORD)) as first:
        busy = [
            await refusal(caller.set_password(token, password))
            for password in ("another-violin-8", "short")
        ]
        joined = asyncio.ensure_future(caller.set_password(token, PASSWORD))

    assert ["SIGNUP_BUSY"] * 2 == [one.reason for one in busy]
    assert ["COMPLETED"] * 2 == [state_of(await first), state_of(await joined)]
    assert 2 == world.kratos.calls.count("password")  # one is the proof of the hook

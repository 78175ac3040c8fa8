"""What is kept of an address over all its sign-ups, on both databases."""

import asyncio
import os
import resource
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import Database, make_database
from signupd.ledger.ledger import Ledger
from signupd.ledger.migrate import migrate
from signupd.ledger.sqlite import alone_on
from signupd.ports import health

from tests.doubles.clock import ClockDouble
from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import World
from tests.refusal import read_refusal

ADDRESS = "ann@example.com"
TAKEN = "bob@example.com"
STRANGER, OWNER, OTHER, LATE = (f"192.0.2.{n}" for n in range(1, 5))
REFILL = 30 * 60.0
# What PostgreSQL's clock may go on by while a test runs.
SLACK_SECONDS = 60.0
YEAR = 365 * 86_400_000_000
# The rows of addresses, by how long their buckets take from the deepest debt.
ADDRESSES = f"longest IN ({8 * REFILL * 1_000_000:.0f}, {2 * REFILL * 1_000_000:.0f})"
NOTES = f"longest = {5 * REFILL * 1_000_000 + 1:.0f}"


def near(seconds: float) -> Any:
    """Expect a time to wait, by the database's clock."""
    return pytest.approx(seconds, abs=SLACK_SECONDS)


async def asked(caller: Caller, address: str, client_ip: str) -> float | None:
    """Start a sign-up; give the seconds to wait if it is refused."""
    try:
        await caller.start(address, client_ip=client_ip)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).retry_seconds
    return None


@pytest.mark.parametrize("address", [ADDRESS, TAKEN])
@pytest.mark.parametrize("stranger", [STRANGER, ""])
async def test_last_mail_is_for_newcomers(
    world: World, database: Database, on: dict[str, Any], address: str, stranger: str
) -> None:
    """Who has asked lately, even in vain, may take all mails but the last."""
    world.kratos.add_account(TAKEN, password="old")
    caller = (await world.serve(**on)).caller
    taken = [await asked(caller, address, stranger) for _ in range(6)]
    newcomers = [await asked(caller, address, ip) for ip in (OWNER, OTHER, OTHER)]
    back = f"full_time = full_time - {REFILL * 1_000_000:.0f}"
    await database.run(f"UPDATE send_buckets SET {back} WHERE {ADDRESSES}")  # noqa: S608 - a test's own
    again = [await asked(caller, address, ip) for ip in (stranger, OTHER, LATE)]

    assert [None] * 4 + [near(REFILL)] * 2 == taken
    assert [None, near(REFILL), near(2 * REFILL)] == newcomers
    assert [near(REFILL), near(REFILL), None] == again
    assert 6 == len(world.kratos.mails_to(address))


@pytest.mark.parametrize("spread", [True, False])
async def test_resends_leave_the_last_mail(
    world: World, database: Database, on: dict[str, Any], *, spread: bool
) -> None:
    """A stranger's resends count for him, and not against newcomers.

    That holds for resends hours later too: who asks for them is no newcomer.
    """
    caller = (await world.serve(**on)).caller
    begun = [await caller.start(ADDRESS, client_ip=STRANGER) for _ in range(4)]
    for started in begun * 4:
        await database.run("UPDATE signups SET send_time = 0")
        if spread:
            await database.run(f"UPDATE send_buckets SET full_time = 0 WHERE {NOTES}")  # noqa: S608 - a test's own
        await caller.resend(started.continuation_token)

    assert None is not await asked(caller, ADDRESS, STRANGER)
    assert None is await asked(caller, ADDRESS, OWNER)
    assert near(REFILL) == await asked(caller, ADDRESS, OTHER)
    assert near(5 * REFILL) == await asked(caller, ADDRESS, STRANGER)


async def test_newcomer_without_a_mail(
    world: World, database: Database, on: dict[str, Any]
) -> None:
    """A client whose call sent no mail has not asked: the kept mail is still hers.

    So is that of another address.
    """
    caller = (await world.serve(**on)).caller
    for address in [ADDRESS, TAKEN] * 4:
        await asked(caller, address, STRANGER)
    world.kratos.break_after("open")
    refused = await refusal(caller.start(ADDRESS, client_ip=OWNER))
    await world.kratos.up()

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert None is await asked(caller, ADDRESS, OWNER)
    assert None is await asked(caller, TAKEN, OWNER)


async def test_mail_beside_a_call_without_one(
    world: World, database: Database, on: dict[str, Any]
) -> None:
    """A client who got a mail has asked, also if a call before fails afterwards."""
    caller = (await world.serve(**on)).caller
    async with world.held(
        "send", caller.start(ADDRESS, client_ip=STRANGER, traits={"height": 1})
    ) as failing:
        begun = [await caller.start(ADDRESS, client_ip=STRANGER) for _ in range(3)]
    refused = await refusal(failing)
    await database.run("UPDATE signups SET send_time = 0")
    await caller.resend(begun[0].continuation_token)

    assert "TRAITS_INVALID" == refused.reason
    assert near(REFILL) == await asked(caller, ADDRESS, STRANGER)
    assert None is await asked(caller, ADDRESS, OWNER)


async def test_given_back_at_once(
    world: World, database: Database, on: dict[str, Any]
) -> None:
    """Mails of one address that are given back at once do not block each other."""
    caller = (await world.serve(**on, sends_per_address=2)).caller
    await world.kratos.down()
    reasons = set()
    for _ in range(20):
        calls = [caller.start(ADDRESS, client_ip=f"10.0.{n}.1") for n in range(10)]
        reasons |= {(await refusal(call)).reason for call in calls}

    assert {"KRATOS_UNAVAILABLE", "SEND_LIMIT_REACHED"} >= reasons


async def test_refused_client_leaves_no_rows(
    world: World, database: Database, on: dict[str, Any]
) -> None:
    """A client without mails left cannot fill the ledger with rows of addresses."""
    caller = (await world.serve(**on, sends_per_ip_per_hour=1)).caller

    async def rows(first: int, last: int) -> int:
        for n in range(first, last):
            await asked(caller, f"ann+{n}@example.com", STRANGER)
        return len((await database.run("SELECT digest FROM send_buckets")).rows)

    assert await rows(0, 1) == await rows(1, 5)


async def test_asked_long_ago(
    world: World, database: Database, on: dict[str, Any]
) -> None:
    """After the time in which the bucket fills a client is new again."""
    caller = (await world.serve(**on)).caller
    for _ in range(4):
        await asked(caller, ADDRESS, STRANGER)
    await database.run(f"UPDATE send_buckets SET full_time = 0 WHERE {NOTES}")  # noqa: S608 - a test's own

    assert None is await asked(caller, ADDRESS, STRANGER)


async def test_blur(world: World, on: dict[str, Any]) -> None:
    """RetryInfo says up to a third more than the time until a mail comes back."""
    caller = (await world.serve(**on, sends_per_address=1)).caller
    waits = [await asked(caller, ADDRESS, "")]
    for world.chance in (0.0, 0.5, 1.0):
        waits.append(await asked(caller, ADDRESS, ""))

    assert [None, *(near(REFILL * part) for part in (1, 7 / 6, 4 / 3))] == waits


@pytest.mark.parametrize("address", [ADDRESS, TAKEN])
async def test_wrong_codes(
    world: World, database: Database, on: dict[str, Any], address: str
) -> None:
    """Too many wrong codes for an address leave a sign-up one attempt, until a proof.

    What is tried beyond them counts too.
    """
    world.kratos.add_account(TAKEN, password="old")
    on |= {"wrong_codes_per_address": 7, "sends_per_address": 100}
    caller = (await world.serve(**on)).caller

    async def guess(times: int) -> tuple[int, str, str]:
        answer = await caller.start(address)
        token, code = answer.continuation_token, world.kratos.code_for(address)
        for n in range(times):
            await refusal(caller.verify(token, another(code, n + 1)))
        return answer.signup.code_attempts_remaining, token, code

    left = [(await guess(times))[0] for times in (5, 2, 1, 1)]
    _, token, code = await guess(1)
    over = await refusal(caller.verify(token, code))
    other = await caller.start("cid@example.com")
    day = f"full_time = full_time - {6 * 86_400_000_000}"
    await database.run(f"UPDATE send_buckets SET {day}")  # noqa: S608 - a test's own
    left += [(await guess(0))[0]]
    remaining, token, code = await guess(0)
    proved = await caller.verify(token, code)

    assert [5, 5, 1, 1, 1] == left
    assert "CODE_ATTEMPTS_EXHAUSTED" == over.reason
    assert 5 == other.signup.code_attempts_remaining
    assert 1 == remaining
    assert {ADDRESS: "PASSWORD_REQUIRED", TAKEN: "ALREADY_REGISTERED"}[
        address
    ] == state_of(proved)
    assert 5 == (await guess(0))[0]


@pytest.mark.parametrize("when", ["start", "sweep"])
async def test_clock_that_ran_ahead(
    world: World, database: Database, on: dict[str, Any], when: str
) -> None:
    """Times a year off lock no address and no sign-up for longer than a step.

    At start all are clamped before the first call.
    """
    first = await world.serve(**on, sweep_interval="1d")
    token = (await first.caller.start(ADDRESS)).continuation_token
    leased = (await first.caller.start(TAKEN)).continuation_token
    begun = (await first.caller.start("cid@example.com")).continuation_token
    proof = first.caller.verify(begun, world.kratos.code_for("cid@example.com"))
    proved = (await proof).continuation_token
    await first.service.sweeper.sweep()
    for table, columns in {
        "send_buckets": ("full_time",),
        "signups": ("expire_time", "send_time"),
    }.items():
        ahead = ", ".join(f"{name} = {name} + {YEAR}" for name in columns)
        await database.run(f"UPDATE {table} SET {ahead}")  # noqa: S608 - a test's own
    held = f"lease = 'sending', lease_until = {2**60}, approved_until = {2**60}"
    held += ", state = 'starting'"  # which no other clamp brings back
    one = f"signup_id = '{(await first.caller.get(leased)).signup.signup_id}'"
    if not database.shared:
        one = one.replace("-", "")
    await database.run(f"UPDATE signups SET {held} WHERE {one}")  # noqa: S608 - a test's own
    replica = await world.serve(**on, sweep_batch=1) if when == "start" else first
    if when == "sweep":
        await first.service.sweeper.sweep()
    read = "lease_until, approved_until, send_time, expire_time, {now}"
    leases = await database.run(f"SELECT {read} FROM signups WHERE {one}")  # noqa: S608 - a test's own
    (lease,) = leases.rows
    world.clock.move(1)
    shown = (await replica.caller.resend(token)).signup
    late = (await replica.caller.get(proved)).signup.expire_time.seconds
    waits = await asked(replica.caller, ADDRESS, "")

    assert shown.expire_time.seconds - lease[-1] / 1e6 == near(15 * 60)
    assert late - lease[-1] / 1e6 == near(30 * 60)
    assert waits == near(5 * REFILL)
    assert max(lease[:2]) - lease[-1] <= 120_000_000
    assert lease[2] <= lease[-1]
    assert (lease[3] - lease[-1]) / 1e6 == near(30 * 60)
    told = [one for one in world.log.events() if one in ("serving", "clock_ran_ahead")]
    assert "clock_ran_ahead" in told
    assert told[-1] == {"start": "serving", "sweep": "clock_ran_ahead"}[when]


def test_no_lock(tmp_path: Path) -> None:
    """A folder in which no file can be made is told with the setting."""
    (tmp_path / "ledger.db.lock").mkdir()

    with (
        pytest.raises(LedgerUnavailable, match=r"LEDGER_URL, file .*ledger\.db\.lock"),
        alone_on(f"sqlite:///{tmp_path}/ledger.db"),
    ):
        pass


@pytest.mark.parametrize("mask", [0o000, 0o277])
async def test_files_are_private(tmp_path: Path, clock: ClockDouble, mask: int) -> None:
    """SQLite's files are for nobody else, whatever the umask."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    before = os.umask(mask)
    try:
        with alone_on(url):
            await migrate(url)
            database = make_database(url, clock)
            await Ledger(database).probe()
    finally:
        os.umask(before)
    names = [f"ledger.db{end}" for end in ("", "-wal", "-shm", ".lock")]
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names]
    await database.close()
    (tmp_path / "ledger.db").chmod(0o640)
    await migrate(url)

    assert [0o600] * 4 == modes
    assert 0o640 == stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode)


async def test_ready_on_a_full_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that cannot be written is not ready; reading it does not show that."""
    monkeypatch.setattr(health, "INTERVAL_SECONDS", 0.1)
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    try:
        for room, expected in (
            (limits[0], (200, "ready\n")),
            (1, (503, "no ledger\n")),
            (limits[0], (200, "ready\n")),
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            async with asyncio.timeout(60):
                while await replica.page("readyz") != expected:
                    pass  # until health has looked again
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

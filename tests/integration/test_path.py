"""The whole way of a sign-up, over gRPC, as callers see it."""

import asyncio
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from signupd.kratos.courier import MAX_LOOKS, Courier

from tests.doubles.log import LogDouble
from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"


async def test_signup_shown(world: World, caller: Caller) -> None:
    """A sign-up shows the figures of its step, and none of another step."""
    started = (await caller.start(ADDRESS)).signup
    token, code = await to_code(world, caller, ADDRESS)
    world.clock.move(10)
    verified = await caller.verify(token, code)
    done = (await caller.set_password(verified.continuation_token, PASSWORD)).signup
    proved = verified.signup
    counts = [
        (
            one.code_attempts_remaining,
            one.resends_remaining,
            one.password_attempts_remaining,
        )
        for one in (started, proved, done)
    ]
    begun = started.create_time

    assert [(5, 4, 0), (0, 0, 20), (0, 0, 0)] == counts
    assert {"a***@example.com"} == {o.masked_email for o in (started, proved, done)}
    assert world.clock() - 10_000_000 == begun.ToMicroseconds()
    assert (900, 60) == (
        started.expire_time.seconds - begun.seconds,
        started.resend_time.seconds - begun.seconds,
    )
    assert 1810 == proved.expire_time.seconds - begun.seconds
    assert (8, 72) == (
        proved.password_policy.min_length,
        proved.password_policy.max_bytes,
    )
    assert [True, False, False] == [
        one.HasField("resend_time") for one in (started, proved, done)
    ]
    assert [False, True, False] == [
        one.HasField("password_policy") for one in (started, proved, done)
    ]
    assert ("", 0) == (started.identity_id, started.code_delivery)
    assert not done.HasField("expire_time")
    assert not done.existing_account_verified


async def test_delivery_is_told_by_get_alone(world: World, caller: Caller) -> None:
    """GetSignup says how far the mail has come; of a courier that is away nothing."""
    token, _ = await to_code(world, caller, ADDRESS)
    (mail,) = world.kratos.mails_to(ADDRESS)
    seen = []
    for mail.status in ("queued", "processing", "sent", "abandoned"):
        seen.append((await caller.get(token)).signup.code_delivery)
        world.clock.move(1)
    world.kratos.fail("courier")
    away = await caller.get(token)

    assert [1, 1, 2, 3] == seen
    assert (0, "CODE_REQUIRED") == (away.signup.code_delivery, state_of(away))
    assert ["courier_not_asked"] == world.log.events("warning")


@pytest.mark.parametrize("others", ["queued", ""])
@pytest.mark.parametrize(
    ("code_mail", "told"),
    [("queued", 1), ("processing", 1), ("sent", 2), ("abandoned", 3)],
)
async def test_delivery_behind_other_mails(
    world: World, caller: Caller, code_mail: str, told: int, others: str
) -> None:
    """Mails that only an account gets do not hide what became of the code mail."""
    world.kratos.mail(ADDRESS, "recovery_code_valid")  # an old one, which says nothing
    world.kratos.mails_to(ADDRESS)[0].created_at -= timedelta(hours=1)
    token, _ = await to_code(world, caller, ADDRESS)
    for _ in range(11):
        world.kratos.mail(ADDRESS, "recovery_code_valid")
    _, mail, *later = world.kratos.mails_to(ADDRESS)
    mail.status = code_mail
    for one in later:
        one.status = others or code_mail

    assert told == (await caller.get(token)).signup.code_delivery


async def test_courier_is_asked_once_a_second(world: World, caller: Caller) -> None:
    """GetSignup asks Kratos once a second for a sign-up, and again after a resend."""
    token, _ = await to_code(world, caller, ADDRESS)
    (mail,) = world.kratos.mails_to(ADDRESS)
    world.clock.micros += -world.clock.micros % 1_000_000
    mail.status = "queued"
    await asyncio.gather(*(caller.get(token) for _ in range(20)))
    mail.status = "sent"
    world.clock.move(0.9)
    kept = await caller.get(token)
    world.clock.move(0.1)
    later = await caller.get(token)
    world.clock.move(60)
    await caller.get(token)
    await caller.resend(token)
    await caller.get(token)

    assert [1, 2] == [one.signup.code_delivery for one in (kept, later)]
    assert 4 == world.kratos.calls.count("courier")


async def turns() -> None:
    """Let all that can go on without a timer go on."""
    for _ in range(9):
        await asyncio.sleep(0)


async def test_courier_beside_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause runs while Kratos answers, and the newest 1000 looks are kept."""
    asked: list[str] = []
    pauses: list[float] = []
    answered = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    clockless = SimpleNamespace(**vars(asyncio) | {"sleep": pause})
    monkeypatch.setattr("signupd.kratos.courier.asyncio", clockless)

    async def code_delivery(address: str, *_: object) -> None:
        asked.append(address)
        await answered.wait()

    admin: Any = SimpleNamespace(code_delivery=code_delivery)
    courier = Courier(admin, lambda: 0, LogDouble().logger)
    looks = [(uuid.UUID(int=n), ADDRESS, 0) for n in range(MAX_LOOKS + 1)]
    calls = [asyncio.ensure_future(courier.delivery(*look)) for look in looks]
    await turns()
    before = len(asked), [*pauses]
    answered.set()
    await turns()
    done = sum(call.done() for call in calls)
    for look in (looks[-1], looks[0]):
        await courier.delivery(*look)

    assert 1000 == MAX_LOOKS
    assert (1001, [0.025] * 1001) == before
    assert (1001, 1002) == (done, len(asked))


async def test_get_keeps_to_its_step(world: World, caller: Caller) -> None:
    """GetSignup and a repeated StartSignup never give a token of a later step.

    So their tokens are good for no password, also after the proof.
    """
    request_id = uuid.uuid4()
    started = await caller.start(ADDRESS, request_id)
    code = world.kratos.code_for(ADDRESS)
    await caller.verify(started.continuation_token, code)
    got = await caller.get(started.continuation_token)
    again = await caller.start(ADDRESS, request_id)

    for answer in (got, again):
        assert "PASSWORD_REQUIRED" == state_of(answer)
        verified = await caller.verify(answer.continuation_token, code)
        assert "PASSWORD_REQUIRED" == state_of(verified)
        early = await refusal(caller.set_password(answer.continuation_token, PASSWORD))
        assert "STEP_MISMATCH" == early.reason
    assert [] == world.kratos.accounts()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("proved", [True, False])
async def test_taken_address(
    world: World, caller: Caller, *, proved: bool, own: bool
) -> None:
    """A taken address is told by the right code alone, and whether it was proved.

    The proof of another address, whose owner has this one as user name, is none.
    """
    there = world.kratos.add_account(
        ADDRESS, password="old", verified=proved, sessions=1
    )
    if not own:
        there.traits = {"email": "mallory@example.com", "username": ADDRESS}
    token, code = await to_code(world, caller, ADDRESS)
    before = await caller.get(token)
    answer = await caller.verify(token, code)
    there.verified = not proved
    repeats: list[Any] = [await caller.verify(token, code), await caller.get(token)]

    assert "CODE_REQUIRED" == state_of(before)
    assert not before.signup.existing_account_verified
    assert (proved and own) is answer.signup.existing_account_verified
    assert [answer.signup] * 2 == [repeat.signup for repeat in repeats]
    assert "ALREADY_REGISTERED" == state_of(answer)
    assert ("", "") == (answer.continuation_token, answer.signup.identity_id)
    assert [there] == world.kratos.accounts()
    assert ("old", 1) == (there.password, there.sessions)


@pytest.mark.parametrize("proved", [True, False])
async def test_address_taken_meanwhile(
    world: World, caller: Caller, *, proved: bool
) -> None:
    """An address taken between code and password is told by SetPassword."""
    token = await to_password(world, caller, ADDRESS)
    there = world.kratos.add_account(
        ADDRESS, password="old", verified=proved, sessions=1
    )

    answer = await caller.set_password(token, PASSWORD)
    again = await caller.set_password(token, "entirely-different-9")

    assert ["ALREADY_REGISTERED"] * 2 == [state_of(answer), state_of(again)]
    assert proved is answer.signup.existing_account_verified
    assert answer.signup == again.signup
    assert [there] == world.kratos.accounts()
    assert ("old", 1) == (there.password, there.sessions)


async def test_address_taken_otherwise(world: World, caller: Caller) -> None:
    """An address that serves another account, but not as its identifier, is taken."""
    world.kratos.add_identity({"username": "root", "contact": ADDRESS})
    token = await to_password(world, caller, ADDRESS)
    world.kratos.lose("password")
    lost = await refusal(caller.set_password(token, PASSWORD))
    world.clock.move(60)
    answer = await caller.set_password(token, PASSWORD)
    again = await caller.set_password(token, PASSWORD)

    assert "KRATOS_UNAVAILABLE" == lost.reason
    assert "ALREADY_REGISTERED" == state_of(answer) == state_of(again)
    assert not answer.signup.existing_account_verified
    assert answer.signup == again.signup
    assert "external_id" in world.log.entry("taken_otherwise")["why"]
    assert "none" == world.row()["lease"]


async def test_verify_again(world: World, caller: Caller) -> None:
    """The right code again gives the same answer, after the account too."""
    token, code = await to_code(world, caller, ADDRESS)
    first = await caller.verify(token, code)
    second = await caller.verify(token, code)
    done = await caller.set_password(second.continuation_token, PASSWORD)
    third = await caller.verify(token, code)

    assert first.signup == second.signup
    assert done.signup == third.signup
    assert "" == third.continuation_token
    assert 1 == world.kratos.calls.count("code")


async def test_start_again(world: World, caller: Caller) -> None:
    """The same StartSignup again sends no mail, whatever the letters' case."""
    request_id = uuid.uuid4()
    first = await caller.start(ADDRESS, request_id, traits={"name": "Ann"})
    second = await caller.start("ANN@example.com", request_id, traits={"name": "Ann"})

    assert first.signup == second.signup
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_final_rows_forget(world: World, caller: Caller) -> None:
    """A final row has lost its sealed blob and its flow, and keeps the masked mail."""
    token = await to_password(world, caller, ADDRESS)
    await caller.set_password(token, PASSWORD)
    row = world.row()

    assert ("completed", "none") == (row["state"], row["lease"])
    assert (None, None) == (row["sealed"], row["flow_digest"])
    assert world.clock() == row["state_time"]
    assert row["sealed_mask"]

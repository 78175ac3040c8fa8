"""The canary: how it goes, where it dies, and that nothing of it is ever left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from signupd.address import Address
from signupd.check.canary import CODE_TRIES, MAIL_SECONDS, Cage, canary
from signupd.check.findings import Finding, Severity
from signupd.kratos.identity import AccountState, PasswordStatus
from signupd.settings import Settings

from tests.doubles.signups import CODE, SignupsDouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signupd.kratos.client import Kratos

ADDRESS = Address("canary@example.com")
NOTHING_STORED = "the canary's sign-up is over, nothing was stored"
DELETED = "the canary's sign-up is over, its account is deleted"


async def nobody() -> str:
    """Answer for the person who is not there."""
    return ""


async def flown(
    double: SignupsDouble, ask: Callable[[], Awaitable[str]] = nobody
) -> list[Finding]:
    """Let a canary fly."""
    cage = Cage(
        double,
        cast("Kratos", double),
        ask,
        Settings(),
        double.sleep,
        double.clock,
    )
    return await canary(cage, ADDRESS, {"name": "Canary"})


def faults(findings: list[Finding]) -> list[str]:
    """Name the checks that found an error."""
    return [f.check for f in findings if f.severity is Severity.ERROR]


async def test_whole_way() -> None:
    """All goes well, each step is said, and nothing is left."""
    double = SignupsDouble()
    findings = await flown(double)

    assert [
        ("canary_start", "ok"),
        ("canary_mail", "ok"),
        ("canary_code", "warning"),  # the courier shows its mails: --dev
        ("canary_code_hook", "ok"),
        ("canary_password_hook", "ok"),
        ("canary_account", "ok"),
        ("canary_removed", "ok"),
    ] == [(one.check, one.severity) for one in findings]
    assert DELETED == findings[-1].what
    assert ("COMPLETED", {}) == (double.state, double.accounts)


async def test_no_address_shown() -> None:
    """No finding shows the whole address, nor the code."""
    text = repr(await flown(SignupsDouble())) + repr(await flown(taken()))

    assert "canary@example.com" not in text
    assert CODE not in text


def taken() -> SignupsDouble:
    """Make a world in which somebody is registered with the canary's address."""
    double = SignupsDouble()
    double.store(ADDRESS.text)
    return double


async def test_taken() -> None:
    """A taken address is refused before anything is done."""
    double = taken()
    before = dict(double.accounts)
    findings = await flown(double)

    assert ["canary_start"] == faults(findings)
    assert ([], before) == (double.calls, double.accounts)


async def test_mail_takes_a_while() -> None:
    """The mail is waited for."""
    double = SignupsDouble(deliveries=["", "QUEUED", "QUEUED", "SENT"])
    findings = await flown(double)

    assert [] == faults(findings)
    assert "600 ms" in findings[1].what


@pytest.mark.parametrize("delivery", ["QUEUED", "FAILED", ""])
async def test_mail_does_not_leave(delivery: str) -> None:
    """A mail that does not leave ends it, and the sign-up with it."""
    double = SignupsDouble(deliveries=[delivery])
    findings = await flown(double)

    assert ["canary_mail"] == faults(findings)
    assert NOTHING_STORED == findings[-1].what
    assert "CANCELLED" == double.state
    assert double.slept < MAIL_SECONDS + 1


async def test_code_is_asked_for() -> None:
    """Where the courier hides its mails a person is asked, again if need be."""
    answers = ["000000", CODE]

    async def ask() -> str:
        return answers.pop(0)

    double = SignupsDouble(shown=False)
    findings = await flown(double, ask)

    assert [] == faults(findings)
    assert {"ok"} == {one.severity for one in findings}
    assert [] == answers


async def test_too_many_wrong_codes() -> None:
    """A person who never gets it right is not asked for ever."""
    asked = []

    async def ask() -> str:
        asked.append(1)
        return "000000"

    double = SignupsDouble(shown=False)

    assert ["canary_code_hook"] == faults(await flown(double, ask))
    assert CODE_TRIES == len(asked)
    assert "CANCELLED" == double.state


async def test_nobody_to_ask() -> None:
    """With nobody to read the mail it ends, and says how it could go on."""
    double = SignupsDouble(shown=False)
    findings = await flown(double)
    (fault,) = [one for one in findings if one.severity is Severity.ERROR]

    assert "canary_code" == fault.check
    assert "--code-from-stdin" in fault.cure
    assert "CANCELLED" == double.state


@pytest.mark.parametrize(
    ("call", "check", "cure"),
    [
        ("start", "canary_start", "log"),
        ("get", "canary_mail", "log"),
        ("verify", "canary_code_hook", "/kratos/code"),
        ("set_password", "canary_password_hook", "/kratos/password"),
    ],
)
async def test_incompatible(call: str, check: str, cure: str) -> None:
    """A call that says KRATOS_INCOMPATIBLE ends it, with the cure of that step."""
    double = SignupsDouble(refusing={call: "KRATOS_INCOMPATIBLE"})
    findings = await flown(double)
    (fault,) = [one for one in findings if one.severity is Severity.ERROR]

    assert (check, {}) == (fault.check, double.accounts)
    assert "KRATOS_INCOMPATIBLE" in fault.what
    assert cure in fault.cure
    assert ("" if call == "start" else "CANCELLED") == double.state


async def test_no_server() -> None:
    """Where nobody answers, that is said, and there is nothing to remove."""
    findings = await flown(SignupsDouble(refusing={"start": ""}))

    assert ["canary_start"] == [one.check for one in findings]
    assert "no signupd answered" in findings[0].what


async def test_ghost() -> None:
    """An account stored at the code is the fault; without a mark it is left alone."""
    double = SignupsDouble(ghost=True)
    findings = await flown(double)

    assert ["canary_code_hook"] == faults(findings)
    assert [ADDRESS.text] == [*double.accounts]
    assert "delete" not in double.calls


async def test_unmarked() -> None:
    """An account without the sign-up's own mark is never deleted."""
    double = SignupsDouble(marked=False)
    findings = await flown(double)

    assert ["canary_account"] == faults(findings)
    assert [ADDRESS.text] == [*double.accounts]
    assert "delete" not in double.calls


@pytest.mark.parametrize(
    ("changed", "lack"),
    [
        ({"account_state": AccountState.DISABLED}, "active"),
        ({"password": PasswordStatus.UNSET}, "with a password"),
        ({"verified": False}, "verified"),
    ],
)
async def test_incomplete(changed: dict[str, Any], lack: str) -> None:
    """An account that lacks something is a fault, and is deleted all the same."""
    double = SignupsDouble(**changed)
    findings = await flown(double)
    (fault,) = [one for one in findings if one.severity is Severity.ERROR]

    assert f"the account is not {lack}" == fault.what
    assert DELETED == findings[-1].what
    assert {} == double.accounts


async def test_still_at_work() -> None:
    """A call that was given up but goes on is waited for before the sign-up ends."""
    double = SignupsDouble(refusing={"set_password": "SIGNUP_BUSY"}, busy=3)
    findings = await flown(double)

    assert ["canary_password_hook"] == faults(findings)
    assert (4, "CANCELLED") == (double.calls.count("cancel"), double.state)


async def test_completed_after_all() -> None:
    """One that completes meanwhile cannot be cancelled; its account is deleted."""
    double = SignupsDouble(late=True, refusing={"cancel": "STEP_MISMATCH"})
    findings = await flown(double)

    assert ["canary_password_hook"] == faults(findings)
    assert DELETED == findings[-1].what
    assert {} == double.accounts


async def test_server_gone() -> None:
    """A server that dies after Kratos made the account does not keep it from going."""
    double = SignupsDouble(late=True, refusing={"cancel": ""})
    findings = await flown(double)

    assert ["canary_password_hook", "canary_removed"] == faults(findings)
    assert {} == double.accounts


@pytest.mark.parametrize("trouble", ["busy", "refused", "down"])
async def test_left_behind(trouble: str) -> None:
    """What cannot be removed is an error that says so."""
    double = SignupsDouble(refusing={"verify": "KRATOS_UNAVAILABLE"})
    double.busy = 10_000 if trouble == "busy" else 0
    if trouble == "refused":
        double.refusing["cancel"] = "LEDGER_UNAVAILABLE"

    async def ask() -> str:
        double.down = trouble == "down"
        return CODE

    double.shown = False
    findings = await flown(double, ask)

    assert ["canary_code_hook", "canary_removed"] == faults(findings)


async def test_kratos_goes_away() -> None:
    """A Kratos that cannot be asked ends it."""
    findings = await flown(SignupsDouble(down=True))

    assert ["canary_look"] == faults(findings)


async def test_interrupted() -> None:
    """Told to stop while it waits for the code, it cancels the sign-up first."""
    double, asked = SignupsDouble(shown=False), asyncio.Event()

    async def ask() -> str:
        asked.set()
        await asyncio.Event().wait()
        return CODE

    flight = asyncio.create_task(flown(double, ask))
    await asked.wait()
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight

    assert "CANCELLED" == double.state

"""``signupd orphans``: what it prints, asks, removes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from signupd.cli import app
from signupd.cli.orphan_report import MAX_ROWS
from typer.testing import CliRunner

from tests.doubles.certificate import certificate_file
from tests.doubles.kratos_crowd import Crowd
from tests.doubles.people import APART, person, session
from tests.integration.terminal import Terminal

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator
    from pathlib import Path

    from typer.testing import Result

DAY = timedelta(days=1)
BORN = datetime.now(UTC) - 90 * DAY - timedelta(hours=1)
LOOKALIKES = "People who sign in by code alone, and mean to, look just the same."


class Shell:
    """Runs the command against a crowd."""

    def __init__(self, crowd: Crowd, directory: Path) -> None:
        self.crowd = crowd
        self._config = directory / "signupd.toml"
        ca = certificate_file(directory)
        self._config.write_text(
            f'kratos_admin_url = "{crowd.url}"\nkratos_ca = "{ca}"\n'
        )

    def add_orphan(self, address: str = "ann@example.com") -> uuid.UUID:
        """Add an orphan of ninety days."""
        birth = session(BORN + APART)
        return self.crowd.add(person(address, born=BORN), birth)

    async def run(self, *options: str) -> Result:
        """Run it without a terminal."""
        command = ["orphans", "--config", str(self._config), *options]
        return await asyncio.to_thread(CliRunner().invoke, app, command)

    def terminal(self, *options: str) -> Terminal:
        """Run it on a terminal."""
        program = [sys.executable, "-m", "signupd", "orphans"]
        return Terminal([*program, "--config", str(self._config), *options])


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell, and an empty crowd."""
    async with Crowd() as crowd:
        yield Shell(crowd, tmp_path)


def lines(result: Result) -> list[dict[str, Any]]:
    """Read the lines of JSON."""
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_table(shell: Shell) -> None:
    """People get a table with the age, the last sign of life, and a masked address."""
    orphan = shell.add_orphan()
    shell.crowd.add(person(password="hash"))
    result = await shell.run()
    header, row = result.stdout.splitlines()

    assert 0 == result.exit_code
    assert [
        "identity",
        "age",
        "last",
        "sign",
        "of",
        "life",
        "address",
    ] == header.split()
    assert f"{orphan} 90d 90d ago, created a***@example.com" == " ".join(row.split())
    assert "1 of 2 identities" in result.stderr
    assert LOOKALIKES in result.stderr
    assert "--apply --expect 1" in result.stderr
    assert {orphan} < shell.crowd.ids()


async def test_json(shell: Shell) -> None:
    """Scripts get a line of JSON for each, and nothing else on standard output."""
    orphan = shell.add_orphan()
    result = await shell.run("--json")
    (line,) = lines(result)
    born = BORN.isoformat().replace("+00:00", "Z")

    assert {
        "identity_id": str(orphan),
        "masked_email": "a***@example.com",
        "create_time": born,
        "last_sign_of_life": "created",
        "last_sign_of_life_time": born,
    } == line
    assert (0, 1) == (result.exit_code, result.stderr.count(LOOKALIKES))


async def test_left_out(shell: Shell) -> None:
    """Who might have been an orphan and is none is counted, with the reason."""
    shell.crowd.add(person(born=datetime.now(UTC) - DAY))
    shell.crowd.add(person(born=BORN), session(BORN, lasting=400 * DAY))
    shell.crowd.add(person(born=BORN, enabled=False))
    shell.crowd.add(person(born=BORN))
    by_default, untraced = await shell.run(), await shell.run("--untraced")

    assert "" == by_default.stdout
    assert LOOKALIKES not in by_default.stderr
    assert 4 == by_default.stderr.count("Left out: 1 ")
    for reason in ("sign of life", "session that works", "disabled", "--untraced"):
        assert reason in by_default.stderr
    assert "1 of 4 identities" in untraced.stderr
    assert "--untraced" not in untraced.stderr


async def test_older_than(shell: Shell) -> None:
    """The duration is one of the settings' notation, and decides who is too young."""
    shell.add_orphan()

    assert 2 == len((await shell.run("--older-than", "89d")).stdout.splitlines())
    assert "" == (await shell.run("--older-than", "91d")).stdout
    assert 2 == (await shell.run("--older-than", "soon")).exit_code
    assert 2 == (await shell.run("--older-than", "0s")).exit_code


async def test_long_table(shell: Shell) -> None:
    """A table has an end; JSON has them all."""
    for _ in range(MAX_ROWS + 1):
        shell.add_orphan()
    table, as_json = await shell.run(), await shell.run("--json")

    assert MAX_ROWS + 1 == len(table.stdout.splitlines())
    assert f"the first {MAX_ROWS}" in table.stderr
    assert MAX_ROWS + 1 == len(lines(as_json))


async def test_removal(shell: Shell) -> None:
    """With the right number given the orphans go, and nobody else."""
    orphans = {shell.add_orphan() for _ in range(2)}
    other = shell.crowd.add(person(password="hash"))
    result = await shell.run("--apply", "--expect", "2", "--json")

    assert 0 == result.exit_code
    assert {other} == shell.crowd.ids()
    assert {(str(orphan), "removed") for orphan in orphans} == {
        (line["identity_id"], line["outcome"])
        for line in lines(result)
        if "outcome" in line
    }
    assert "2 removed." in result.stderr


@pytest.mark.parametrize("expect", ["0", "1", "3"])
async def test_another_number(shell: Shell, expect: str) -> None:
    """With any other number nothing is removed, and that is trouble."""
    orphans = {shell.add_orphan() for _ in range(2)}
    result = await shell.run("--apply", "--expect", expect)

    assert 1 == result.exit_code
    assert f"2 found, {expect} expected: nothing was removed" in result.stderr
    assert orphans == shell.crowd.ids()
    assert "DELETE identity" not in shell.crowd.calls


@pytest.mark.parametrize(
    "options", [["--apply"], ["--expect", "1"], ["--apply", "--expect", "-1"]]
)
async def test_unconfirmed(shell: Shell, options: list[str]) -> None:
    """Without a terminal to ask at the number must be given, and only then."""
    orphan = shell.add_orphan()
    result = await shell.run(*options)

    assert (2, {orphan}) == (result.exit_code, shell.crowd.ids())
    assert [] == shell.crowd.calls


async def test_nothing_to_remove(shell: Shell) -> None:
    """Where there are none, to expect none is right."""
    result = await shell.run("--apply", "--expect", "0")

    assert (0, "") == (result.exit_code, result.stdout)


async def test_password_after_the_count(shell: Shell) -> None:
    """Who sets a password between the listing and the removal keeps the account."""
    bodies = [person(born=BORN), person(born=BORN)]
    _, second = sorted(shell.crowd.add(one, session(BORN)) for one in bodies)

    async def finish(call: str) -> None:
        if call == "DELETE identity":
            shell.crowd.add(person(password="hash") | {"id": str(second)})

    shell.crowd.meddle = finish
    result = await shell.run("--apply", "--expect", "2")

    assert 0 == result.exit_code
    assert {second} == shell.crowd.ids()
    assert f"{second}: let be" in result.stderr
    assert "1 removed." in result.stderr


async def test_kratos_goes_away(shell: Shell) -> None:
    """What was done until then is said, and what may have been done."""
    for _ in range(3):
        shell.add_orphan()

    async def go(call: str) -> None:
        if shell.crowd.calls.count("DELETE identity") > 1:
            shell.crowd.broken = frozenset({"DELETE identity"})

    shell.crowd.meddle = go
    result = await shell.run("--apply", "--expect", "3")

    assert 1 == result.exit_code
    assert 2 == len(shell.crowd.ids())
    assert "1 removed." in result.stderr
    assert "2 not done" in result.stderr


async def test_kratos_away(shell: Shell) -> None:
    """A Kratos that cannot be listed is trouble, said in a line; nothing is removed."""
    orphan = shell.add_orphan()
    shell.crowd.broken = frozenset({"GET sessions"})
    result = await shell.run("--apply", "--expect", "1")

    assert (1, {orphan}) == (result.exit_code, shell.crowd.ids())
    assert "signupd: GET to Kratos was answered with HTTP status 503" in result.stderr
    assert "Traceback" not in result.stderr


async def test_settings(tmp_path: Path) -> None:
    """Settings that cannot be used are said as with any command."""
    config = tmp_path / "signupd.toml"
    config.write_text('kratos_admin_url = "nonsense"\n')
    command = ["orphans", "--config", str(config)]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)

    assert 2 == result.exit_code
    assert "SIGNUPD_KRATOS_ADMIN_URL" in result.stderr


async def test_typed_number(shell: Shell) -> None:
    """On a terminal the number is asked for, after the list; a bar shows the way."""
    shell.add_orphan()
    async with shell.terminal("--apply") as terminal:
        await terminal.reads("Type how many")
        asked = shell.crowd.ids()
        terminal.types("1")
        code = await terminal.ends()

    assert (0, 1) == (code, len(asked))
    assert set() == shell.crowd.ids()
    for text in ("Looking at identities", "a***@example.com", LOOKALIKES, "1 removed."):
        assert text in terminal.text


async def test_wrong_number_typed(shell: Shell) -> None:
    """A wrong number typed removes nothing."""
    orphan = shell.add_orphan()
    async with shell.terminal("--apply") as terminal:
        await terminal.reads("Type how many")
        terminal.types("2")
        code = await terminal.ends()

    assert (1, {orphan}) == (code, shell.crowd.ids())
    assert "1 found, 2 expected: nothing was removed" in terminal.text


async def test_interrupted(shell: Shell) -> None:
    """Ctrl-C amid the removals ends them, and says how far they came."""
    for _ in range(3):
        shell.add_orphan()
    second, never = asyncio.Event(), asyncio.Event()

    async def stand_still(call: str) -> None:
        if shell.crowd.calls.count("DELETE identity") > 1:
            second.set()
            await never.wait()

    shell.crowd.meddle = stand_still
    async with shell.terminal("--apply", "--expect", "3") as terminal:
        async with asyncio.timeout(60):
            await second.wait()
        terminal.interrupts()
        code = await terminal.ends()

    assert 0 != code
    assert 2 == len(shell.crowd.ids())
    assert "1 removed." in terminal.text
    assert "2 not done" in terminal.text
    assert "Traceback" not in terminal.text

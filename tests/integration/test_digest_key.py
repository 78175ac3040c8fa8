"""The ledger knows its DIGEST_KEY: whatever needs the key refuses another one."""

import asyncio
import base64
import os
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from signupd.cli import app
from signupd.keyfile import demand_digest_key
from signupd.ledger.database import Database, make_database
from signupd.ledger.ledger import Ledger
from signupd.sealing import KeyRing
from signupd.settings import SettingsInvalidError
from typer.testing import CliRunner

from tests.doubles.clock import ClockDouble
from tests.integration.world import World, to_code

RIGHT, WRONG = b"r" * 32, b"w" * 32
ADDRESS = "ann@example.com"


def environment(url: str, key: bytes) -> dict[str, str]:
    """Return the settings of a command."""
    tokens, digests = (base64.b64encode(one).decode() for one in (b"t" * 32, key))
    names = {"LEDGER_URL": url, "TOKEN_KEYS": tokens, "DIGEST_KEY": digests}
    return {f"SIGNUPD_{name}": value for name, value in names.items()}


def signupd(url: str, key: bytes, *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it writes to standard error."""
    done = CliRunner().invoke(app, words, env=environment(url, key))
    return done.exit_code, done.stderr


def test_commands(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that needs the key ends with code 2 and a line that names it."""
    monkeypatch.chdir(tmp_path)
    signupd(url, RIGHT, "migrate")
    begun = signupd(url, RIGHT, "sweep")
    sought = signupd(url, WRONG, "signups", "list", "--address", ADDRESS)
    swept = signupd(url, WRONG, "sweep")
    listed = signupd(url, WRONG, "signups", "list")

    assert (0, "") == begun
    assert (0, "signupd: no sign-up matches\n") == listed
    assert sought == swept
    assert 2 == swept[0]
    assert re.fullmatch("signupd: SIGNUPD_DIGEST_KEY: is not the key .+\n", swept[1])
    assert (0, "") == signupd(url, RIGHT, "sweep")


async def test_serve(database: Database, url: str, tmp_path: Path) -> None:
    """The server does not start, and says why in one line beside its log."""
    await demand(database, RIGHT)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signupd", "serve"),
        cwd=tmp_path,
        env=os.environ | environment(url, WRONG) | {"SIGNUPD_LISTEN": "127.0.0.1:0"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()

    assert 2 == process.returncode
    (why,) = [line for line in said.decode().splitlines() if line[0] != "{"]
    assert why.startswith("signupd: SIGNUPD_DIGEST_KEY: is not the key ")


async def test_refused_first(world: World) -> None:
    """A server with another key changes nothing, not even the leases it finds."""
    replica = await world.serve()
    await to_code(world, replica.caller, ADDRESS)
    world.change_row("lease", "verifying")
    world.change_row("lease_until", 2**52)
    before = world.rows()
    (world.directory / "signupd.keys").unlink()
    with pytest.raises(SettingsInvalidError, match="DIGEST_KEY"):
        await world.serve(proved=False)

    assert before == world.rows()


def demand(database: Database, key: bytes) -> Coroutine[Any, Any, None]:
    """Demand a digest key, as a server does that starts."""
    return demand_digest_key(Ledger(database), KeyRing([key], key), add=True)


async def test_first_starts_raced(
    database: Database, url: str, clock: ClockDouble
) -> None:
    """Of servers with different keys that start at once on a new ledger one goes on."""
    other = make_database(url, clock)
    await other.open()
    keys = [bytes([n]) * 32 for n in range(10)]
    outcomes = await asyncio.gather(
        *(demand((database, other)[n % 2], key) for n, key in enumerate(keys)),
        return_exceptions=True,
    )
    await other.close()
    (won,) = [key for key, outcome in zip(keys, outcomes, strict=True) if not outcome]

    assert 9 == sum(isinstance(one, SettingsInvalidError) for one in outcomes)
    await demand(database, won)

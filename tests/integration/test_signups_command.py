"""``signupd signups list`` and ``show``, on both databases."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import subprocess
import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from signupd.cli import app
from signupd.ledger.database import make_database, sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import Lease, State
from signupd.ledger.schema import migrate
from signupd.sealing import KeyRing
from signupd.signup.sealed import address_digest, seal_mask
from typer.testing import CliRunner

from tests.doubles.clock import ClockDouble
from tests.unit.rows import record

if TYPE_CHECKING:
    from signupd.ledger.record import Record
    from typer.testing import Result

KEY, DIGEST_KEY, LOST_KEY = (bytes([n]) * 32 for n in (1, 2, 3))
RING, LOST_RING = KeyRing([KEY], DIGEST_KEY), KeyRing([LOST_KEY], DIGEST_KEY)
MINUTE = 60_000_000
ANN, BOB, CID, DOT = (f"{name}@example.com" for name in ("ann", "bob", "cid", "dot"))
IDS = {name: uuid.UUID(int=n, version=4) for n, name in enumerate((ANN, BOB, CID, DOT))}
FIELDS = [
    "signup_id",
    "state",
    "masked_email",
    "create_time",
    "send_time",
    "state_time",
    "expire_time",
    "identity_id",
    "caller",
    "sends",
    "code_attempts",
    "code_repeats",
    "password_attempts",
    "lease",
]


def row(address: str, ring: KeyRing, now: int, **changed: Any) -> Record:
    """Make a row of somebody's sign-up, begun a moment ago."""
    made = record(
        signup_id=IDS[address],
        address_digest=address_digest(RING, address),
        sealed_mask=seal_mask(ring, IDS[address], f"{address[0]}***@example.com"),
        create_time=now - 10 * MINUTE,
        send_time=now - 9 * MINUTE,
        state_time=now - 8 * MINUTE,
        expire_time=now + 5 * MINUTE,
    )
    return made._replace(**changed)


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """A command line, and the ledger that it is set to.

    Attributes:
        url: The ledger's.
        now: When its sign-ups were written.
    """

    url: str
    now: int

    def environment(self, **settings: str) -> dict[str, str]:
        """Give the settings, some of them replaced, as the environment has them."""
        given = {
            "LEDGER_URL": self.url,
            "TOKEN_KEYS": base64.b64encode(KEY).decode(),
            "DIGEST_KEY": base64.b64encode(DIGEST_KEY).decode(),
        } | settings
        return {f"SIGNUPD_{name}": value for name, value in given.items()}

    def run(self, *words: str, typed: str = "", **settings: str) -> Result:
        """Run a command to its end."""
        env = self.environment(**settings)
        return CliRunner().invoke(app, ["signups", *words], input=typed, env=env)

    def json(self, *words: str, typed: str = "") -> Any:
        """Run a command that is to succeed; read its JSON."""
        done = self.run(*words, "--json", typed=typed)
        assert 0 == done.exit_code, done.output
        return json.loads(done.stdout)


@pytest.fixture
def prompt(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """Give a ledger with four sign-ups; of one the key is gone."""
    monkeypatch.chdir(tmp_path)
    clock = ClockDouble()
    now = clock()

    async def fill() -> None:
        await migrate(url)
        database = make_database(url, clock)
        await database.open()
        ledger = Ledger(database)
        done = {"state": State.COMPLETED, "identity_id": uuid.UUID(int=70)}
        for one in (
            row(ANN, RING, now, create_time=now - 3 * MINUTE, sealed=b"contents"),
            row(BOB, RING, now, create_time=now - 90 * MINUTE, **done, sealed=None),
            row(CID, LOST_RING, now, create_time=now - 60 * MINUTE, expire_time=now),
            row(DOT, RING, now, state=State.STARTING, caller="front"),
        ):
            await ledger.add(one)
        found = await ledger.find(IDS[DOT])
        assert found is not None
        dot = await ledger.change(
            found.record, state=State.CODE_REQUIRED, state_time=now - 8 * MINUTE
        )
        dot = await ledger.change(
            dot, state=State.PASSWORD_REQUIRED, state_time=now - 7 * MINUTE
        )
        changes: dict[str, Any] = {
            "sends": 2,
            "code_attempts": 3,
            "lease": Lease.SETTING,
        }
        await ledger.change(dot, lease_until=now + 60 * MINUTE, **changes)
        await database.close()

    asyncio.run(fill())
    return Prompt(url, now)


def ids(listed: list[dict[str, Any]]) -> list[str]:
    """Name the addresses of what is listed."""
    names = {str(signup_id): name for name, signup_id in IDS.items()}
    return [names[one["signup_id"]] for one in listed]


def moment(text: str) -> datetime:
    """Read a time; it says that it is UTC."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


class TestList:
    """``signupd signups list``."""

    def test_newest_first(self, prompt: Prompt) -> None:
        """All sign-ups, the newest first; or so many of them."""
        assert [ANN, DOT, CID, BOB] == ids(prompt.json("list"))
        assert [ANN, DOT] == ids(prompt.json("list", "--limit", "2"))

    def test_fields(self, prompt: Prompt) -> None:
        """Each tells its times in RFC 3339, its counts and a masked address."""
        listed = prompt.json("list")
        ann, bob = listed[0], listed[3]

        assert [FIELDS] * 4 == [list(one) for one in listed]
        assert ["a***@example.com", "CODE_REQUIRED"] == [
            ann["masked_email"],
            ann["state"],
        ]
        assert timedelta(minutes=8) == moment(ann["expire_time"]) - moment(
            ann["create_time"]
        )
        assert ["COMPLETED", str(uuid.UUID(int=70)), None] == [
            bob[name] for name in ("state", "identity_id", "expire_time")
        ]

    def test_key_that_is_gone(self, prompt: Prompt) -> None:
        """A row that no key opens is listed like any other, without the address."""
        listed = prompt.json("list")
        (line,) = [
            line
            for line in prompt.run("list").stdout.splitlines()
            if str(IDS[CID]) in line
        ]

        assert [None] == [one["masked_email"] for one in listed if ids([one]) == [CID]]
        assert line.endswith("EXPIRED             1h   (its key is gone)")

    def test_by_state(self, prompt: Prompt) -> None:
        """By the state that callers are told, in either case, or by several."""
        assert [CID] == ids(prompt.json("list", "--state", "EXPIRED"))
        assert [CID] == ids(prompt.json("list", "--state", "expired"))
        assert [ANN] == ids(prompt.json("list", "--state", "code_required"))
        assert [ANN, BOB] == ids(
            prompt.json("list", "--state", "code_required", "--state", "completed")
        )
        assert [] == prompt.json("list", "--state", "cancelled")

    @pytest.mark.parametrize("address", [ANN, "ANN@Example.COM"])
    def test_by_address(self, prompt: Prompt, address: str) -> None:
        """By the address, which shows nowhere in full; also typed rather than given."""
        given = prompt.run("list", "--json", "--address", address)
        typed = prompt.json("list", "--address", "-", typed=f"{address}\n")

        assert [ANN] == ids(json.loads(given.stdout))
        assert [ANN] == ids(typed)
        assert address not in given.output

    def test_no_address(self, prompt: Prompt) -> None:
        """What is no address is refused, and not repeated."""
        done = prompt.run("list", "--address", "hunter2")

        assert 2 == done.exit_code
        assert "is not an e-mail address" in done.stderr
        assert "hunter2" not in done.output

    def test_table(self, prompt: Prompt) -> None:
        """Without --json, a line each, which a pipe does not break."""
        lines = prompt.run("list").stdout.splitlines()

        assert ["sign-up", "state", "age", "address"] == lines[0].split()
        assert [
            [str(IDS[ANN]), "CODE_REQUIRED", "3m", "a***@example.com"],
            [str(IDS[DOT]), "PASSWORD_REQUIRED", "10m", "d***@example.com"],
        ] == [line.split() for line in lines[1:3]]
        assert 5 == len(lines)

    def test_cut_off(self, prompt: Prompt) -> None:
        """Where the limit cut the list off it says so, beside the list."""
        cut, whole = (prompt.run("list", "--limit", n) for n in ("2", "9"))

        assert 3 == len(cut.stdout.splitlines())
        assert "the newest 2; --limit shows more" in cut.stderr
        assert "" == whole.stderr

    def test_nothing(self, prompt: Prompt) -> None:
        """Where nothing is found it says so."""
        done = prompt.run("list", "--address", "eve@example.com")

        assert (0, "") == (done.exit_code, done.stdout)
        assert "no sign-up is like that" in done.stderr

    @pytest.mark.parametrize("limit", ["0", "-1", "100001", "all"])
    def test_limits(self, prompt: Prompt, limit: str) -> None:
        """The limit is a number from one to a hundred thousand."""
        assert 2 == prompt.run("list", "--limit", limit).exit_code


class TestShow:
    """``signupd signups show``."""

    def test_fields(self, prompt: Prompt) -> None:
        """All that may be told, with the lease."""
        dot = prompt.json("show", str(IDS[DOT]))

        assert FIELDS == list(dot)
        assert "d***@example.com" == dot["masked_email"]
        assert [2, 3, "front"] == [
            dot[name] for name in ("sends", "code_attempts", "caller")
        ]
        assert ["setting", True] == [dot["lease"]["kind"], dot["lease"]["live"]]
        begun = moment(dot["create_time"])
        assert timedelta(minutes=70) == moment(dot["lease"]["until"]) - begun

    def test_page(self, prompt: Prompt) -> None:
        """Without --json it is a page of facts, those that there are."""
        done = prompt.run("show", str(IDS[DOT]))
        facts = [line.split()[0] for line in done.stdout.splitlines()]

        assert ["sign-up", "state", "address", "begun", "last", "lapses"] == facts[:6]
        assert "SETTING, until" in done.stdout
        assert "identity" not in facts

    def test_dead_lease(self, prompt: Prompt) -> None:
        """A lease that ran out is told from a live one."""

        async def kill() -> None:
            database = make_database(prompt.url, ClockDouble())
            await database.open()
            found = await Ledger(database).find(IDS[DOT])
            assert found is not None
            await Ledger(database).change(found.record, lease_until=prompt.now)
            await database.close()

        asyncio.run(kill())

        assert prompt.json("show", str(IDS[DOT]))["lease"]["live"] is False
        assert "run out" in prompt.run("show", str(IDS[DOT])).stdout

    def test_unknown(self, prompt: Prompt) -> None:
        """Of a sign-up that is not there it says just that."""
        done = prompt.run("show", str(uuid.uuid4()))

        assert (1, "") == (done.exit_code, done.stdout)
        assert "knows no sign-up" in done.stderr

    def test_no_id(self, prompt: Prompt) -> None:
        """What is no id is a mistake of the command line."""
        assert 2 == prompt.run("show", "first").exit_code


class TestTrouble:
    """What they do where they cannot work, and what they never do."""

    def test_ledger_is_left_as_it_was(self, prompt: Prompt) -> None:
        """No file is made or changed beside a SQLite ledger, and no row anywhere."""
        file = sqlite_file(prompt.url)
        before = file and file.read_bytes()
        prompt.json("list")
        prompt.json("show", str(IDS[ANN]))

        assert before == (file and file.read_bytes())
        assert not Path("signupd.keys").exists()
        assert not Path("signupd.db").exists()

    def test_no_schema(self, prompt: Prompt, tmp_path: Path) -> None:
        """A database without a ledger is not made one."""
        empty = tmp_path / "empty.db"
        empty.touch()
        done = prompt.run("list", LEDGER_URL=f"sqlite:///{empty}")

        assert (1, "") == (done.exit_code, done.stdout)
        assert "signupd migrate" in done.stderr
        assert b"" == empty.read_bytes()

    def test_no_file(self, prompt: Prompt, tmp_path: Path) -> None:
        """A file that is not there is named, and not made."""
        done = prompt.run("list", LEDGER_URL=f"sqlite:///{tmp_path}/other.db")

        assert 1 == done.exit_code
        assert f"there is no ledger {tmp_path}/other.db" in done.stderr
        assert not (tmp_path / "other.db").exists()

    def test_nothing_is_served(self, prompt: Prompt) -> None:
        """A PostgreSQL that does not answer is told in one line."""
        done = prompt.run("list", LEDGER_URL="postgresql://u:hunter2@127.0.0.1:1/none")

        assert (1, "") == (done.exit_code, done.stdout)
        assert "the ledger cannot be opened" in done.stderr
        assert "hunter2" not in done.stderr

    def test_reader_has_seen_enough(self, prompt: Prompt) -> None:
        """Whoever stops reading, as head does, is told nothing."""
        command = (sys.executable, "-m", "signupd", "signups", "list", "--json")
        process = subprocess.Popen(  # noqa: S603 - the words are this module's own
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | prompt.environment(),
        )
        assert process.stdout is not None
        process.stdout.close()
        _, complaints = process.communicate()

        assert (1, b"") == (process.returncode, complaints)


def test_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key file beside a SQLite ledger is read, and never made."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/ledger.db"
    asyncio.run(migrate(url))
    env = {"SIGNUPD_LEDGER_URL": url}
    missing = CliRunner().invoke(app, ["signups", "list"], env=env)
    text = {"token_keys": [base64.b64encode(KEY).decode()]}
    text["digest_key"] = text["token_keys"][0]  # type: ignore[assignment]
    (tmp_path / "signupd.keys").touch(mode=0o600)
    (tmp_path / "signupd.keys").write_text(json.dumps(text))
    there = CliRunner().invoke(app, ["signups", "list"], env=env)

    assert [1, 0] == [missing.exit_code, there.exit_code]
    assert "signupd.keys: No such file" in missing.stderr

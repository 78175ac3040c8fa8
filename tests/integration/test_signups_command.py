"""``signupd signups list`` and ``show``, on both databases."""

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
from typing import Any

import pytest
from signupd.cli import app
from signupd.ledger.database import make_database, sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.ledger.migrate import migrate
from signupd.ledger.record import Lease, Record, State
from signupd.sealing import KeyRing, address_digest, seal_mask
from typer.testing import CliRunner, Result

from tests.doubles.clock import ClockDouble
from tests.unit import samples

KEY, DIGEST_KEY, LOST_KEY = (bytes([n]) * 32 for n in (1, 2, 3))
RING, LOST_RING = KeyRing([KEY], DIGEST_KEY), KeyRing([LOST_KEY], DIGEST_KEY)
MINUTE = 60_000_000
ANN, BOB, CID, DOT = (f"{name}@example.com" for name in ("ann", "bob", "cid", "dot"))
IDS = {name: uuid.UUID(int=n, version=4) for n, name in enumerate((ANN, BOB, CID, DOT))}
FIELDS = [
    *("signup_id", "state", "masked_email", "create_time", "send_time", "state_time"),
    *("expire_time", "identity_id", "caller", "sends", "code_attempts"),
    *("code_repeats", "password_attempts", "password_repeats", "lease"),
]


def row(address: str, ring: KeyRing, now: int, **changed: Any) -> Record:
    """Make a row of somebody's sign-up, begun a moment ago."""
    made = samples.row(
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
    """A command line, and the URL of its ledger."""

    url: str

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the settings as environment variables."""
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
    """Make a ledger with four sign-ups; the key of one is gone."""
    monkeypatch.chdir(tmp_path)
    clock = ClockDouble()
    now = clock()

    async def fill() -> None:
        await migrate(url)
        database = make_database(url, clock)
        await database.open()
        ledger = Ledger(database)
        done = {"state": State.COMPLETED, "identity_id": uuid.UUID(int=70)}
        setting: dict[str, Any] = {
            "state": State.PASSWORD_REQUIRED,
            "sends": 2,
            "code_attempts": 3,
            "lease": Lease.SETTING,
            "lease_until": now + 60 * MINUTE,
        }
        stale = {"lease": Lease.VERIFYING, "lease_until": now}
        for one in (
            row(ANN, RING, now, create_time=now - 3 * MINUTE, **stale),
            row(BOB, RING, now, create_time=now - 90 * MINUTE, **done, sealed=None),
            row(CID, LOST_RING, now, create_time=now - 60 * MINUTE, expire_time=now),
            row(DOT, RING, now, caller="front", **setting),
        ):
            await ledger.add(one)
        await database.close()

    asyncio.run(fill())
    return Prompt(url)


def ids(listed: list[dict[str, Any]]) -> list[str]:
    """Return the addresses of the listed sign-ups."""
    names = {str(signup_id): name for name, signup_id in IDS.items()}
    return [names[one["signup_id"]] for one in listed]


def moment(text: str) -> datetime:
    """Read a time in UTC."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


FILTERS: dict[str, tuple[list[str], list[str]]] = {
    "all": ([], [ANN, DOT, CID, BOB]),
    "limit": (["--limit", "2"], [ANN, DOT]),
    "expired": (["--state", "EXPIRED"], [CID]),
    "small letters": (["--state", "code_required"], [ANN]),
    "two states": (["--state", "code_required", "--state", "completed"], [ANN, BOB]),
    "none": (["--state", "cancelled"], []),
    "address": (["--address", ANN], [ANN]),
    "address in capitals": (["--address", "ANN@Example.COM"], [ANN]),
    "address that is typed": (["--address", "-"], [BOB]),
}


@pytest.mark.parametrize(("words", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_list(prompt: Prompt, words: list[str], expected: list[str]) -> None:
    """Sign-ups are listed, the newest first, by state and by address."""
    done = prompt.run("list", "--json", *words, typed=f"{BOB}\n")

    assert expected == ids(json.loads(done.stdout))
    assert "ann@" not in done.output.lower()
    assert bool(expected) is ("no sign-up matches" not in done.stderr)


def test_fields(prompt: Prompt) -> None:
    """Each has its times in RFC 3339, its counts, and a masked address."""
    ann, dot, cid, bob = listed = prompt.json("list")

    assert [FIELDS] * 4 == [list(one) for one in listed]
    assert ["a***@example.com", "CODE_REQUIRED", False] == [
        *(ann[name] for name in ("masked_email", "state")),
        ann["lease"]["live"],
    ]
    begun = moment(ann["create_time"])
    assert timedelta(minutes=8) == moment(ann["expire_time"]) - begun
    assert [2, 3, "front"] == [
        dot[name] for name in ("sends", "code_attempts", "caller")
    ]
    assert ["setting", True] == [dot["lease"][name] for name in ("kind", "live")]
    begun = moment(dot["create_time"])
    assert timedelta(minutes=70) == moment(dot["lease"]["until"]) - begun
    assert cid["masked_email"] is None
    assert ["COMPLETED", str(uuid.UUID(int=70)), None, None] == [
        bob[name] for name in ("state", "identity_id", "expire_time", "lease")
    ]
    assert listed == [prompt.json("show", one["signup_id"]) for one in listed]


def test_table(prompt: Prompt) -> None:
    """The table has one line for each sign-up; the command says if more exist."""
    whole, cut = prompt.run("list"), prompt.run("list", "--limit", "2")
    header, *rows = [
        line.strip().split(maxsplit=3) for line in whole.stdout.splitlines()
    ]

    assert ["sign-up", "state", "age", "address"] == header
    assert [
        [str(IDS[ANN]), "CODE_REQUIRED", "3m", "a***@example.com"],
        [str(IDS[DOT]), "PASSWORD_REQUIRED", "10m", "d***@example.com"],
        [str(IDS[CID]), "EXPIRED", "1h", "(key missing)"],
        [str(IDS[BOB]), "COMPLETED", "1h", "b***@example.com"],
    ] == rows
    assert "" == whole.stderr
    assert 3 == len(cut.stdout.splitlines())
    assert "the newest 2 are shown; --limit shows more" in cut.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--address", "hunter2"],
        *(["list", "--limit", limit] for limit in ("0", "10001")),
        ["show", "hunter2-first"],
    ],
    ids=" ".join,
)
def test_invalid_options(prompt: Prompt, words: list[str]) -> None:
    """An invalid option is refused; an address is not repeated."""
    done = prompt.run(*words)

    assert (2, "") == (done.exit_code, done.stdout)
    assert words[0] == "show" or "hunter2" not in done.output


def test_page(prompt: Prompt) -> None:
    """People see the fields that have a value."""
    done, stale = (prompt.run("show", str(IDS[one])) for one in (DOT, ANN))
    names = [line.split()[0] for line in done.stdout.splitlines()]

    assert [name for name in FIELDS if name != "identity_id"] == names
    assert "setting, until " in done.stdout
    assert "verifying, stale since " in stale.stdout


def test_unknown(prompt: Prompt) -> None:
    """An unknown sign-up is an error that names it."""
    unknown = str(uuid.uuid4())
    done = prompt.run("show", unknown)

    assert (1, "") == (done.exit_code, done.stdout)
    assert f"signupd: the ledger has no sign-up {unknown}\n" == done.stderr


def test_ledger_is_left_as_it_was(prompt: Prompt) -> None:
    """No file is made or changed beside a SQLite ledger, and no row anywhere."""
    file = sqlite_file(prompt.url)
    before = file and file.read_bytes()
    prompt.json("list")
    prompt.json("show", str(IDS[ANN]))

    assert before == (file and file.read_bytes())
    assert not Path("signupd.keys").exists()
    assert not Path("signupd.db").exists()


@pytest.mark.parametrize(
    ("ledger", "complaint"),
    [
        ("sqlite:///{0}/empty.db", "signupd migrate"),
        ("sqlite:///{0}/other.db", "there is no ledger {0}/other.db"),
        ("postgresql://u:hunter2@127.0.0.1:1/none", "the ledger cannot be opened"),
    ],
    ids=["no schema", "no file", "no server"],
)
def test_no_ledger(prompt: Prompt, tmp_path: Path, ledger: str, complaint: str) -> None:
    """A ledger that cannot be read is one line on standard error; none is made."""
    (tmp_path / "empty.db").touch()
    done = prompt.run("list", LEDGER_URL=ledger.format(tmp_path))

    assert (1, "") == (done.exit_code, done.stdout)
    assert complaint.format(tmp_path) in done.stderr
    assert "hunter2" not in done.stderr
    assert b"" == (tmp_path / "empty.db").read_bytes()
    assert not (tmp_path / "other.db").exists()


def test_closed_pipe(prompt: Prompt) -> None:
    """A reader that stops reading, as head does, causes no complaint."""
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

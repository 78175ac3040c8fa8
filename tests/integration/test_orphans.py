"""``signupd orphans``: what it lists, what it removes, what it never touches."""

import asyncio
import importlib
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from signupd.cli import app
from signupd.kratos.admin import MAX_SESSIONS, PAGE_IDENTITIES
from signupd.kratos.identity import make_mark
from typer.testing import CliRunner, Result

from tests.doubles.certificate import certificate_file
from tests.doubles.kratos_crowd import APART, NOW, Crowd, person, session

Json = dict[str, Any]

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CUTOFF = NOW - 30 * DAY
# A session of the registration, 90 days ago, that lapses now.
LAPSING = 90 * DAY - APART
RECENT = (CUTOFF + MINUTE).isoformat()
MARK = make_mark(uuid.uuid4(), bytes(range(16)))
LOST_TRACE = "without the session of their registration"
LOOKALIKES = "Accounts of people who sign in by code on purpose look the same."


def updated(part: str, **changed: Any) -> Json:
    """Make an orphan with a part that was changed."""
    body = person()
    parts = body[part] if part == "credentials" else {0: body[part][0]}
    next(iter(parts.values())).update(changed)
    return body


def second_address() -> Json:
    """Make an orphan with an unproved address before its proved one."""
    body = person()
    unproved = person("bob@example.com", verified=False)["verifiable_addresses"]
    body["verifiable_addresses"] = unproved + body["verifiable_addresses"]
    return body


BIRTH = [session()]
ORPHANS: dict[str, tuple[Json, list[Json]]] = {
    "registered by code": (person(), BIRTH),
    "signed out": (person(), [session(active=False)]),
    "signed in long ago": (person(), [session(NOW - 40 * DAY), *BIRTH]),
    "changed long ago": (person(changed=10 * DAY), BIRTH),
    "session lapsed long enough ago": (
        person(),
        [session(lasting=LAPSING - 6 * MINUTE)],
    ),
    "empty webauthn": (person(others={"webauthn": {"user_handle": "eA=="}}), BIRTH),
    "empty hash": (person(config={"hashed_password": ""}), BIRTH),
    "no migration hook": (person(config={"use_password_migration_hook": False}), BIRTH),
    "one of two addresses proved": (second_address(), BIRTH),
}
OTHERS: dict[str, Json] = {
    "disabled": person(enabled=False),
    "password": person(password="hash"),
    "migration hook": person(config={"use_password_migration_hook": True}),
    "unknown kind of password": person(config={"something": "new"}),
    "no password credential": person(password=None),
    **{
        kind: person(others={kind: None})
        for kind in ("oidc", "passkey", "totp", "lookup_secret", "unknown")
    },
    "webauthn key": person(others={"webauthn": {"credentials": [{"id": "x"}]}}),
    "our mark": updated("verifiable_addresses", id=str(MARK)),
    "no credentials": person() | {"credentials": {}},
    "null credentials": person() | {"credentials": None},
    "proved by phone": updated("verifiable_addresses", via="sms"),
    "provisioned": person(verified=False),
    "provisioned, proved at an unknown time": person(proved=None),
    "provisioned, proved later": person(proved=5 * MINUTE),
    "imported with an old proof": person(proved=-400 * DAY),
}
ACTIVE: dict[str, tuple[Json, list[Json]]] = {
    "new": (person(born=NOW - DAY), []),
    "changed": (person(changed=61 * DAY), BIRTH),
    "state changed": (person() | {"state_changed_at": RECENT}, BIRTH),
    **{
        f"{part} changed": (updated(part, updated_at=RECENT), BIRTH)
        for part in ("verifiable_addresses", "recovery_addresses", "credentials")
    },
    "signed in": (person(), [session(CUTOFF + MINUTE), *BIRTH]),
    "signed in and out": (person(), [session(CUTOFF + MINUTE, active=False), *BIRTH]),
}
SIGNED_IN: dict[str, tuple[Json, list[Json]]] = {
    "session works": (person(), [session(lasting=LAPSING + DAY)]),
    "session has just lapsed": (person(), [session(lasting=LAPSING - 4 * MINUTE)]),
    "more sessions than are read": (
        person(),
        [session(NOW - 50 * DAY)] * (MAX_SESSIONS + 1),
    ),
}
UNTRACED: dict[str, tuple[Json, list[Json]]] = {
    "no session": (person(), []),
    "later session": (person(), [session(NOW - 90 * DAY + 2 * MINUTE)]),
    "session of another kind": (person(), [session(method="code_recovery")]),
}
NOT_LISTED = {
    "active since then": len(ACTIVE),
    "with a session that works": len(SIGNED_IN),
    "disabled": 1,
    LOST_TRACE: len(UNTRACED),
}


@pytest.fixture(autouse=True)
def _made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the command's clock where the cases were made: they are at margins."""
    # The package has the command itself under the module's name.
    module = importlib.import_module("signupd.cli.orphans")
    monkeypatch.setattr(module, "_now", lambda: NOW + APART)


class Shell:
    """Runs the command against a double of Kratos."""

    def __init__(self, crowd: Crowd, directory: Path) -> None:
        self.crowd = crowd
        self._config = directory / "signupd.toml"
        ca = certificate_file(directory)
        self._config.write_text(
            f'kratos_admin_url = "{crowd.url}"\nkratos_ca = "{ca}"\n'
        )

    def add(self, body: Json, sessions: list[Json]) -> uuid.UUID:
        """Add an identity under a new id."""
        return self.crowd.add(body | {"id": str(uuid.uuid4())}, *sessions)

    def add_orphans(self, count: int) -> list[uuid.UUID]:
        """Add orphans; return their ids in the order of a listing."""
        return sorted(self.add(person(), BIRTH) for _ in range(count))

    async def run(self, *options: str) -> Result:
        """Run the command to its end."""
        _, *words = self.command("", *options)
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    def command(self, program: str, *options: str) -> tuple[str, ...]:
        """Return the command line."""
        return program, "orphans", "--config", str(self._config), *options

    async def listed(self, *options: str) -> set[str]:
        """Return the ids that the command lists."""
        result = await self.run("--json", *options)
        assert 0 == result.exit_code, result.output
        return {line["identity_id"] for line in lines(result)}


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """Make a shell, and a Kratos without identities."""
    async with Crowd() as crowd:
        yield Shell(crowd, tmp_path)


def lines(result: Result) -> list[Json]:
    """Read the lines of JSON."""
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_all(shell: Shell) -> None:
    """Orphans are listed and, with their number, removed; everything else is kept.

    What comes close is counted, with the reason.
    """
    others = {name: (body, BIRTH) for name, body in OTHERS.items()}
    groups = [
        {str(shell.add(*case)): name for name, case in cases.items()}
        for cases in (ORPHANS, UNTRACED, ACTIVE, SIGNED_IN, others)
    ]
    names, orphans = {k: v for group in groups for k, v in group.items()}, groups[0]
    kept = shell.crowd.ids() - {*map(uuid.UUID, orphans)}
    listed, untraced = await shell.listed(), await shell.listed("--untraced")
    result = await shell.run("--apply", "--expect", str(len(orphans)), "--json")
    removed = {one["identity_id"] for one in lines(result) if "outcome" in one}

    assert {*ORPHANS} == {names[one] for one in listed}
    assert {*ORPHANS, *UNTRACED} == {names[one] for one in untraced}
    assert orphans.keys() == removed
    assert kept == shell.crowd.ids()
    assert f"{len(orphans)} of {len(orphans) + len(kept)} identities" in result.stderr
    for reason, count in NOT_LISTED.items():
        assert f"Not listed: {count} {reason}" in result.stderr
    assert f"{len(orphans)} removed." in result.stderr


@pytest.mark.parametrize("expect", ["1", "3"])
async def test_another_number(shell: Shell, expect: str) -> None:
    """With any other number nothing is removed, and the exit code is 1."""
    orphans = shell.add_orphans(2)
    result = await shell.run("--apply", "--expect", expect)

    assert 1 == result.exit_code
    assert f"2 listed, {expect} expected: nothing was removed" in result.stderr
    assert {*orphans} == shell.crowd.ids()
    assert "DELETE identity" not in shell.crowd.calls


@pytest.mark.parametrize(
    "options",
    [["--apply"], ["--expect", "1"], ["--older-than", "soon"], ["--older-than", "0s"]],
    ids=" ".join,
)
async def test_options(shell: Shell, options: list[str]) -> None:
    """Invalid options are refused before Kratos is asked."""
    result = await shell.run(*options)

    assert (2, []) == (result.exit_code, shell.crowd.calls)


CHANGES: dict[str, tuple[Json, list[Json]]] = {
    "a password": (person(password="hash"), BIRTH),
    "a sign-in": (person(), [session(NOW), *BIRTH]),
}


@pytest.mark.parametrize(("body", "sessions"), CHANGES.values(), ids=CHANGES.keys())
async def test_changed_since_the_listing(
    shell: Shell, body: Json, sessions: list[Json]
) -> None:
    """Before each removal the identity is read again, and kept if it has changed."""
    _, second = shell.add_orphans(2)

    async def change(call: str) -> None:
        if call == "DELETE identity":
            shell.crowd.add(body | {"id": str(second)}, *sessions)

    shell.crowd.meddle = change
    result = await shell.run("--apply", "--expect", "2")

    assert (0, {second}) == (result.exit_code, shell.crowd.ids())
    assert f"{second}: skipped: changed since the listing" in result.stderr
    assert "1 removed." in result.stderr


async def test_gone_since_the_listing(shell: Shell) -> None:
    """An identity that somebody else has removed is reported as gone."""
    (orphan,) = shell.add_orphans(1)

    async def remove(call: str) -> None:
        if call == "GET identity":
            shell.crowd.clear()

    shell.crowd.meddle = remove
    result = await shell.run("--apply", "--expect", "1", "--json")

    assert {"identity_id": str(orphan), "outcome": "gone"} == lines(result)[-1]
    assert "1 already gone." in result.stderr


async def test_kratos_goes_away(shell: Shell) -> None:
    """A deletion is tried once; the command says how many are done."""
    shell.add_orphans(3)

    async def go(_call: str) -> None:
        if shell.crowd.calls.count("DELETE identity") > 1:
            shell.crowd.broken = frozenset({"DELETE identity"})

    shell.crowd.meddle = go
    result = await shell.run("--apply", "--expect", "3")

    assert (1, 2) == (result.exit_code, len(shell.crowd.ids()))
    assert 2 == shell.crowd.calls.count("DELETE identity")
    assert "1 removed." in result.stderr
    assert "2 not done." in result.stderr


async def test_interrupted(shell: Shell) -> None:
    """Ctrl-C ends the removals; the command says how many are done."""
    shell.add_orphans(3)
    second, never = asyncio.Event(), asyncio.Event()

    async def stand_still(_call: str) -> None:
        if shell.crowd.calls.count("DELETE identity") > 1:
            second.set()
            await never.wait()

    shell.crowd.meddle = stand_still
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *shell.command("signupd", "--apply", "--expect", "3")),
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        await second.wait()
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()

    assert 0 != process.returncode
    assert 2 == len(shell.crowd.ids())
    assert b"1 removed." in said
    assert b"2 not done." in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("call", ["GET list", "GET sessions"])
async def test_kratos_away(shell: Shell, call: str) -> None:
    """If the listing fails nothing is removed; the reason is one line."""
    (orphan,) = shell.add_orphans(1)
    shell.crowd.broken = frozenset({call})
    result = await shell.run("--apply", "--expect", "1")

    assert (1, {orphan}) == (result.exit_code, shell.crowd.ids())
    assert "signupd: GET to Kratos was answered with HTTP status 503" in result.stderr


@pytest.mark.parametrize(
    ("body", "sessions"),
    [
        (person() | {"created_at": "2030-01-01T00:00:00"}, BIRTH),
        (updated("credentials") | {"updated_at": None}, BIRTH),
        (person(), [{}]),
        (person(), [session() | {"expires_at": "soon"}]),
    ],
    ids=["no time zone", "no time", "no session", "no moment"],
)
async def test_odd_answers(shell: Shell, body: Json, sessions: list[Json]) -> None:
    """If Kratos' answer cannot be read nothing is removed."""
    shell.add(body, sessions)
    result = await shell.run("--apply", "--expect", "1")

    assert (1, 1) == (result.exit_code, len(shell.crowd.ids()))
    assert "signupd: an answer of Kratos is not a" in result.stderr


async def test_table(shell: Shell) -> None:
    """The table has the age, the reason and a masked address."""
    traced = shell.add(person("zoe@example.com"), [session(NOW - 40 * DAY), *BIRTH])
    untraced = shell.add(person(), [])
    result = await shell.run("--untraced")
    header, *rows = result.stdout.splitlines()

    assert ["identity", "age", "why", "address"] == header.split()
    assert {
        f"{traced} 90d no password, idle 40d z***@example.com",
        f"{untraced} 90d no password, idle 90d, untraced a***@example.com",
    } == {" ".join(row.split()) for row in rows}
    assert "2 of 2 identities" in result.stderr
    assert LOOKALIKES in result.stderr
    assert "--apply --expect 2" in result.stderr
    assert "zoe@example.com" not in result.output


async def test_json(shell: Shell) -> None:
    """Scripts get a line of JSON for each, and nothing else on standard output."""
    orphan = shell.add(person(), BIRTH)
    (line,) = lines(await shell.run("--json"))
    born = NOW - 90 * DAY

    assert [born, born + APART] == [
        datetime.fromisoformat(line.pop(name))
        for name in ("create_time", "active_time")
    ]
    assert {
        "identity_id": str(orphan),
        "masked_email": "a***@example.com",
        "why": "no password, idle 90d",
    } == line


async def test_older_than(shell: Shell) -> None:
    """The duration decides how long an owner must have been inactive."""
    shell.add_orphans(1)

    assert 1 == len(await shell.listed("--older-than", "89d"))
    none = await shell.run("--older-than", "91d")
    assert (0, "") == (none.exit_code, none.stdout)
    assert LOOKALIKES not in none.stderr


async def test_paging(shell: Shell) -> None:
    """Each page is read once; sessions are asked for only where they decide."""
    shell.crowd.fill(uuid.uuid4() for _ in range(2 * PAGE_IDENTITIES))
    shell.add_orphans(1)
    # Of a link only the token counts; a proxy may have changed the rest.
    shell.crowd.relink = lambda link: link.replace("</", "<https://kratos.invalid/")
    result = await shell.run()

    assert f"1 of {2 * PAGE_IDENTITIES + 1} identities" in result.stderr
    assert ["GET list", "GET list", "GET list"] == [
        call for call in shell.crowd.calls if call != "GET sessions"
    ]
    assert 1 == shell.crowd.calls.count("GET sessions")


@pytest.mark.parametrize(
    "link",
    [
        '</admin/identities?page_token=00000000-0000-0000-0000-000000000000>;rel="next"',
        '</admin/identities?page=2>; rel="next"',
    ],
    ids=["circle", "no token"],
)
async def test_odd_links(shell: Shell, link: str) -> None:
    """A link that leads to no new page ends the listing."""
    shell.crowd.fill(uuid.uuid4() for _ in range(PAGE_IDENTITIES + 1))
    shell.crowd.relink = lambda _: link

    assert 1 == (await shell.run()).exit_code

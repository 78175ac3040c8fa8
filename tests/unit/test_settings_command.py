"""``signupd settings``: all values, and no secrets."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from signupd.cli import app
from signupd.settings import Settings
from signupd.sources import SECRETS
from typer.testing import CliRunner

from tests.doubles.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own: files are read from the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str, **environ: str) -> Result:
    """Run the command in an environment."""
    env = {f"SIGNUPD_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(app, ["settings", *options], env=env)


def shown(*options: str, **environ: str) -> dict[str, Any]:
    """Read the command's JSON, by the names without their prefix."""
    done = run("--json", *options, **environ)
    assert 0 == done.exit_code, done.output
    values = json.loads(done.stdout)
    return {name.removeprefix("SIGNUPD_"): value for name, value in values.items()}


def test_all() -> None:
    """All settings are listed, in the order of the documentation."""
    values = shown()

    assert [name.upper() for name in Settings.model_fields] == [*values]
    assert ["15m", False, 5, None, True] == [
        values[name]
        for name in (
            "CODE_TTL",
            "INSECURE",
            "CODE_ATTEMPTS",
            "LOG_FORMAT",
            "REFLECTION",
        )
    ]


def test_sources(folder: Path) -> None:
    """The values are those that the server would have."""
    (folder / ".env").write_text("SIGNUPD_CODE_TTL=2m\nSIGNUPD_RETENTION=2d\n")
    (folder / "signupd.toml").write_text('retention = "3d"\nsweep_interval = "3s"\n')
    values = shown("--config", "signupd.toml", CODE_TTL="90s")

    assert ["90s", "2d", "3s"] == [
        values[name] for name in ("CODE_TTL", "RETENTION", "SWEEP_INTERVAL")
    ]


def test_reflection_beyond_loopback() -> None:
    """A default that depends on another setting is shown as it is."""
    assert shown(LISTEN="0.0.0.0:1", INSECURE="true")["REFLECTION"] is False


def test_secrets_are_known() -> None:
    """Every setting that the model takes for a secret is listed as one."""
    typed = {
        name
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }

    assert set(SECRETS) == typed


def test_secrets(folder: Path) -> None:
    """A secret is shown as set, and not otherwise, whatever source it has."""
    (folder / "token").write_text(SECRET)
    keys = {"TOKEN_KEYS": f"{KEY},{OTHER_KEY}", "DIGEST_KEY": KEY}
    environ = {"HOOK_KEY": SECRET, "KRATOS_ADMIN_TOKEN_FILE": "token"} | keys
    values = shown(**environ)

    assert ["set"] * 4 == [values[name.upper()] for name in SECRETS]
    for output in (run(**environ).output, json.dumps(values)):
        assert [] == [secret for secret in (SECRET, KEY, OTHER_KEY) if secret in output]


def test_secrets_unset(folder: Path) -> None:
    """Keys that are not set lie beside a SQLite ledger, or will; none are made."""
    (folder / "sub").mkdir()
    file = folder / "sub" / "signupd.keys"
    environ = {"LEDGER_URL": f"sqlite:///{folder}/sub/ledger.db"}
    before = shown(**environ)
    assert not file.exists()

    file.touch()
    after = shown(**environ)
    for name in ("TOKEN_KEYS", "DIGEST_KEY"):
        assert [f"to be made in {file}", f"in {file}"] == [before[name], after[name]]
    assert after["HOOK_KEY"] is None


def test_tls(folder: Path) -> None:
    """Files show by name; CALLERS shows every method, in alphabetical order."""
    files = Authority().serve_from(folder)
    values = shown(
        TLS_CERT=str(files.cert),
        TLS_KEY=str(files.key),
        TLS_CLIENT_CA=str(files.client_ca),
        CALLERS='{"b.example": ["AccountService"]}',
    )

    assert str(files.key) == values["TLS_KEY"]
    methods = ["AccountService/BatchGetAccounts", "AccountService/GetAccount"]
    assert {"b.example": methods} == values["CALLERS"]


def test_table() -> None:
    """Without --json it is a table, a line each."""
    rows = [line.split(maxsplit=1) for line in run(CODE_TTL="1h").stdout.splitlines()]
    stripped = [[name, value.strip()] for name, value in rows]

    assert ["setting", "value"] == stripped[0]
    assert ["SIGNUPD_CODE_TTL", "1h"] in stripped
    assert ["SIGNUPD_INSECURE", "false"] in stripped
    assert ["SIGNUPD_HOOK_KEY", "unset"] in stripped
    assert ["SIGNUPD_TOKEN_KEYS", "to be made in signupd.keys"] in stripped
    assert 1 + len(Settings.model_fields) == len(rows)


def test_mistakes() -> None:
    """Settings that cannot be used end every command with exit code 2."""
    done = run(CODE_TTL="soon", LISTEM="x")

    assert (2, "") == (done.exit_code, done.stdout)
    assert ["SIGNUPD_CODE_TTL", "SIGNUPD_LISTEM"] == [
        line.split(":")[1].strip() for line in done.stderr.splitlines()
    ]


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("1ms", 0.001, "1ms"),
        ("1001ms", 1.001, "1001ms"),
        ("1000ms", 1, "1s"),
        ("90s", 90, "90s"),
        ("60s", 60, "1m"),
        ("5400s", 5400, "90m"),
        ("1h", 3600, "1h"),
        ("24h", 86400, "1d"),
        ("366d", 366 * 86400, "366d"),
    ],
)
def test_durations(text: str, seconds: float, written: str) -> None:
    """Durations are shown in the largest unit that leaves no remainder."""
    settings = Settings.model_validate({"code_ttl": text})

    assert seconds == settings.code_ttl
    assert written == settings.model_dump(mode="json")["code_ttl"]


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("sqlite:////var/lib/a@b:c.db", "sqlite:////var/lib/a@b:c.db"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("postgresql://u@h:1/db", "postgresql://u@h:1/db"),
        ("postgresql://u:s3@h:1/db", "postgresql://u:***@h:1/db"),
        ("postgresql://:s3@h/db", "postgresql://:***@h/db"),
        ("postgresql://u:s3@s3@h/db", "postgresql://u:***@h/db"),
        ("postgresql://h/db?PassWord=s3", "postgresql://h/db?PassWord=***"),
        ("postgresql://h/d?user=u&password=s3&x=1", "postgresql://h/d?user=u&password=***&x=1"),
    ],
)  # fmt: skip
def test_passwords_in_urls(url: str, written: str) -> None:
    """A URL is shown without the passwords in it."""
    values = shown(LEDGER_URL=url, TOKEN_KEYS=KEY, DIGEST_KEY=KEY)
    public = shown(KRATOS_PUBLIC_URL=f"https://u:{SECRET}@h/p")["KRATOS_PUBLIC_URL"]

    assert written == values["LEDGER_URL"]
    assert "https://u:***@h/p" == public

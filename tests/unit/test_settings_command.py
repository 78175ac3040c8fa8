"""``signupd settings``: values, sources, and no secrets."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from signupd.cli import app
from signupd.notation import duration, without_password
from signupd.settings import SECRETS, Settings
from typer.testing import CliRunner

from tests.doubles.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typer.testing import Result

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SECRET = "hunter2-hunter2-hunter2"
CONFIGURATION = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own: files are looked for where one stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str, **environ: str) -> Result:
    """Run the command in an environment."""
    env = {f"SIGNUPD_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(app, ["settings", *options], env=env)


def shown(*options: str, **environ: str) -> Any:
    """Read the command's JSON."""
    done = run("--json", *options, **environ)
    assert 0 == done.exit_code, done.output
    return json.loads(done.stdout)


def test_all() -> None:
    """Every setting is shown, in the order of the documentation."""
    text = CONFIGURATION.read_text()
    documented = re.findall(r"^\| ([A-Z_]+) \|", text, re.MULTILINE)

    assert [f"SIGNUPD_{name}" for name in documented] == list(shown())


def test_defaults() -> None:
    """Defaults are in the documentation's notation."""
    told = shown()

    expected = {"value": "15m", "source": "default", "file": None}
    assert expected == told["SIGNUPD_CODE_TTL"]
    assert ["127.0.0.1:50051", False, 5, "30d", None, True] == [
        told[f"SIGNUPD_{name}"]["value"]
        for name in (
            "LISTEN",
            "INSECURE",
            "CODE_ATTEMPTS",
            "RETENTION",
            "LOG_FORMAT",
            "REFLECTION",
        )
    ]


def test_sources(folder: Path) -> None:
    """Each tells where it comes from; the layers overrule each other."""
    (folder / ".env").write_text("SIGNUPD_CODE_TTL=2m\nSIGNUPD_RETENTION=2d\n")
    toml = 'code_ttl = "3m"\nretention = "3d"\nsweep_interval = "3s"\n'
    (folder / "signupd.toml").write_text(toml)
    told = shown("--config", "signupd.toml", CODE_TTL="90s")

    assert [
        ("90s", "environment"),
        ("2d", ".env"),
        ("3s", "signupd.toml"),
        ("30m", "default"),
    ] == [
        (told[name]["value"], told[name]["source"])
        for name in (
            "SIGNUPD_CODE_TTL",
            "SIGNUPD_RETENTION",
            "SIGNUPD_SWEEP_INTERVAL",
            "SIGNUPD_PASSWORD_TTL",
        )
    ]


def test_reflection_beyond_loopback() -> None:
    """Where a default follows another setting, what follows is shown."""
    told = shown(LISTEN="0.0.0.0:1", INSECURE="true")

    assert told["SIGNUPD_REFLECTION"]["value"] is False


def test_secrets_are_known() -> None:
    """Whatever the model takes for a secret, the command does."""
    typed = {
        name
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }

    assert set(SECRETS) == typed


def test_secrets(folder: Path) -> None:
    """Of a secret it shows whether it is set and where, in no case what it is."""
    (folder / "token").write_text(SECRET)
    environ = {
        "HOOK_KEY": SECRET,
        "KRATOS_ADMIN_TOKEN_FILE": "token",
        "TOKEN_KEYS": f"{KEY},{OTHER_KEY}",
        "DIGEST_KEY": KEY,
    }
    told = shown(**environ)

    assert {
        "HOOK_KEY": {"set": True, "source": "environment", "file": None},
        "KRATOS_ADMIN_TOKEN": {"set": True, "source": "environment", "file": "token"},
        "TOKEN_KEYS": {"set": True, "source": "environment", "file": None},
        "DIGEST_KEY": {"set": True, "source": "environment", "file": None},
    } == {name.upper(): told[f"SIGNUPD_{name.upper()}"] for name in SECRETS}
    for output in (run(**environ).output, json.dumps(told)):
        assert [] == [secret for secret in (SECRET, KEY, OTHER_KEY) if secret in output]


def test_secrets_unset() -> None:
    """A secret that nobody gave is said to be unset."""
    assert {"set": False, "source": "default", "file": None} == shown()[
        "SIGNUPD_HOOK_KEY"
    ]


@pytest.mark.parametrize("made", [True, False])
def test_keys_beside_the_ledger(folder: Path, *, made: bool) -> None:
    """Keys that nobody gave lie beside a SQLite ledger, or will; none are made."""
    (folder / "sub").mkdir()
    file = folder / "sub" / "signupd.keys"
    if made:
        file.touch()
    told = shown(LEDGER_URL=f"sqlite:///{folder}/sub/ledger.db")

    expected = {"set": made, "source": "default", "file": str(file)}
    assert [expected] * 2 == [
        told[name] for name in ("SIGNUPD_TOKEN_KEYS", "SIGNUPD_DIGEST_KEY")
    ]
    assert made is file.exists()


def test_tls(folder: Path) -> None:
    """Files show by name; who may call what, method by method, in one order."""
    files = Authority().serve_from(folder)
    told = shown(
        TLS_CERT=str(files.cert),
        TLS_KEY=str(files.key),
        TLS_CLIENT_CA=str(files.client_ca),
        CALLERS='{"b.example": ["AccountService"]}',
    )

    assert str(files.key) == told["SIGNUPD_TLS_KEY"]["value"]
    assert {
        "b.example": ["AccountService/BatchGetAccounts", "AccountService/GetAccount"]
    } == told["SIGNUPD_CALLERS"]["value"]
    assert shown()["SIGNUPD_CALLERS"]["value"] is None


def test_passwords_in_urls() -> None:
    """Passwords that stand in URLs are left out."""
    told = shown(
        LEDGER_URL=f"postgresql://u:{SECRET}@h/db?sslpassword={SECRET}&sslmode=require",
        KRATOS_PUBLIC_URL=f"https://u:{SECRET}@h/p",
        TOKEN_KEYS=KEY,
        DIGEST_KEY=KEY,
    )

    assert SECRET not in json.dumps(told)
    url = told["SIGNUPD_LEDGER_URL"]["value"]
    assert "postgresql://u:***@h/db?sslpassword=***&sslmode=require" == url


def test_table() -> None:
    """Without --json it is a table, a line each."""
    rows = [line.split() for line in run(CODE_TTL="1h").stdout.splitlines()]

    assert ["setting", "from", "value"] == rows[0]
    assert ["SIGNUPD_CODE_TTL", "environment", "1h"] in rows
    assert ["SIGNUPD_HOOK_KEY", "default", "unset"] in rows
    assert ["SIGNUPD_TOKEN_KEYS", "default,", "in", "signupd.keys", "unset"] in rows
    assert 1 + len(Settings.model_fields) == len(rows)


def test_mistakes() -> None:
    """Settings that cannot be used are complained of, as by every command."""
    done = run(CODE_TTL="soon", LISTEM="x")

    assert (2, "") == (done.exit_code, done.stdout)
    assert ["SIGNUPD_LISTEM", "SIGNUPD_CODE_TTL"] == [
        line.split(":")[1].strip() for line in done.stderr.splitlines()
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "1ms"),
        (0.5, "500ms"),
        (1.001, "1001ms"),
        (1, "1s"),
        (90, "90s"),
        (60, "1m"),
        (5400, "90m"),
        (3600, "1h"),
        (86400, "1d"),
        (30 * 86400, "30d"),
        (366 * 86400, "366d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Durations are written as they may be given."""
    assert text == duration(seconds)
    assert (
        pytest.approx(seconds) == Settings.model_validate({"code_ttl": text}).code_ttl
    )


URLS: Mapping[str, str] = {
    "sqlite:///signupd.db": "sqlite:///signupd.db",
    "sqlite:////var/lib/a@b:c.db": "sqlite:////var/lib/a@b:c.db",
    "postgresql://h/db": "postgresql://h/db",
    "postgresql://u@h:1/db": "postgresql://u@h:1/db",
    "postgresql://u:s3@h:1/db": "postgresql://u:***@h:1/db",
    "postgresql://:s3@h/db": "postgresql://:***@h/db",
    "postgresql://u:s3/s3@h/db": "postgresql://u:***@h/db",
    "https://u:s3@s3@h/p": "https://u:***@h/p",
    "postgresql://h/db?PassWord=s3": "postgresql://h/db?PassWord=***",
    "postgresql://h/d?user=u&password=s3&x=1": "postgresql://h/d?user=u&password=***&x=1",
}


@pytest.mark.parametrize("url", URLS)
def test_url_without_password(url: str) -> None:
    """A URL is shown as it is, but for the passwords in it."""
    assert URLS[url] == without_password(url)

"""``signupd settings`` (all values, and no secrets) and ``signupd keys new``."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from signupd.cli import app
from signupd.settings import Settings
from typer.testing import CliRunner, Result

from tests.doubles.authority import Authority

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
    assert shown(LISTEN="0.0.0.0:1", INSECURE="true")["REFLECTION"] is False


def test_secrets(folder: Path) -> None:
    """Of every setting that is typed as a secret only ``set`` is shown."""
    typed = [
        name
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    ]
    (folder / "token").write_text(f"{SECRET}-2")
    keys = {"TOKEN_KEYS": KEY, "DIGEST_KEY": OTHER_KEY}
    environ = {"HOOK_KEY": SECRET, "KRATOS_ADMIN_TOKEN_FILE": "token"} | keys
    values = shown(**environ)

    assert ["set"] * 4 == [values[name.upper()] for name in typed]
    for output in (run(**environ).output, json.dumps(values)):
        assert [] == [secret for secret in (SECRET, KEY, OTHER_KEY) if secret in output]


def test_tls(folder: Path) -> None:
    """Files are shown by name, CALLERS with every method in alphabetical order."""
    files = Authority().serve_from(folder)
    (folder / "domains").write_text("x.test\n")
    values = shown(
        BLOCKED_EMAIL_DOMAINS_FILE="domains",
        TLS_CERT=str(files.cert),
        TLS_KEY=str(files.key),
        TLS_CLIENT_CA=str(files.client_ca),
        CALLERS='{"b.example": ["AccountService"]}',
    )

    assert str(files.key) == values["TLS_KEY"]
    assert "domains" == values["BLOCKED_EMAIL_DOMAINS_FILE"]
    methods = ["AccountService/BatchGetAccounts", "AccountService/GetAccount"]
    assert {"b.example": methods} == values["CALLERS"]


def test_table() -> None:
    """The table has one line for each setting."""
    rows = [line.split(maxsplit=1) for line in run(CODE_TTL="1h").stdout.splitlines()]
    stripped = [[name, value.strip()] for name, value in rows]

    assert ["setting", "value"] == stripped[0]
    assert ["SIGNUPD_CODE_TTL", "1h"] in stripped
    assert ["SIGNUPD_INSECURE", "false"] in stripped
    assert ["SIGNUPD_HOOK_KEY", "unset"] in stripped
    assert 1 + len(Settings.model_fields) == len(rows)


def test_mistakes() -> None:
    """Settings that cannot be used end every command with exit code 2."""
    done = run(CODE_TTL="soon", LISTEM="x")

    assert (2, "") == (done.exit_code, done.stdout)
    assert ["SIGNUPD_CODE_TTL", "SIGNUPD_LISTEM"] == [
        line.split(":")[1].strip() for line in done.stderr.splitlines()
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [("1001ms", "1001ms"), ("1000ms", "1s"), ("60s", "1m"), ("5400s", "90m")],
)
def test_durations(text: str, written: str) -> None:
    """Durations are shown in the largest unit that leaves no remainder."""
    assert written == shown(CODE_TTL=text)["CODE_TTL"]


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("sqlite:////var/lib/a@b:c.db", "sqlite:////var/lib/a@b:c.db"),
        ("sqlite:///a.db?PassWord=s3", "sqlite:///a.db?PassWord=***"),
        ("postgresql://u@h:1/db", "postgresql://u@h:1/db"),
        ("postgresql://u:s3%40s3@h/db", "postgresql://u:***@h/db"),
        ("postgresql://:s3@h/db", "postgresql://:***@h/db"),
        (
            "postgresql://h/d?user=u&password=s3&sslpassword=s3&sslmode=require",
            "postgresql://h/d?user=u&password=***&sslpassword=***&sslmode=require",
        ),
    ],
)
def test_passwords_in_urls(url: str, written: str) -> None:
    """A URL is shown without the passwords in it."""
    values = shown(LEDGER_URL=url, TOKEN_KEYS=KEY, DIGEST_KEY=OTHER_KEY)
    public = shown(KRATOS_PUBLIC_URL=f"https://u:{SECRET}@h/p")["KRATOS_PUBLIC_URL"]

    assert written == values["LEDGER_URL"]
    assert "https://u:***@h/p" == public


def new_key(*options: str) -> Result:
    """Make a key."""
    return CliRunner().invoke(app, ["keys", "new", *options])


def test_key() -> None:
    """Standard output is a new key; standard error says how to use and rotate it."""
    first, second = new_key(), new_key()

    assert [0, 0] == [first.exit_code, second.exit_code]
    assert 32 == len(base64.b64decode(first.stdout.strip(), validate=True))
    assert first.stdout != second.stdout
    for words in ("SIGNUPD_TOKEN_KEYS", "SIGNUPD_DIGEST_KEY", "rotate"):
        assert words in first.stderr
    assert first.stdout.strip() not in first.stderr


def test_key_as_json() -> None:
    """Scripts get the key and the names of its settings, and no explanation."""
    done = new_key("--json")
    made = json.loads(done.stdout)

    assert ["key", "settings"] == [*made]
    assert 32 == len(base64.b64decode(made["key"]))
    assert ["SIGNUPD_TOKEN_KEYS", "SIGNUPD_DIGEST_KEY"] == made["settings"]
    assert "" == done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_key_file(folder: Path, options: list[str]) -> None:
    """Only its owner can read the file, whatever the mask; the key is not shown."""
    mask = os.umask(0)
    try:
        done = new_key("--out", "key", *options)
    finally:
        os.umask(mask)
    key = (folder / "key").read_text().strip()

    assert 32 == len(base64.b64decode(key, validate=True))
    assert 0o600 == stat.S_IMODE((folder / "key").stat().st_mode)
    assert key not in done.output
    assert ["key"] == [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("key", "already exists and was not changed"),
        ("none/key", "No such file or directory"),
    ],
)
def test_no_key_file(folder: Path, out: str, why: str) -> None:
    """A file that exists is left as it is; an error is one line."""
    (folder / "key").write_text("the only one")
    done = new_key("--out", out)

    assert (1, "") == (done.exit_code, done.stdout)
    assert f"signupd: {out}: {why}\n" == done.stderr
    assert "the only one" == (folder / "key").read_text()

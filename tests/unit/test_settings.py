"""The settings: defaults, notations, mistakes, and which source takes precedence."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from signupd.settings import Settings, SettingsInvalidError, load
from signupd.sources import SECRETS

from tests.doubles.authority import Authority

KEY, OTHER_KEY, THIRD_KEY = (
    base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)
)
AUTHORITY = Authority()
HOOK_KEY = "sixteen-or-more-characters"
CONFIGURATION = Path(__file__).parents[2] / "docs" / "configuration.md"
# What the documentation says of defaults that depend on something else.
UNSET = {"none", "the only one", "true on loopback", "json, console on a terminal"}
NO_PEM = "holds no certificate in PEM, or one that cannot be read (environment)"
UNCLOSED = "something is missing at its end, or not closed"
NO_DURATION = "SIGNUPD_CODE_TTL: is not a duration such as 90s, 15m or 24h"

# Values that are wrong by themselves, or beside the defaults.
WRONG = {
    "LISTEN": [
        *("secret-port", "127.0.0.1", ":50051", "127.0.0.1:65536", "127.0.0.1:-1"),
        *("127.0.0.1:\u00b2", "unix:", "http://127.0.0.1:1", "*:50051"),
        *("::1:50051", "127.0.0.1 :50051", "dns:localhost:1"),
        *("0.0.0.0:50051", "[::]:50051", "signup.example:50051", "10.0.0.1:1"),
        *("127.0.0.1.example:1", "localhost.example:1", "[::ffff:10.0.0.1]:1"),
    ],
    "INSECURE": ["maybe"],
    "HOOK_LISTEN": ["unix:/run/hooks", "9465"],
    "HOOK_KEY": ["hunter2", f'"{HOOK_KEY}"', f"'{HOOK_KEY}'", "\u00fc" * 16],
    "METRICS_LISTEN": ["unix:/run/m"],
    "KRATOS_PUBLIC_URL": [
        *("127.0.0.1:4433", "ftp://x", "http://", "http:///path", "http://x:99999"),
        *("http://u:hunter2@x:y", "http://x/?secret=1", "http://x y"),
    ],
    "KRATOS_TIMEOUT": ["10", "0", "0s", "-1s", "1.5s", "\u0663s", "400d", ""],
    "KRATOS_CA": [""],
    "KRATOS_ADMIN_TOKEN": [" ", "Bearer hunter2", "hunter2\nx", "hunter\u00b2"],
    "IDENTITY_SCHEMA_ID": [" "],
    "HOOK_KEY_FILE": ["", "/dev/null"],
    "HOOK_TLS_CERT": [""],
    "LEDGER_URL": [
        *("signupd.db", "sqlite://", "mysql://u:hunter2@h/d"),
        *("postgresql://u:hunter2/db", "postgresql://u:hunter2%sure@h/d"),
        *("postgresql://u:1@hunter2@h/d", "postgresql://u:1@hunter2#2@h/d"),
        "postgresql://u@h/d?hunter2=secret",
    ],
    "TOKEN_KEYS": [KEY],
    "TLS_CERT": ["/etc/hosts", "/nowhere/at-all"],
    "TLS_CLIENT_CA": ["/etc/hosts", "/nowhere/at-all"],
    "CALLERS": [
        *("hunter2", '{"hunter2": ["secret"]}', '{"web.example": ["SignupService"]}')
    ],
    "CODE_ATTEMPTS": ["6", "0"],
    "PASSWORD_ATTEMPTS": ["many"],
    "SENDS_PER_SIGNUP": ["0"],
    "SENDS_PER_ADDRESS": ["0"],
    "SENDS_PER_IP_PER_HOUR": ["0"],
    "PASSWORD_MIN_LENGTH": ["7"],
    "PASSWORD_MAX_BYTES": ["7"],
    "SWEEP_BATCH": ["0"],
    "DRAIN_TIMEOUT": ["-1s", "20"],
    "REFLECTION": ["perhaps"],
    "LOG_FORMAT": ["xml"],
    "LOG_LEVEL": ["trace"],
    "LISTEM": ["127.0.0.1:1"],
}
# What is wrong together, and the names that the lines begin with.
MISTAKES = [
    *(({name: value}, [name]) for name in WRONG for value in WRONG[name]),
    ({"LEDGER_URL": "postgresql://u:hunter2@h/d"}, ["TOKEN_KEYS"]),
    ({"TOKEN_KEYS": "hunter2", "DIGEST_KEY": KEY}, ["TOKEN_KEYS"]),
    ({"TOKEN_KEYS": f"{OTHER_KEY},", "DIGEST_KEY": KEY}, ["TOKEN_KEYS"]),
    ({"TOKEN_KEYS": KEY[:-8], "DIGEST_KEY": KEY}, ["TOKEN_KEYS"]),
    ({"TOKEN_KEYS": KEY, "DIGEST_KEY": "hunter2"}, ["DIGEST_KEY"]),
    ({"DIGEST_KEY": KEY}, ["TOKEN_KEYS"]),
    ({"TOKEN_KEYS": f"{OTHER_KEY},{KEY}", "DIGEST_KEY": KEY}, ["TOKEN_KEYS"]),
    (
        {"KRATOS_ADMIN_TOKEN": "hunter2", "KRATOS_ADMIN_URL": "http://u:hunter2@h"},
        ["KRATOS_ADMIN_TOKEN"],
    ),
    ({"TLS_CERT": "/nowhere/at-all", "TLS_KEY": "/etc/hosts"}, ["TLS_CERT"]),
    ({"TLS_CERT": "/etc/hosts", "TLS_KEY": "/nowhere/at-all"}, ["TLS_KEY"]),
    ({"TLS_KEY": "/etc/hosts"}, ["TLS_CERT"]),
    ({"PASSWORD_MIN_LENGTH": "40", "PASSWORD_MAX_BYTES": "39"}, ["PASSWORD_MAX_BYTES"]),
    ({"CODE_TTL": "soon", "LISTEN": "0.0.0.0:1"}, ["CODE_TTL", "LISTEN"]),
    (
        {"LISTEN": "nowhere", "HOOK_LISTEN": "0.0.0.0:9465"},
        ["LISTEN", "HOOK_LISTEN", "HOOK_LISTEN"],
    ),
    (
        {"HOOK_LISTEN": "0.0.0.0:9465", "HOOK_KEY": "hunter2"},
        ["HOOK_KEY", "HOOK_LISTEN"],
    ),
    ({"HOOK_LISTEN": "0.0.0.0:9465", "INSECURE": "true"}, ["HOOK_LISTEN"]),
    ({"HOOK_LISTEN": "0.0.0.0:9465", "HOOK_KEY": HOOK_KEY}, ["HOOK_LISTEN"]),
    ({"HOOK_KEY": f"{HOOK_KEY},"}, ["HOOK_KEY"]),
    ({"HOOK_TLS_KEY": "/etc/hosts"}, ["HOOK_TLS_CERT"]),
    (
        {"HOOK_TLS_CERT": "/nowhere/at-all", "HOOK_TLS_KEY": "/etc/hosts"},
        ["HOOK_TLS_CERT"],
    ),
    ({"HOOK_KEY": HOOK_KEY, "HOOK_KEY_FILE": "/etc/hosts"}, ["HOOK_KEY_FILE"]),
    (
        {"LISTEN": "0.0.0.0:1", "HOOK_LISTEN": "0.0.0.0:2", "TOKEN_KEYS": KEY},
        ["LISTEN", "HOOK_LISTEN", "HOOK_LISTEN", "TOKEN_KEYS"],
    ),
    (
        {"LISTEN": "x", "TOKEN_KEYS": "x", "NONSENSE": "x", "HOOK_KEY_FILE": "/x"},
        ["LISTEN", "HOOK_KEY_FILE", "TOKEN_KEYS", "NONSENSE"],
    ),
]


def given(values: Mapping[str, str], config: Path | None = None) -> Settings:
    """Load with these variables in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"SIGNUPD_{name}", value)
        return load(config)


def mistakes(values: Mapping[str, str], config: Path | None = None) -> list[str]:
    """Load what cannot be loaded; return the lines."""
    with pytest.raises(SettingsInvalidError) as caught:
        given(values, config)
    return caught.value.mistakes


def names(lines: list[str]) -> list[str]:
    """Return the names that lines begin with, without the prefix."""
    return [re.split("[:,]", line.removeprefix("SIGNUPD_"))[0] for line in lines]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("SIGNUPD_")]:
        monkeypatch.delenv(name)
    return tmp_path


def toml(folder: Path, text: str) -> Path:
    """Write a TOML file."""
    (folder / "c.toml").write_text(text)
    return folder / "c.toml"


def test_defaults() -> None:
    """docs/configuration.md lists all settings, in their order, with their defaults."""
    rows = re.findall(
        r"^\| ([A-Z_]+) \| (.+?) \|", CONFIGURATION.read_text(), re.MULTILINE
    )
    unset = {name.lower() for name, text in rows if text in UNSET}
    documented = {name.lower(): text for name, text in rows if text not in UNSET}

    assert [name.lower() for name, _ in rows] == [*Settings.model_fields]
    assert Settings.model_validate(documented) == given({})
    assert not any(getattr(given({}), name) for name in unset)


@pytest.mark.parametrize(("values", "expected"), MISTAKES)
def test_mistakes(values: dict[str, str], expected: list[str]) -> None:
    """Each mistake is one line, with the setting's name and never its value."""
    lines = mistakes(values)

    assert expected == names(lines)
    assert all(re.match(r"SIGNUPD_[A-Z_, ]+: .+", line) for line in lines)
    secrets = ("hunter2", "secret", KEY[:8], "400d", "\u00b2", f" {len('hunter2')} ")
    assert [] == [s for s in secrets for line in lines if s in line.partition(":")[2]]


@pytest.mark.parametrize("url", ["sqlite:///none/x.db", "sqlite:///{0}/none/x.db"])
def test_no_folder(folder: Path, url: str) -> None:
    """A SQLite ledger whose folder is missing is a mistake that names the folder."""
    (said,) = mistakes({"LEDGER_URL": url.format(folder)})

    assert said.startswith(f"SIGNUPD_LEDGER_URL: there is no folder {folder}/none")


def test_two_slashes() -> None:
    """SQLite's file comes after three slashes; two make it a host."""
    (said,) = mistakes({"LEDGER_URL": "sqlite://signupd.db"})

    assert "names a host: write sqlite:/// and the file's path" in said


@pytest.mark.parametrize("value", ["90", "1.5", "true", '"90"', '"soon"'])
def test_durations_have_a_unit(folder: Path, value: str) -> None:
    """In a TOML file too, a duration is a whole number and a unit, or 0."""
    config = toml(folder, f"code_ttl = {value}")
    none = toml(folder.parent, "resend_interval = 0")

    assert 0.0 == given({}, none).resend_interval
    assert [f"{NO_DURATION} ({config}, line 1)"] == mistakes({}, config)


@pytest.mark.parametrize("value", ["true", "3.0", "'1_0'", "'+3'", "6", "[1]"])
def test_whole_numbers(folder: Path, value: str) -> None:
    """A number is digits and within its bounds; true is none."""
    config = toml(folder, f"code_attempts = {value}")
    said = "SIGNUPD_CODE_ATTEMPTS: is not a whole number from 1 to 5"

    assert [f"{said} ({config}, line 1)"] == mistakes({}, config)


def tls(folder: Path, **more: str) -> dict[str, str]:
    """Write certificates, and name their files."""
    files = AUTHORITY.serve_from(folder)
    return {"TLS_CERT": str(files.cert), "TLS_KEY": str(files.key)} | more


def test_tls_mistakes(folder: Path) -> None:
    """What is wrong inside the files is reported with everything else."""
    values = tls(folder, CODE_TTL="soon", CALLERS='{"web": ["SignupService"]}')
    values["KRATOS_CA"] = values["TLS_CERT"]
    (folder / "tls.crt").write_bytes(b"hunter2")
    (folder / "tls.key").write_bytes(b"hunter2")

    assert [
        "SIGNUPD_CALLERS: needs TLS_CLIENT_CA (environment)",
        f"{NO_DURATION} (environment)",
        f"SIGNUPD_KRATOS_CA: {folder}/tls.crt: {NO_PEM}",
        f"SIGNUPD_TLS_CERT: {folder}/tls.crt: {NO_PEM}",
        f"SIGNUPD_TLS_KEY: {folder}/tls.key: holds no private key in PEM (environment)",
    ] == sorted(mistakes(values))


@pytest.mark.parametrize(
    "values",
    [
        *(
            {"LISTEN": local}  # loopback needs no certificate
            for local in ("127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/run/signupd")
        ),
        {"LISTEN": "0.0.0.0:1", "INSECURE": "true"},
        {"HOOK_LISTEN": "0.0.0.0:1", "HOOK_KEY": HOOK_KEY, "INSECURE": "true"},
        {"HOOK_KEY": f"{HOOK_KEY}, another-{HOOK_KEY}"},
        {"METRICS_LISTEN": ""},
        {"LEDGER_URL": "postgresql://h/d", "TOKEN_KEYS": KEY, "DIGEST_KEY": OTHER_KEY},
    ],
)
def test_good(values: dict[str, str]) -> None:
    """These are settings that can be used."""
    assert {name.lower() for name in values} == given(values).model_fields_set


@pytest.mark.parametrize(
    ("name", "value", "read", "written"),
    [
        ("RESEND_INTERVAL", "0s", 0.0, "0s"),
        ("DRAIN_WAIT", "0", 0.0, "0s"),
        ("MAX_CONNECTION_AGE", "0s", 0.0, "0s"),
        ("DRAIN_TIMEOUT", "0s", 0.0, "0s"),
        ("LOG_LEVEL", "INFO", "info", "info"),
        ("LOG_LEVEL", "Warn", "warning", "warning"),
        ("LOG_FORMAT", " Json\n", "json", "json"),
        ("LISTEN", "LocalHost:1", "LocalHost:1", "LocalHost:1"),
        ("LEDGER_URL", "SQLite:///X.db", "sqlite:///X.db", "sqlite:///X.db"),
        ("KRATOS_PUBLIC_URL", "HTTPS://k/P/", "https://k/P", "https://k/P"),
    ],
)
def test_forms(name: str, value: str, read: object, written: str) -> None:
    """Values are read in the forms people have, and shown in ours."""
    settings = given({name: value})

    assert read == getattr(settings, name.lower())
    assert written == settings.model_dump(mode="json")[name.lower()]


def test_tls(folder: Path) -> None:
    """Certificates are enough beyond loopback; CALLERS may be a table in TOML."""
    values = tls(folder, TLS_CLIENT_CA=str(folder / "callers.crt"), LISTEN="[::]:1")
    text = given(values | {"CALLERS": '{"web.example": ["AccountService"]}'})
    table = toml(folder, '[callers]\n"web.example" = ["AccountService"]')

    methods = {"AccountService/GetAccount", "AccountService/BatchGetAccounts"}
    for settings in (text, given(values, table)):
        assert settings.certificate_files is not None
        assert settings.callers is not None
        assert {"web.example": methods} == dict(settings.callers)


@pytest.mark.parametrize(
    ("values", "reflects"),
    [
        ({}, True),
        ({"REFLECTION": "false"}, False),
        ({"LISTEN": "0.0.0.0:1", "INSECURE": "1"}, False),
        ({"LISTEN": "0.0.0.0:1", "INSECURE": "1", "REFLECTION": "true"}, True),
    ],
)
def test_reflection(values: dict[str, str], *, reflects: bool) -> None:
    """Reflection is on where only this machine can call, unless it is set."""
    assert reflects is given(values).reflects


@pytest.mark.parametrize("in_toml", [True, False])
def test_keys(folder: Path, *, in_toml: bool) -> None:
    """Keys are in base64, in order, with spaces around commas; in TOML also a list."""
    values, config = (
        {"TOKEN_KEYS": f"{KEY}, {OTHER_KEY}", "DIGEST_KEY": THIRD_KEY},
        None,
    )
    if in_toml:
        keys = f'token_keys = ["{KEY}", "{OTHER_KEY}"]'
        values, config = {}, toml(folder, f'{keys}\ndigest_key = "{THIRD_KEY}"')
    settings = given(values, config)

    token_keys = [key.get_secret_value() for key in settings.token_keys]
    assert [b"\1" * 32, b"\2" * 32] == token_keys
    assert settings.digest_key
    assert b"\3" * 32 == settings.digest_key.get_secret_value()


def test_precedence(folder: Path) -> None:
    """The environment comes before .env, and that before the TOML file."""
    text = 'code_ttl = "1m"\npassword_ttl = "1m"\nretention = "1m"'
    (folder / ".env").write_text("SIGNUPD_CODE_TTL=2m\nSIGNUPD_PASSWORD_TTL=2m\n")
    settings = given({"CODE_TTL": "3m"}, toml(folder, text))

    assert [180, 120, 60] == [
        settings.code_ttl,
        settings.password_ttl,
        settings.retention,
    ]


@pytest.mark.parametrize(
    "name", ["code_attempts", "CODE_ATTEMPTS", "SIGNUPD_CODE_ATTEMPTS"]
)
def test_toml_names(folder: Path, name: str) -> None:
    """Case does not matter; a TOML file may omit the prefix and hold numbers."""
    assert 3 == given({}, toml(folder, f"{name} = 3")).code_attempts
    assert 4 == given({"code_attempts": "4"}).code_attempts


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("c.toml", b"a = 1\nlisten = hunter2\n", ", line 2, column 10: is not TOML"),
        ("c.toml", b"a = 'hunter2\nb = 1\n", f": is not TOML: {UNCLOSED}"),
        ("c.toml", b"a = 1\na = 2\n", ", line 2, column 6: sets a name twice"),
        ("c.toml", b"[a]\nb = 2\n[a]\n", ", line 3, column 3: sets a name twice"),
        ("c.toml", b"a = 1\n\n\xff", ", line 3: is not UTF-8"),
        ("c.toml", b"a = " + b"[" * 5000, ": is nested too deeply"),
        ("c.toml", None, ": No such file or directory"),
        (".env", b"A=1\nSIGNUPD_HOOK_KEY=\xff\xfe\n", ", line 2: is not UTF-8"),
        (".env", b"A=1\nexport SIGNUPD\n", ", line 2: is not NAME=value"),
        (".env", b"A=1\nSIGNUPD_HOOK_KEY='hunter2\n", ", line 2: is not NAME=value"),
    ],
)
def test_unreadable(folder: Path, file: str, content: bytes | None, line: str) -> None:
    """A source that cannot be read is one mistake, with its place, among the others.

    What it may have said is not missed.
    """
    config = None if file == ".env" else folder / file
    if content is not None:
        (folder / file).write_bytes(content)
    source = file if config is None else f"--config: {config}"
    values = {"CODE_TTL": "soon", "LEDGER_URL": "postgresql://h/d"}

    assert [f"{source}{line}", f"{NO_DURATION} (environment)"] == mistakes(
        values, config
    )


def test_byte_order_mark(folder: Path) -> None:
    """A file of a Windows editor is read from its first setting on."""
    (folder / ".env").write_text("SIGNUPD_CODE_TTL=2m\n", "utf-8-sig")
    (folder / "c.toml").write_text('password_ttl = "3m"\n', "utf-8-sig")
    settings = given({}, folder / "c.toml")

    assert [120, 180] == [settings.code_ttl, settings.password_ttl]


def test_places(folder: Path) -> None:
    """Each mistake names the source, and the line in it, that takes precedence."""
    text = "# code_ttl = 1\nlistem = 1\n'password_ttl' = 1\n[callers]\nx = []\n"
    config = toml(folder, f"{text}[retention]\n")
    dotenv = "CODE_TTL=1\nexport SIGNUPD_CODE_TTL = 1\nSIGNUPD_RETENTION=1\nSIGNUPD_=1"
    (folder / ".env").write_text(dotenv)
    found = mistakes({"RETENTION": "x", "TLS_KEY": "/etc/hosts"}, config)

    assert {
        "CODE_TTL": ".env, line 2",
        "PASSWORD_TTL": f"{config}, line 3",
        "LISTEM": f"{config}, line 2",
        "CALLERS": f"{config}, line 4",
        "RETENTION": "environment",
        "TLS_CERT": "environment",
        "": ".env, line 4",
    } == {names([line])[0]: line[line.rindex("(") + 1 : -1] for line in found}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    ],
)
def test_odd_dotenv(folder: Path, make: Callable[[Path], None], said: str) -> None:
    """A ``.env`` that cannot be read is a mistake, not one that is not there."""
    make(folder / ".env")

    assert [f".env: {said}"] == mistakes({})


def test_spellings(folder: Path) -> None:
    """A setting that a source has in two spellings is a mistake: which one counts?"""
    config = toml(folder, "code_attempts = 1\nSIGNUPD_CODE_ATTEMPTS = 2\n")
    (folder / ".env").write_text("SIGNUPD_RETENTION=1d\nsignupd_retention=2d\n")
    found = mistakes({"SWEEP_BATCH": "1", "sweep_batch": "2"}, config)

    assert [
        f"SIGNUPD_CODE_ATTEMPTS: is set in two spellings ({config}, line 2)",
        "SIGNUPD_RETENTION: is set in two spellings (.env, line 2)",
        "SIGNUPD_SWEEP_BATCH: is set in two spellings (environment)",
    ] == found


def test_dollar(folder: Path) -> None:
    """A secret in ``.env`` may have a dollar sign in it."""
    (folder / ".env").write_text("SIGNUPD_HOOK_KEY='${HOME}-${NONE:-x}-0123456789'\n")
    (key,) = given({}).hook_key

    assert "${HOME}-${NONE:-x}-0123456789" == key.get_secret_value()


@pytest.mark.parametrize(
    ("value", "said"),
    [("367d", "is more than 366d"), ("0s", "is 0, which means nothing")],
)
def test_spans(value: str, said: str) -> None:
    """A duration that is out of range is told in the notation of durations."""
    (line,) = mistakes({"CODE_TTL": value})

    assert f"CODE_TTL: {said}" in line


def test_number_for_a_key(folder: Path) -> None:
    """A key that is written as a number in TOML is told what it lacks."""
    config = toml(folder, "hook_key = 1234567890123456")

    assert [
        f"SIGNUPD_HOOK_KEY: is not text; put it in quotes ({config}, line 1)"
    ] == mistakes({}, config)


def test_unknown_names(folder: Path) -> None:
    """Unknown names are mistakes wherever they stand."""
    (folder / ".env").write_text("SIGNUPD_LISTEN_2=x\n")
    config = toml(folder, "listem = 1\nport = 2\n[table]\nx = 1")

    assert {"LISTEM", "PORT", "TABLE", "LISTEN_2", "HOOK"} == set(
        names(mistakes({"HOOK": "x"}, config))
    )


NO_SETTINGS = [
    ("SIGNUPD_SERVICE_HOST", "10.0.0.1"),
    ("SIGNUPD_SERVICE_PORT", "50051"),
    ("SIGNUPD_SERVICE_PORT_GRPC", "50051"),
    ("SIGNUPD_PORT", "tcp://10.0.0.1:50051"),
    ("SIGNUPD_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
    ("SIGNUPD_PORT_50051_TCP_PROTO", "tcp"),
    ("SIGNUPD_PORT_50051_TCP_PORT", "50051"),
    ("SIGNUPD_PORT_50051_TCP_ADDR", "10.0.0.1"),
    ("SIGNUPD_HOOK_LISTEN_PORT", "tcp://[2001:db8::1]:9465"),
    ("SIGNUPD_HOOKS_V2_SERVICE_HOST", "10.0.0.1"),
    ("SIGNUPD_HOOKS_V2_PORT_53_UDP_PROTO", "udp"),
]


@pytest.mark.parametrize(
    ("name", "value"), [("LISTEN", "x"), ("SIGNUPD", "x"), *NO_SETTINGS]
)
def test_ignored_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Ignored are names without the prefix, and those that Kubernetes sets."""
    (folder / ".env").write_text("LISTEN=x\n")
    monkeypatch.setenv(name, value)

    assert Settings() == load(None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_PORT", "9464"),
        ("LISTEN_PORT", ""),
        ("PORT", "50051"),
        ("HOOK_SERVICE_PORT", "none"),
        ("PORT_50051_SSH", "tcp://10.0.0.1:1"),
        ("SERVICE_HOSTS", "10.0.0.1"),
        ("LISTEN_PORT_1_TCP", "127.0.0.1:1"),
    ],
)
def test_settings_that_there_are_not(name: str, value: str) -> None:
    """A misspelt setting is a mistake, even if its name ends like Kubernetes' names."""
    assert [name] == names(mistakes({name: value}))


def test_ignored_names_are_logged(folder: Path) -> None:
    """The server names what it ignores in one line, at the level debug only."""
    wrong = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}
    found = []
    for level in ("debug", "info"):
        more = dict(NO_SETTINGS) | wrong | {"SIGNUPD_LOG_LEVEL": level}
        done = subprocess.run(
            [sys.executable, "-m", "signupd", "serve"],
            cwd=folder,
            env=os.environ | more | {"SIGNUPD_LOG_FORMAT": "json"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 2 == done.returncode, done.stderr
        lines = done.stderr.splitlines()
        found.append([json.loads(line) for line in lines if line[0] == "{"])

    (_, told), quiet = found
    assert ("variables_ignored", "debug") == (told["event"], told["level"])
    assert sorted(name for name, _ in NO_SETTINGS) == told["names"]
    assert ["starting"] == [line["event"] for line in quiet]


@pytest.mark.parametrize("name", SECRETS)
def test_secret_files(folder: Path, name: str) -> None:
    """A file may hold a secret; white space around it does not matter."""
    values: dict[str, Any] = {"TOKEN_KEYS": KEY, "DIGEST_KEY": THIRD_KEY}
    values.pop(name.upper(), None)
    (folder / "secret").write_text(f"  {OTHER_KEY}\n")
    settings = given(values | {f"{name.upper()}_FILE": str(folder / "secret")})
    value: Any = getattr(settings, name)

    plain = value[0] if isinstance(value, tuple) else value
    assert plain.get_secret_value() in (OTHER_KEY, b"\2" * 32)


@pytest.mark.parametrize(
    ("file", "value", "used"),
    [
        ('hook_key_file = "nowhere"', {"HOOK_KEY": HOOK_KEY}, HOOK_KEY),
        (f'hook_key = "{HOOK_KEY}"', {"HOOK_KEY_FILE": "secret"}, "of-the-file------"),
    ],
)
def test_secret_of_a_lower_source(
    folder: Path, file: str, value: dict[str, str], used: str
) -> None:
    """NAME and NAME_FILE take precedence over either of them in a lower source."""
    (folder / "secret").write_text("of-the-file------")
    hook_key = given(value, toml(folder, file)).hook_key

    assert [used] == [key.get_secret_value() for key in hook_key]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nowhere/hook-key", "/nowhere/hook-key: No such file or directory"),
        ("{0}/secrets", "{0}/secrets: Is a directory"),
        ("secrets/binary", "secrets/binary, line 2: is not UTF-8"),
        ("secrets/empty", "secrets/empty: is empty"),
        (r"\u0000", "the file that it names in {0}: is not a path"),
        # What may be the secret itself.
        ("hunter2/hunter2", "the file that it names in {0}: No such file or directory"),
        (f"/{KEY[1:]}", "the file that it names in {0}: No such file or directory"),
    ],
)
def test_secret_file_unreadable(folder: Path, path: str, said: str) -> None:
    """A secret's file that cannot be read is named with its setting."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "binary").write_bytes(b"hunter2\n\xff")
    (folder / "secrets" / "empty").write_bytes(b" \n\n")
    config = toml(folder, f'hook_key_file = "{path.format(folder)}"')
    (line,) = mistakes({}, config)

    where = f"({config}, line 1)"
    assert f"SIGNUPD_HOOK_KEY_FILE: {said.format(folder)} {where}" == line


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"KRATOS_ADMIN_URL": "http://kratos.example:4434"}, ["KRATOS_ADMIN_URL"]),
        ({"KRATOS_PUBLIC_URL": "http://[2001:db8::1]"}, ["KRATOS_PUBLIC_URL"]),
        ({"KRATOS_PUBLIC_URL": "http://localhost:4433"}, []),
        ({"KRATOS_ADMIN_URL": "https://kratos.example"}, []),
    ],
)
def test_plaintext_to_kratos(
    given: dict[str, str], warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plaintext to Kratos beyond loopback is warned of, by the setting's name."""
    for name, value in given.items():
        monkeypatch.setenv(f"SIGNUPD_{name}", value)
    lines = [*load(None).warnings()]

    assert [f"SIGNUPD_{name}" for name in warned] == [
        line.partition(":")[0] for line in lines
    ]


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        (f"SIGNUPD_HOOK_KEY={HOOK_KEY}", 0o644, True),
        (f"SIGNUPD_HOOK_KEY={HOOK_KEY}", 0o640, False),
        ("SIGNUPD_LOG_LEVEL=info", 0o644, False),
    ],
)
def test_secrets_that_others_can_read(
    text: str, mode: int, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ``.env`` with secrets that other users can read is warned of."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(text)
    Path(".env").chmod(mode)

    assert warned == any(line.startswith(".env:") for line in load(None).warnings())

"""The settings: defaults, mistakes, precedence."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import pytest
from signupd.notation import is_loopback
from signupd.settings import SECRETS, Settings, SettingsInvalidError, load

from tests.doubles.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
AUTHORITY = Authority()
HOOK_KEY = "sixteen-or-more-characters"

# As the contract's table has them, of those that this version knows.
DEFAULTS = {
    "listen": "127.0.0.1:50051",
    "insecure": False,
    "hook_listen": "127.0.0.1:9465",
    "hook_key": None,
    "metrics_listen": "127.0.0.1:9464",
    "kratos_public_url": "http://127.0.0.1:4433",
    "kratos_admin_url": "http://127.0.0.1:4434",
    "kratos_ca": None,
    "kratos_admin_token": None,
    "kratos_timeout": 10,
    "identity_schema_id": None,
    "ledger_url": "sqlite:///signupd.db",
    "token_keys": (),
    "digest_key": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_client_ca": None,
    "callers": None,
    "code_ttl": 15 * 60,
    "password_ttl": 30 * 60,
    "code_attempts": 5,
    "password_attempts": 20,
    "resend_interval": 60,
    "sends_per_signup": 5,
    "sends_per_address": 5,
    "sends_refill": 1800,
    "sends_per_ip_per_hour": 60,
    "password_min_length": 8,
    "password_max_bytes": 72,
    "sweep_interval": 30,
    "sweep_batch": 100,
    "retention": 30 * 86400,
    "max_concurrent_rpcs": 256,
    "drain_seconds": 20,
    "reflection": None,
    "log_format": None,
    "log_level": "info",
}

# Each with the name that its line begins with.
MISTAKES = [
    ({"LISTEN": "secret-port"}, "LISTEN"),
    ({"LISTEN": "127.0.0.1"}, "LISTEN"),
    ({"LISTEN": ":50051"}, "LISTEN"),
    ({"LISTEN": "127.0.0.1:65536"}, "LISTEN"),
    ({"LISTEN": "127.0.0.1:-1"}, "LISTEN"),
    ({"LISTEN": "unix:"}, "LISTEN"),
    ({"LISTEN": "0.0.0.0:50051"}, "LISTEN"),
    ({"LISTEN": "[::]:50051"}, "LISTEN"),
    ({"LISTEN": "signup.example:50051"}, "LISTEN"),
    ({"INSECURE": "maybe"}, "INSECURE"),
    ({"HOOK_LISTEN": "unix:/run/hooks"}, "HOOK_LISTEN"),
    ({"HOOK_LISTEN": "9465"}, "HOOK_LISTEN"),
    ({"HOOK_LISTEN": "0.0.0.0:9465"}, "HOOK_LISTEN"),
    ({"HOOK_KEY": "hunter2"}, "HOOK_KEY"),
    ({"KRATOS_PUBLIC_URL": "127.0.0.1:4433"}, "KRATOS_PUBLIC_URL"),
    ({"KRATOS_PUBLIC_URL": "ftp://x"}, "KRATOS_PUBLIC_URL"),
    ({"KRATOS_PUBLIC_URL": "http://"}, "KRATOS_PUBLIC_URL"),
    ({"KRATOS_PUBLIC_URL": "http://x:99999"}, "KRATOS_PUBLIC_URL"),
    ({"KRATOS_PUBLIC_URL": "http://x:y"}, "KRATOS_PUBLIC_URL"),
    ({"KRATOS_ADMIN_URL": "http://x/?secret=1"}, "KRATOS_ADMIN_URL"),
    ({"KRATOS_ADMIN_URL": "http://x y"}, "KRATOS_ADMIN_URL"),
    ({"KRATOS_TIMEOUT": "10"}, "KRATOS_TIMEOUT"),
    ({"KRATOS_TIMEOUT": "0s"}, "KRATOS_TIMEOUT"),
    ({"KRATOS_TIMEOUT": "-1s"}, "KRATOS_TIMEOUT"),
    ({"KRATOS_TIMEOUT": "1.5s"}, "KRATOS_TIMEOUT"),
    ({"LEDGER_URL": "signupd.db"}, "LEDGER_URL"),
    ({"LEDGER_URL": "sqlite://"}, "LEDGER_URL"),
    ({"LEDGER_URL": "postgresql://u:hunter2@h/d"}, "TOKEN_KEYS"),
    ({"LEDGER_URL": "mysql://u:hunter2@h/d"}, "LEDGER_URL"),
    ({"TOKEN_KEYS": "hunter2", "DIGEST_KEY": KEY}, "TOKEN_KEYS"),
    ({"TOKEN_KEYS": f"{KEY},", "DIGEST_KEY": KEY}, "TOKEN_KEYS"),
    ({"TOKEN_KEYS": KEY[:-8], "DIGEST_KEY": KEY}, "TOKEN_KEYS"),
    ({"TOKEN_KEYS": KEY, "DIGEST_KEY": "hunter2"}, "DIGEST_KEY"),
    ({"TOKEN_KEYS": KEY}, "TOKEN_KEYS"),
    ({"DIGEST_KEY": KEY}, "TOKEN_KEYS"),
    ({"TLS_CERT": "/nowhere/secret", "TLS_KEY": "/etc/hosts"}, "TLS_CERT"),
    ({"TLS_CERT": "/etc/hosts", "TLS_KEY": "/nowhere/secret"}, "TLS_KEY"),
    ({"TLS_CERT": "/etc/hosts"}, "TLS_CERT"),
    ({"TLS_KEY": "/etc/hosts"}, "TLS_CERT"),
    ({"TLS_CLIENT_CA": "/etc/hosts"}, "TLS_CLIENT_CA"),
    ({"TLS_CLIENT_CA": "/nowhere/secret"}, "TLS_CLIENT_CA"),
    ({"CALLERS": "hunter2"}, "CALLERS"),
    ({"CALLERS": '{"hunter2": ["secret"]}'}, "CALLERS"),
    ({"CALLERS": '{"web.example": ["SignupService"]}'}, "CALLERS"),
    ({"CODE_TTL": "soon"}, "CODE_TTL"),
    ({"CODE_TTL": "400d"}, "CODE_TTL"),
    ({"PASSWORD_TTL": ""}, "PASSWORD_TTL"),
    ({"CODE_ATTEMPTS": "6"}, "CODE_ATTEMPTS"),
    ({"CODE_ATTEMPTS": "0"}, "CODE_ATTEMPTS"),
    ({"PASSWORD_ATTEMPTS": "many"}, "PASSWORD_ATTEMPTS"),
    ({"RESEND_INTERVAL": "60"}, "RESEND_INTERVAL"),
    ({"SENDS_PER_SIGNUP": "0"}, "SENDS_PER_SIGNUP"),
    ({"SENDS_PER_ADDRESS": "0"}, "SENDS_PER_ADDRESS"),
    ({"SENDS_REFILL": "0s"}, "SENDS_REFILL"),
    ({"SENDS_PER_IP_PER_HOUR": "0"}, "SENDS_PER_IP_PER_HOUR"),
    ({"PASSWORD_MIN_LENGTH": "7"}, "PASSWORD_MIN_LENGTH"),
    ({"PASSWORD_MAX_BYTES": "7"}, "PASSWORD_MAX_BYTES"),
    ({"PASSWORD_MIN_LENGTH": "40", "PASSWORD_MAX_BYTES": "39"}, "PASSWORD_MAX_BYTES"),
    ({"DRAIN_SECONDS": "-1"}, "DRAIN_SECONDS"),
    ({"REFLECTION": "perhaps"}, "REFLECTION"),
    ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
    ({"LOG_LEVEL": "trace"}, "LOG_LEVEL"),
    ({"LISTEM": "127.0.0.1:1"}, "LISTEM"),
    ({"METRICS_LISTEN": "unix:/run/m"}, "METRICS_LISTEN"),
    ({"SWEEP_INTERVAL": "0s"}, "SWEEP_INTERVAL"),
    ({"SWEEP_BATCH": "0"}, "SWEEP_BATCH"),
    ({"RETENTION": "1w"}, "RETENTION"),
]


def prefixed(given: Mapping[str, str]) -> dict[str, str]:
    """Write settings as the environment has them."""
    return {f"SIGNUPD_{name}": value for name, value in given.items()}


def given(values: Mapping[str, str], config: Path | None = None) -> Settings:
    """Load with this environment."""
    return load(config, prefixed(values))


def mistakes(values: Mapping[str, str], config: Path | None = None) -> list[str]:
    """Load what cannot be loaded; give the lines."""
    with pytest.raises(SettingsInvalidError) as caught:
        given(values, config)
    return caught.value.mistakes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own: a .env file is looked for where one stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults() -> None:
    """Without any setting all is as the contract's table says."""
    assert DEFAULTS == given({}).model_dump()


@pytest.mark.parametrize(("values", "name"), MISTAKES)
def test_mistakes(values: dict[str, str], name: str) -> None:
    """A mistake is told in one line, with the setting's name and never its value."""
    (line,) = mistakes(values)

    assert re.match(rf"SIGNUPD_{name}\b.*: .+", line)
    assert [] == [v for v in ("hunter2", "secret", KEY[:8], "400d") if v in line]


def test_all_mistakes_at_once() -> None:
    """Every field's mistake is told, and every name that nobody knows."""
    lines = mistakes(
        {
            "LISTEN": "x",
            "CODE_TTL": "soon",
            "CODE_ATTEMPTS": "9",
            "TOKEN_KEYS": "x",
            "NONSENSE": "x",
            "HOOK_KEY_FILE": "/nowhere",
        }
    )

    assert [
        "CODE_ATTEMPTS",
        "CODE_TTL",
        "HOOK_KEY_FILE",
        "LISTEN",
        "NONSENSE",
        "TOKEN_KEYS",
    ] == sorted(line.removeprefix("SIGNUPD_").partition(":")[0] for line in lines)


def test_mistakes_together() -> None:
    """What is right alone and wrong together is told at once too."""
    lines = mistakes(
        {
            "LISTEN": "0.0.0.0:1",
            "HOOK_LISTEN": "0.0.0.0:2",
            "TOKEN_KEYS": KEY,
            "PASSWORD_MIN_LENGTH": "40",
            "PASSWORD_MAX_BYTES": "39",
        }
    )

    assert 4 == len(lines)


def test_mistakes_of_both_kinds() -> None:
    """A field's mistake does not hide what is wrong together."""
    lines = mistakes({"CODE_TTL": "soon", "LISTEN": "0.0.0.0:1"})

    assert ["SIGNUPD_CODE_TTL", "SIGNUPD_LISTEN"] == sorted(
        line.partition(":")[0] for line in lines
    )


def test_plaintext_beyond_loopback() -> None:
    """Beyond loopback plaintext has to be asked for, and the hooks need their key."""
    insecure = given({"LISTEN": "0.0.0.0:1", "INSECURE": "true"})
    hooked = given({"HOOK_LISTEN": "0.0.0.0:1", "HOOK_KEY": HOOK_KEY})

    assert (False, False) == (insecure.listens_locally, insecure.reflects)
    assert "0.0.0.0:1" == hooked.hook_listen


def tls(folder: Path, **more: str) -> dict[str, str]:
    """Lay out certificates, and name them."""
    files = AUTHORITY.serve_from(folder)
    named = {"TLS_CERT": files.cert, "TLS_KEY": files.key}
    return {name: str(path) for name, path in named.items()} | more


def test_tls_beyond_loopback(folder: Path) -> None:
    """With a certificate nothing more is needed beyond loopback."""
    settings = given(tls(folder, LISTEN="0.0.0.0:1"))

    assert settings.certificate_files is not None
    assert settings.certificate_files.client_ca is None


def test_plaintext_has_no_certificate() -> None:
    """Without one of the two files there is no certificate to serve with."""
    assert None is given({}).certificate_files


def test_callers(folder: Path) -> None:
    """CALLERS goes with a client CA; in the TOML file it may be a table."""
    values = tls(folder, TLS_CLIENT_CA=str(folder / "callers.crt"))
    (folder / "c.toml").write_text('[callers]\n"web.example" = ["AccountService"]')
    text = given(values | {"CALLERS": '{"web.example": ["AccountService"]}'})
    table = given(values, folder / "c.toml")

    methods = frozenset(
        {"AccountService/GetAccount", "AccountService/BatchGetAccounts"}
    )
    expected = {"web.example": methods}
    assert expected == text.callers == table.callers


def test_tls_mistakes_together(folder: Path) -> None:
    """What is wrong inside the files is told with everything else."""
    values = tls(folder, CODE_TTL="soon", CALLERS='{"web": ["SignupService"]}')
    (folder / "tls.crt").write_bytes(b"hunter2")
    (folder / "tls.key").write_bytes(b"hunter2")

    assert [
        "SIGNUPD_CALLERS: needs TLS_CLIENT_CA, for certificates to name",
        "SIGNUPD_CODE_TTL: is not a duration such as 90s, 15m or 24h",
        "SIGNUPD_TLS_CERT: holds no certificate in PEM",
        "SIGNUPD_TLS_KEY: holds no private key in PEM",
    ] == sorted(mistakes(values))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/signupd", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
        ("[::ffff:10.0.0.1]:1", False),
    ],
)
def test_loopback(address: str, *, local: bool) -> None:
    """Loopback is what only this machine can reach."""
    assert local is is_loopback(address)


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
    """Reflection is on where only this machine can ask, unless said otherwise."""
    assert reflects is given(values).reflects


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90), ("15m", 900), ("24h", 86400), ("30d", 2592000)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations have their unit."""
    assert seconds == given({"CODE_TTL": text}).code_ttl


def test_keys() -> None:
    """Keys are read from base64, the first first; spaces between them do not matter."""
    settings = given({"TOKEN_KEYS": f"{KEY}, {OTHER_KEY}", "DIGEST_KEY": KEY})

    assert [b"\1" * 32, b"\2" * 32] == [
        key.get_secret_value() for key in settings.token_keys
    ]
    assert settings.digest_key is not None
    assert b"\1" * 32 == settings.digest_key.get_secret_value()


def test_url_without_its_slash() -> None:
    """A slash at a URL's end is dropped; a path stays."""
    settings = given({"KRATOS_PUBLIC_URL": "https://k.example/public/"})

    assert "https://k.example/public" == settings.kratos_public_url


def test_url_of_an_international_host() -> None:
    """A host is written as it goes over the wire."""
    settings = given({"KRATOS_PUBLIC_URL": "https://b\u00fccher.example:8443/p"})

    assert "https://xn--bcher-kva.example:8443/p" == settings.kratos_public_url


def test_nothing_secret_is_shown() -> None:
    """Neither repr nor a dump in JSON shows a secret."""
    settings = given(
        {
            "HOOK_KEY": HOOK_KEY,
            "KRATOS_ADMIN_TOKEN": "hunter2",
            "TOKEN_KEYS": KEY,
            "DIGEST_KEY": OTHER_KEY,
        }
    )
    text = repr(settings) + settings.model_dump_json()

    secrets = [HOOK_KEY, "hunter2", KEY[:8], OTHER_KEY[:8], r"\x01\x01", r"\x02\x02"]
    assert [] == [secret for secret in secrets if secret in text]


def test_precedence(folder: Path) -> None:
    """The environment goes before .env, and that before the TOML file."""
    (folder / "c.toml").write_text(
        'code_ttl = "1m"\npassword_ttl = "1m"\nlisten = "[::1]:1"'
    )
    (folder / ".env").write_text("SIGNUPD_CODE_TTL=2m\nSIGNUPD_PASSWORD_TTL=2m\n")
    settings = given({"CODE_TTL": "3m"}, folder / "c.toml")

    assert (180, 120, "[::1]:1") == (
        settings.code_ttl,
        settings.password_ttl,
        settings.listen,
    )


@pytest.mark.parametrize(
    "name", ["code_attempts", "CODE_ATTEMPTS", "SIGNUPD_CODE_ATTEMPTS"]
)
def test_toml_names(folder: Path, name: str) -> None:
    """In the TOML file a name may lack its prefix; numbers may be numbers."""
    (folder / "c.toml").write_text(f"{name} = 3")

    assert 3 == given({}, folder / "c.toml").code_attempts


@pytest.mark.parametrize("content", [b"listen = ", b"\xff", None])
def test_toml_unreadable(folder: Path, content: bytes | None) -> None:
    """A TOML file that cannot be read is one mistake among the others."""
    if content is not None:
        (folder / "c.toml").write_bytes(content)
    lines = mistakes({"CODE_TTL": "soon"}, folder / "c.toml")

    assert ["--config", "SIGNUPD_CODE_TTL"] == [
        line.partition(":")[0] for line in lines
    ]


def test_toml_unknown_names(folder: Path) -> None:
    """Names that nobody knows are told from there too."""
    (folder / "c.toml").write_text("listem = 1\n[table]\nx = 1")

    assert ["SIGNUPD_LISTEM", "SIGNUPD_TABLE"] == [
        line.partition(":")[0] for line in mistakes({}, folder / "c.toml")
    ]


def test_toml_keys_as_a_list(folder: Path) -> None:
    """A list of keys, as TOML invites to, is read as keys are elsewhere."""
    keys = f'token_keys = ["{KEY}", "{OTHER_KEY}"]'
    (folder / "c.toml").write_text(f'{keys}\ndigest_key = "{KEY}"')
    settings = given({}, folder / "c.toml")

    assert [b"\1" * 32, b"\2" * 32] == [
        key.get_secret_value() for key in settings.token_keys
    ]


def test_other_variables_are_left_alone() -> None:
    """Variables without the prefix are nobody's business here."""
    assert DEFAULTS == load(None, {"LISTEN": "x", "PATH": "y"}).model_dump()


def test_names_in_small_letters() -> None:
    """Names are read in any letter case."""
    assert 3 == load(None, {"signupd_code_attempts": "3"}).code_attempts


@pytest.mark.parametrize("name", SECRETS)
def test_secret_files(folder: Path, name: str) -> None:
    """Each secret may stand in a file; spaces and line ends around it do not matter."""
    values: dict[str, Any] = {"TOKEN_KEYS": KEY, "DIGEST_KEY": KEY}
    values.pop(name.upper(), None)
    (folder / "secret").write_text(f"  {OTHER_KEY}\n")
    settings = given(values | {f"{name.upper()}_FILE": str(folder / "secret")})
    value: Any = getattr(settings, name)

    plain = value[0] if isinstance(value, tuple) else value
    assert plain.get_secret_value() in (OTHER_KEY, b"\2" * 32)


def test_secret_and_its_file(folder: Path) -> None:
    """A secret that is given twice in one place is a mistake."""
    (folder / "secret").write_text(HOOK_KEY)
    lines = mistakes({"HOOK_KEY": HOOK_KEY, "HOOK_KEY_FILE": str(folder / "secret")})

    assert ["SIGNUPD_HOOK_KEY_FILE: SIGNUPD_HOOK_KEY is given too"] == lines


def test_secret_before_a_lower_file(folder: Path) -> None:
    """A secret of a higher place goes before a file that a lower one names."""
    (folder / "secret").write_text("from-the-file-----")
    (folder / "c.toml").write_text(f'hook_key_file = "{folder / "secret"}"')
    by_value = given({"HOOK_KEY": HOOK_KEY}, folder / "c.toml")
    (folder / "c.toml").write_text(f'hook_key = "{HOOK_KEY}"')
    by_file = given({"HOOK_KEY_FILE": str(folder / "secret")}, folder / "c.toml")

    assert [HOOK_KEY, "from-the-file-----"] == [
        settings.hook_key.get_secret_value()
        for settings in (by_value, by_file)
        if settings.hook_key
    ]


@pytest.mark.parametrize("content", [None, b"\xff\xff"])
def test_secret_file_unreadable(folder: Path, content: bytes | None) -> None:
    """A secret's file that cannot be read is told by its setting."""
    if content is not None:
        (folder / "secret").write_bytes(content)
    (line,) = mistakes({"HOOK_KEY_FILE": str(folder / "secret")})

    assert line.startswith("SIGNUPD_HOOK_KEY_FILE: cannot be read")

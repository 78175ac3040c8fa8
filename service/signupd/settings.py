"""The settings: what they are, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from signupd.certificates import (
    CertificateFiles,
    CertificatesUnusable,
    read_certificates,
)
from signupd.ledger.database import sqlite_file
from signupd.notation import (
    Address,
    Grants,
    HookKey,
    Key,
    Keys,
    LedgerUrl,
    MetricsAddress,
    ReadableFile,
    Seconds,
    TcpAddress,
    Url,
    is_loopback,
)
from signupd.sources import PREFIX, Given, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# These may stand in a file of their own, named by NAME_FILE.
SECRETS: Final = ("hook_key", "kratos_admin_token", "token_keys", "digest_key")


class SettingsInvalidError(Exception):
    """The settings cannot be used; one line a mistake, none with a value in it."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseModel):
    """Names, meanings and defaults are the contract's (docs/configuration.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    listen: Address = "127.0.0.1:50051"
    insecure: bool = False
    hook_listen: TcpAddress = "127.0.0.1:9465"
    hook_key: HookKey | None = None
    metrics_listen: MetricsAddress = "127.0.0.1:9464"
    kratos_public_url: Url = "http://127.0.0.1:4433"
    kratos_admin_url: Url = "http://127.0.0.1:4434"
    kratos_ca: ReadableFile | None = None
    kratos_admin_token: SecretStr | None = None
    kratos_timeout: Seconds = 10.0
    identity_schema_id: Annotated[str, Field(min_length=1, max_length=256)] | None = (
        None
    )
    ledger_url: LedgerUrl = "sqlite:///signupd.db"
    token_keys: Keys = ()
    digest_key: Key | None = None
    tls_cert: ReadableFile | None = None
    tls_key: ReadableFile | None = None
    tls_client_ca: ReadableFile | None = None
    callers: Grants | None = None
    code_ttl: Seconds = 900.0
    password_ttl: Seconds = 1800.0
    # Kratos takes five codes on a flow and refuses even the right one after that.
    code_attempts: Annotated[int, Field(ge=1, le=5)] = 5
    password_attempts: Annotated[int, Field(ge=1, le=1000)] = 20
    resend_interval: Seconds = 60.0
    sends_per_signup: Annotated[int, Field(ge=1, le=100)] = 5
    sends_per_address: Annotated[int, Field(ge=1, le=1000)] = 5
    sends_refill: Seconds = 1800.0
    sends_per_ip_per_hour: Annotated[int, Field(ge=1, le=100_000)] = 60
    # Kratos demands 8 itself; SP 800-63B, 3.1.1.2, no less.
    password_min_length: Annotated[int, Field(ge=8, le=72)] = 8
    password_max_bytes: Annotated[int, Field(ge=8, le=1024)] = 72
    sweep_interval: Seconds = 30.0
    sweep_batch: Annotated[int, Field(ge=1, le=10_000)] = 100
    retention: Seconds = 30 * 86400.0
    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=65_536)] = 256
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 20.0
    reflection: bool | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _together(self) -> Settings:
        """Refuse what is right alone and wrong together."""
        mistakes: list[str] = []
        mistakes += self._tls_mistakes()
        if not (self.listens_locally or self.insecure or self.tls_cert):
            mistakes.append(
                "LISTEN: beyond loopback it needs TLS_CERT and TLS_KEY, or "
                "INSECURE=true for plaintext"
            )
        if not is_loopback(self.hook_listen) and self.hook_key is None:
            mistakes.append("HOOK_LISTEN: beyond loopback it needs a HOOK_KEY")
        if bool(self.token_keys) != (self.digest_key is not None):
            mistakes.append("TOKEN_KEYS, DIGEST_KEY: give both or neither")
        if sqlite_file(self.ledger_url) is None and self.digest_key is None:
            mistakes.append("TOKEN_KEYS, DIGEST_KEY: PostgreSQL demands both")
        if self.password_max_bytes < self.password_min_length:
            mistakes.append("PASSWORD_MAX_BYTES: is less than PASSWORD_MIN_LENGTH")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _tls_mistakes(self) -> list[str]:
        mistakes = []
        if (self.tls_cert is None) != (self.tls_key is None):
            mistakes.append("TLS_CERT, TLS_KEY: give both or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            mistakes.append("TLS_CLIENT_CA: needs TLS_CERT and TLS_KEY")
        if self.callers is not None and self.tls_client_ca is None:
            mistakes.append("CALLERS: needs TLS_CLIENT_CA, for certificates to name")
        if self.certificate_files is not None:
            try:
                read_certificates(self.certificate_files)
            except CertificatesUnusable as error:
                mistakes += error.faults
        return mistakes

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """Where the server's certificate lies; None where it serves in plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return CertificateFiles(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def listens_locally(self) -> bool:
        """Whether only this machine can reach LISTEN."""
        return is_loopback(self.listen)

    @property
    def reflects(self) -> bool:
        """Whether the server answers reflection."""
        return self.listens_locally if self.reflection is None else self.reflection


def load(config: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: The TOML file, where there is one.
        environ: The environment; the process' own unless given.

    Raises:
        SettingsInvalidError: With every mistake there is, by the setting's name.
    """
    return load_with_sources(config, environ)[0]


def load_with_sources(
    config: Path | None, environ: Mapping[str, str] | None = None
) -> tuple[Settings, dict[str, Given]]:
    """Read the settings as ``load`` does, and tell which were given, and where.

    Raises:
        SettingsInvalidError: With every mistake there is, by the setting's name.
    """
    mistakes: list[str] = []
    given = read(config, environ, SECRETS, mistakes)
    for name in sorted(given.keys() - Settings.model_fields.keys()):
        del given[name]
        mistakes.append(f"{PREFIX}{name.upper()}: this version knows no such setting")
    settings, faults = _validated({name: one.value for name, one in given.items()})
    mistakes += faults
    if settings is None or mistakes:
        raise SettingsInvalidError(mistakes)
    return settings, given


def _validated(given: dict[str, Any]) -> tuple[Settings | None, list[str]]:
    """Validate; where fields are wrong, look at what is wrong together all the same."""
    try:
        return Settings.model_validate(given), []
    except ValidationError as error:
        faults = error.errors()
    lines = [line for fault in faults for line in _lines(fault)]
    wrong = {str(fault["loc"][0]) for fault in faults if fault["loc"]}
    if wrong:
        rest = {name: value for name, value in given.items() if name not in wrong}
        together = _validated(rest)[1]
        lines += [
            line
            for line in together
            if wrong.isdisjoint(
                re.findall("[a-z_]+", line.removeprefix(PREFIX).lower())
            )
        ]
    return None, lines


def _lines(fault: Any) -> list[str]:
    """Put one of pydantic's faults in lines of ours, without the value."""
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return [f"{PREFIX}{line}" for line in message.splitlines()]
    return [f"{PREFIX}{str(fault['loc'][0]).upper()}: {message}"]

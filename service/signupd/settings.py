"""The settings: names, defaults, limits, and what does not go together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
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
from signupd.sources import PREFIX, SECRETS, read

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# A key has 44 bytes in base64.
MAX_SECRET_BYTES: Final = 64 * 1024


class SettingsInvalidError(Exception):
    """The settings cannot be used; one line for each mistake, without any value."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseModel):
    """The settings; docs/configuration.md explains each."""

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
    # Kratos itself demands 8, as SP 800-63B, 3.1.1.2 does.
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

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _read_file(cls, value: object) -> object:
        """Read the file of a secret, for which its path stands."""
        if not isinstance(value, Path):
            return value
        try:
            with value.open(encoding="utf-8") as file:
                return file.read(MAX_SECRET_BYTES).strip()
        except (OSError, ValueError) as error:
            why = type(error).__name__
            raise ValueError(f"its file cannot be read ({why})") from None

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        mistakes = self._tls_mistakes()
        if not (self.listens_locally or self.insecure or self.tls_cert):
            mistakes.append(
                "LISTEN: beyond loopback it needs TLS_CERT and TLS_KEY, or "
                "INSECURE=true for plaintext"
            )
        if not is_loopback(self.hook_listen) and self.hook_key is None:
            mistakes.append("HOOK_LISTEN: beyond loopback it needs a HOOK_KEY")
        if bool(self.token_keys) != (self.digest_key is not None):
            mistakes.append("TOKEN_KEYS, DIGEST_KEY: set both or neither")
        if sqlite_file(self.ledger_url) is None and self.digest_key is None:
            mistakes.append("TOKEN_KEYS, DIGEST_KEY: PostgreSQL needs both")
        if self.password_max_bytes < self.password_min_length:
            mistakes.append("PASSWORD_MAX_BYTES: is less than PASSWORD_MIN_LENGTH")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _tls_mistakes(self) -> list[str]:
        mistakes = []
        if (self.tls_cert is None) != (self.tls_key is None):
            mistakes.append("TLS_CERT, TLS_KEY: set both or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            mistakes.append("TLS_CLIENT_CA: needs TLS_CERT and TLS_KEY")
        if self.callers is not None and self.tls_client_ca is None:
            mistakes.append("CALLERS: needs TLS_CLIENT_CA")
        if self.certificate_files is not None:
            try:
                read_certificates(self.certificate_files)
            except CertificatesUnusable as error:
                mistakes += error.faults
        return mistakes

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """The files of the server's certificate; None if it serves in plaintext."""
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


def load(config: Path | None) -> Settings:
    """Read the settings from the environment, ``.env`` and a TOML file.

    Args:
        config: The TOML file, if there is one.

    Raises:
        SettingsInvalidError: With every mistake.
    """
    mistakes: list[str] = []
    given = read(config, mistakes)
    settings, faults = _validated(given)
    bad = {str(fault["loc"][0]) for fault in faults if fault["loc"]}
    if bad:
        # pydantic compares settings with each other only if all are good by themselves.
        good = {name: value for name, value in given.items() if name not in bad}
        faults += _validated(good)[1]
    mistakes += [line for fault in faults for line in _lines(fault, bad)]
    if settings is None or mistakes:
        raise SettingsInvalidError(mistakes)
    return settings


def _validated(given: dict[str, Any]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings.model_validate(given), []
    except ValidationError as error:
        return None, error.errors()


def _lines(fault: ErrorDetails, bad: set[str]) -> list[str]:
    """Write a fault, one line for each mistake, without the value.

    Args:
        fault: Of one setting, or of several that do not fit together.
        bad: Settings of which the latter say nothing: their defaults were compared.
    """
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return [
            f"{PREFIX}{line}"
            for line in message.splitlines()
            if bad.isdisjoint(re.findall("[a-z_]+", line.lower()))
        ]
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        message = "is not a setting of this version"
        if name.removesuffix("_file") in SECRETS:
            message = "is set together with the value itself"
    return [f"{PREFIX}{name.upper()}: {message}"]

"""The settings: their defaults and limits, and what conflicts."""

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from signupd import notation
from signupd.certificates import (
    UNREADABLE,
    CertificateFiles,
    CertificatesUnusable,
    read_certificates,
)
from signupd.ledger.database import sqlite_file
from signupd.sources import PREFIX, SECRETS, read, secrets_in_readable_dotenv
from signupd.textfile import FileUnusableError, read_text, shown

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

    listen: notation.ListenAddress = "127.0.0.1:50051"
    insecure: bool = False
    hook_listen: notation.TcpAddress = "127.0.0.1:9465"
    hook_key: notation.HookKeys = ()
    hook_tls_cert: notation.ReadableFile | None = None
    hook_tls_key: notation.ReadableFile | None = None
    metrics_listen: notation.MetricsAddress = "127.0.0.1:9464"
    kratos_public_url: notation.Url = "http://127.0.0.1:4433"
    kratos_admin_url: notation.Url = "http://127.0.0.1:4434"
    kratos_ca: notation.ReadableFile | None = None
    kratos_admin_token: notation.Token | None = None
    kratos_timeout: notation.Seconds = 10.0
    identity_schema_id: Annotated[str, Field(min_length=1, max_length=256)] | None = (
        None
    )
    ledger_url: notation.LedgerUrl = "sqlite:///signupd.db"
    blocked_email_domains_file: notation.Domains | None = None
    token_keys: notation.Keys = ()
    digest_key: notation.Key | None = None
    tls_cert: notation.ReadableFile | None = None
    tls_key: notation.ReadableFile | None = None
    tls_client_ca: notation.ReadableFile | None = None
    callers: notation.Grants | None = None
    code_ttl: notation.Seconds = 900.0
    password_ttl: notation.Seconds = 1800.0
    # SP 800-63B-4, 3.2.2, allows 100 failed attempts.
    wrong_codes_per_address: Annotated[int, notation.between(1, 100_000)] = 100
    # Kratos takes five codes on a flow and refuses even the right one after that.
    code_attempts: Annotated[int, notation.between(1, 5)] = 5
    password_attempts: Annotated[int, notation.between(1, 1000)] = 20
    resend_interval: notation.SecondsOrNone = 60.0
    sends_per_signup: Annotated[int, notation.between(1, 100)] = 5
    sends_per_address: Annotated[int, notation.between(1, 1000)] = 5
    sends_refill: notation.Seconds = 1800.0
    sends_per_ip_per_hour: Annotated[int, notation.between(1, 100_000)] = 60
    # Kratos itself demands 8, as SP 800-63B, 3.1.1.2 does.
    password_min_length: Annotated[int, notation.between(8, 72)] = 8
    password_max_bytes: Annotated[int, notation.between(8, 1024)] = 72
    sweep_interval: notation.Seconds = 30.0
    sweep_batch: Annotated[int, notation.between(1, 10_000)] = 100
    retention: notation.Seconds = 30 * 86400.0
    max_concurrent_rpcs: Annotated[int, notation.between(1, 4096)] = 256
    drain_wait: notation.SecondsOrNone = 5.0
    drain_timeout: notation.SecondsOrNone = 20.0
    max_connection_age: notation.SecondsOrNone = 300.0
    reflection: bool | None = None
    log_format: Annotated[Literal["json", "console"] | None, notation.Word] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], notation.Level, notation.Word
    ] = "info"

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        """Read the file of a secret, and drop white space; refuse what is empty.

        A variable that a template left empty must not switch off a protection.
        """
        path = value if info.field_name in SECRETS else None
        if isinstance(path, Path) and path != Path():
            try:
                value = read_text(path, MAX_SECRET_BYTES).strip()
            except FileUnusableError as error:
                raise ValueError(error.of(shown(path))) from None
            if not value:
                raise ValueError(f"{shown(path)}: is empty")
        if isinstance(value, str):
            value = value.strip()
        if value in ("", Path()) and info.field_name != "metrics_listen":
            raise ValueError("is empty; leave it out to have its default")
        if isinstance(value, str) and re.fullmatch(r"""(["']).*\1""", value):
            # docker --env-file and Kubernetes keep them.
            raise ValueError("stands in quotes, which are part of it here")
        return value

    def conflicts(self) -> Iterator[str]:
        """List what does not fit together; each line begins with the settings."""
        yield from self._tls_conflicts()
        for name, address, tls, cert in (
            ("LISTEN", self.listen, "TLS", self.tls_cert),
            ("HOOK_LISTEN", self.hook_listen, "HOOK_TLS", self.hook_tls_cert),
        ):
            if not (notation.is_loopback(address) or self.insecure or cert):
                yield (
                    f"{name}: beyond loopback it needs {tls}_CERT and {tls}_KEY, or "
                    "INSECURE=true for plaintext"
                )
        if not (notation.is_loopback(self.hook_listen) or self.hook_key):
            yield "HOOK_LISTEN: beyond loopback it needs a HOOK_KEY"
        if self.kratos_admin_token and urlsplit(self.kratos_admin_url).username:
            yield "KRATOS_ADMIN_TOKEN: does not go with a user in KRATOS_ADMIN_URL"
        yield from self._key_conflicts()
        ledger = sqlite_file(self.ledger_url)
        try:
            if ledger is not None and not ledger.parent.is_dir():
                yield f"LEDGER_URL: there is no folder {ledger.parent.absolute()}"
        except PermissionError:
            pass  # whatever opens the ledger says so
        if self.password_max_bytes < self.password_min_length:
            yield "PASSWORD_MAX_BYTES: is less than PASSWORD_MIN_LENGTH"

    def _key_conflicts(self) -> Iterator[str]:
        if bool(self.token_keys) != bool(self.digest_key):
            yield "TOKEN_KEYS, DIGEST_KEY: set both or neither"
        if self.digest_key in self.token_keys:
            yield "TOKEN_KEYS, DIGEST_KEY: have a key in common"
        if not self.digest_key and sqlite_file(self.ledger_url) is None:
            yield "TOKEN_KEYS, DIGEST_KEY: PostgreSQL needs both"

    def _tls_conflicts(self) -> Iterator[str]:
        for tls, cert, key in (
            ("TLS", self.tls_cert, self.tls_key),
            ("HOOK_TLS", self.hook_tls_cert, self.hook_tls_key),
        ):
            if bool(cert) != bool(key):
                yield f"{tls}_CERT, {tls}_KEY: set both or neither"
        if self.tls_client_ca and not self.tls_cert:
            yield "TLS_CLIENT_CA: needs TLS_CERT and TLS_KEY"
        if self.callers and not self.tls_client_ca:
            yield "CALLERS: needs TLS_CLIENT_CA"
        for files in (self.certificate_files, self.hook_certificate_files):
            try:
                if files is not None:
                    read_certificates(files)
            except CertificatesUnusable as error:
                yield from error.faults
        try:
            ssl.create_default_context(cafile=self.kratos_ca)
        except ssl.SSLError:
            yield f"KRATOS_CA: {shown(self.kratos_ca or Path())}: {UNREADABLE}"

    def warnings(self) -> Iterator[str]:
        """List what works and is not safe; each line begins with the setting."""
        for name in ("kratos_public_url", "kratos_admin_url"):
            url = urlsplit(getattr(self, name))
            if url.scheme == "http" and not notation.is_loopback(f"{url.hostname}:0"):
                yield (
                    f"{PREFIX}{name.upper()}: sends codes, passwords and tokens in "
                    "plaintext beyond loopback; use https"
                )
        if secrets_in_readable_dotenv():
            yield ".env: other users can read the secrets in it; chmod 600 .env"

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """The files of the server's certificate; None if it serves in plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return CertificateFiles(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def hook_certificate_files(self) -> CertificateFiles | None:
        """Those of the hook port."""
        if self.hook_tls_cert is None or self.hook_tls_key is None:
            return None
        cert, key = self.hook_tls_cert, self.hook_tls_key
        return CertificateFiles(cert, key, settings="HOOK_TLS")

    @property
    def listens_locally(self) -> bool:
        """Whether only this machine can reach LISTEN."""
        return notation.is_loopback(self.listen)

    @property
    def reflects(self) -> bool:
        """Whether the server answers reflection."""
        return self.listens_locally if self.reflection is None else self.reflection


def load(config: Path | None) -> Settings:
    """Read the settings from the environment, ``.env`` and a TOML file.

    The names in a TOML file may lack the prefix. All mistakes together raise
    SettingsInvalidError.
    """
    mistakes: list[str] = []
    given, places = read(config, mistakes)
    all_read = not mistakes
    faults: list[ErrorDetails] = []
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        faults = error.errors()
    bad = {str(fault["loc"][0]) for fault in faults}
    if bad:
        good = {name: value for name, value in given.items() if name not in bad}
        settings = Settings.model_validate(good)
    lines = [*dict.fromkeys(_describe(fault, given) for fault in faults)]
    lines += [
        line
        for line in settings.conflicts()
        # A setting that is bad, or unread, has its default here, which says nothing.
        if all_read and bad.isdisjoint(re.findall("[a-z_]+", line.lower()))
    ]
    mistakes += [f"{PREFIX}{line}{_places(line, places)}" for line in lines]
    if mistakes:
        raise SettingsInvalidError(mistakes)
    return settings


def _describe(fault: ErrorDetails, given: Mapping[str, Any]) -> str:
    """Write what is wrong with one setting, without its value."""
    name = str(fault["loc"][0])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "is not a setting of this version"
        if name.removesuffix("_file") in SECRETS:
            message = "is set together with the value itself"
    if fault["type"] == "path_type":
        message = "is not a path"
    if isinstance(given.get(name), Path):
        name = f"{name}_file"
    return f"{name.upper()}: {message}"


def _places(line: str, places: Mapping[str, str]) -> str:
    """Write where the settings that a line begins with are set: ``(.env, line 3)``."""
    names = re.split("[ ,]+", line.partition(":")[0].lower())
    found = [places[name] for name in names if name in places]
    return f" ({'; '.join(dict.fromkeys(found))})" if found else ""

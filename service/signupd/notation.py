"""The notation of settings' values: how they are read, checked and shown.

No error repeats the value: it may be a secret in the wrong setting. Paths are shown.
"""

import base64
import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    SecretBytes,
    SecretStr,
)

from signupd.certificates import MAX_FILE_BYTES, is_name
from signupd.ledger.database import sqlite_file
from signupd.policy.domains import DomainList, read_domains
from signupd.sealing import KEY_BYTES
from signupd.textfile import FileUnusableError, read_file, shown

MIN_HOOK_KEY_CHARS: Final = 16
MAX_PORT: Final = 65535
MAX_DAYS: Final = 366  # of a duration
# A wildcard address to listen at -> an address to call.
_CALLABLE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - not to bind
_UNIT_MILLIS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION: Final = re.compile(r"(?:0|([0-9]{1,9})(ms|s|m|h|d))")
_HTTP_URL: Final = re.compile(
    r"https?://([^/\s?#]+@)?(\[[^\s\]]+\]|[^/\s?#:@]+)(:(?P<port>[0-9]{1,5}))?(/[^\s?#]*)?"
)
# From the first colon to the last at sign: this may hide too much, never too little.
_USER_PASSWORD: Final = re.compile(r"^([^:]+://[^:/?#@]*):.*@")
_QUERY_PASSWORD: Final = re.compile(r"([?&][^=&]*pass[^=&]*=)[^&]*", re.IGNORECASE)

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "SignupService": (
        *("StartSignup", "ResendCode", "VerifyCode", "CheckPassword"),
        *("SetPassword", "CancelSignup", "GetSignup"),
    ),
    "AccountService": ("GetAccount", "BatchGetAccounts"),
}
# An entry stands for all methods of a service, or for one.
_ENTRIES: Final = {
    **{name: {f"{name}/{rpc}" for rpc in rpcs} for name, rpcs in METHODS.items()},
    **{f"{name}/{rpc}": {f"{name}/{rpc}"} for name in METHODS for rpc in METHODS[name]},
}
_NOT_AN_OBJECT: Final = (
    "is not a JSON object of names and lists, such as "
    '{"front.example": ["SignupService"]}'
)


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach ``host:port`` or ``unix:path``."""
    if address.startswith("unix:"):
        return True
    host, _ = endpoint(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def endpoint(address: str) -> tuple[str, int]:
    """Split ``host:port``; the host of ``[::1]:80`` is ``::1``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def dialled(address: str) -> str:
    """Return the address at which this machine reaches a listener on ``address``."""
    host, colon, port = address.rpartition(":")
    return _CALLABLE.get(host, host) + colon + port


def _seconds(value: object) -> float:
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError("is not a duration such as 90s, 15m or 24h")
    return int(match[1] or 0) * _UNIT_MILLIS[match[2] or "s"] / 1000


def _show_seconds(seconds: float) -> str:
    """Write a duration in the largest unit that leaves no remainder: ``90s``."""
    millis = round(seconds * 1000)
    sizes = _UNIT_MILLIS.items()
    unit = next(unit for unit, size in sizes if millis % size == 0) if millis else "s"
    return f"{millis // _UNIT_MILLIS[unit]}{unit}"


def _show_url(url: str) -> str:
    """Hide the passwords in a URL."""
    return _QUERY_PASSWORD.sub(r"\1***", _USER_PASSWORD.sub(r"\1:***@", url))


def _key(text: object) -> bytes:
    try:
        key = base64.b64decode(str(text), validate=True)
    except ValueError:
        raise ValueError("is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"is not {KEY_BYTES} bytes long")
    return key


def _split(value: object) -> object:
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, str):
        raise ValueError("is not text; put it in quotes")  # noqa: TRY004 - pydantic's
    return [part.strip() for part in value.split(",")]


def _is_tcp(value: str) -> bool:
    match = re.fullmatch(r"(?!unix:)(?:\[[^]]+\]|[^][:/*\s]+):([0-9]{1,5})", value)
    return match is not None and int(match[1]) <= MAX_PORT


def _is_address(value: str) -> bool:
    return _is_tcp(value) or re.fullmatch("unix:.+", value) is not None


def _readable(value: Path) -> Path:
    try:
        read_file(value, MAX_FILE_BYTES, regular=True)
    except FileUnusableError as error:
        raise ValueError(error.of(shown(value))) from None
    return value


def _lower_scheme(url: str) -> str:
    """Write the scheme in lower case, which it means (RFC 3986, 3.1)."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() + separator + rest


def _is_http_url(value: str) -> bool:
    match = _HTTP_URL.fullmatch(value)
    return match is not None and int(match["port"] or 0) <= MAX_PORT


def _ledger_url(value: str) -> str:
    sqlite_file(value)  # raises ValueError for another kind of URL
    return value


def read_grants(value: object) -> dict[str, frozenset[str]]:
    """Read, from JSON text or a TOML table, the ``Service/Method``s of each name.

    ValueError has every mistake, and repeats nothing of the value.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=_distinct)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(_NOT_AN_OBJECT) from None
    if not isinstance(value, Mapping) or not value:
        raise ValueError(_NOT_AN_OBJECT)
    if faults := list(_faults(value)):
        raise ValueError("; ".join(faults))
    return {
        name: frozenset().union(*(_ENTRIES[entry] for entry in entries))
        for name, entries in value.items()
    }


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated name, of which JSON would silently drop the first."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("has a name twice")
    return dict(pairs)


def _faults(grants: Mapping[Any, Any]) -> Iterator[str]:
    for number, (name, entries) in enumerate(grants.items(), 1):
        if not isinstance(name, str) or not is_name(name):
            yield f"name {number} is not the full DNS name or URI of a certificate"
        if not isinstance(entries, list | tuple) or not entries:
            yield f"name {number} has no list of services and methods"
            continue
        for place, entry in enumerate(entries, 1):
            if not isinstance(entry, str) or entry not in _ENTRIES:
                yield f"name {number}, entry {place} is not a known service or method"


def _demand(accepts: Callable[[Any], bool], fault: str) -> AfterValidator:
    """Refuse, with this text, a value that is not accepted."""

    def validate(value: Any) -> Any:
        if not accepts(value):
            raise ValueError(fault)
        return value

    return AfterValidator(validate)


def between(least: int, most: int) -> BeforeValidator:
    """Take a whole number, or its digits, within bounds."""

    def validate(value: object) -> int:
        digits = str(value)
        if not (re.fullmatch("[0-9]{1,9}", digits) and least <= int(digits) <= most):
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(digits)

    return BeforeValidator(validate)


# In JSON, settings are shown in the notation they are written in.
_Shown = functools.partial(PlainSerializer, return_type=str, when_used="json")
SecondsOrNone = Annotated[
    float,
    BeforeValidator(_seconds),
    _demand(lambda seconds: seconds <= MAX_DAYS * 86400, f"is more than {MAX_DAYS}d"),
    _Shown(_show_seconds),
]
Seconds = Annotated[SecondsOrNone, _demand(bool, "is 0, which means nothing here")]
Word = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Level = BeforeValidator(lambda value: "warning" if value == "warn" else value)
Key = Annotated[SecretBytes, BeforeValidator(_key)]
Keys = Annotated[tuple[Key, ...], BeforeValidator(_split)]
_HookKey = Annotated[
    SecretStr,
    _demand(
        lambda key: len(key) >= MIN_HOOK_KEY_CHARS,
        f"is shorter than {MIN_HOOK_KEY_CHARS} characters",
    ),
    _demand(
        lambda key: re.fullmatch("[!-~]{,1024}", key.get_secret_value()),
        "is not one word of at most 1024 ASCII characters, for a header",
    ),
]
Token = Annotated[
    SecretStr,
    # RFC 6750, 2.1, allows fewer characters still.
    _demand(
        lambda token: re.fullmatch("[!-~]+", token.get_secret_value()),
        "is not one word of ASCII characters; leave out a Bearer before it",
    ),
]
HookKeys = Annotated[tuple[_HookKey, ...], BeforeValidator(_split)]
ListenAddress = Annotated[str, _demand(_is_address, "is not host:port or unix:path")]
TcpAddress = Annotated[str, _demand(_is_tcp, "is not host:port")]
MetricsAddress = Annotated[
    str, _demand(lambda text: not text or _is_tcp(text), "is not host:port")
]
Url = Annotated[
    str,
    AfterValidator(_lower_scheme),
    _demand(_is_http_url, "is not an http or https URL"),
    AfterValidator(lambda url: url.rstrip("/")),
    _Shown(_show_url),
]
LedgerUrl = Annotated[
    str, AfterValidator(_lower_scheme), AfterValidator(_ledger_url), _Shown(_show_url)
]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
Grants = Annotated[
    Mapping[str, frozenset[str]],
    BeforeValidator(read_grants),
    PlainSerializer(
        lambda grants: {name: sorted(rpcs) for name, rpcs in grants.items()},
        return_type=dict[str, list[str]],
        when_used="json",
    ),
]
Domains = Annotated[
    DomainList,
    PlainValidator(lambda value: read_domains(Path(str(value)))),
    _Shown(lambda listed: str(listed.file)),
]

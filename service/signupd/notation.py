"""How values are written in the settings, and what is refused without repeating it."""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretBytes,
    SecretStr,
)
from yarl import URL

from signupd.grants import read_grants
from signupd.ledger.database import sqlite_file
from signupd.sealing import KEY_BYTES

MIN_HOOK_KEY_CHARS: Final = 16
# What stands for every address of the machine -> what surely is one of them.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - not to bind
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PORT: Final = re.compile(r"[0-9]{1,5}")
# From the first colon to the last at sign: rather too much than too little.
_USER_PASSWORD: Final = re.compile(r"^([^:]+://[^:/?#@]*):.*@")
_QUERY_PASSWORD: Final = re.compile(r"([?&][^=&]*pass[^=&]*=)[^&]*", re.IGNORECASE)
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


def duration(seconds: float) -> str:
    """Write a span of time in the largest unit that leaves no rest: ``90s``."""
    millis = round(seconds * 1000)
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if millis % round(size * 1000) == 0:
            return f"{millis // round(size * 1000)}{unit}"
    raise AssertionError("every span is a number of milliseconds")


def without_password(url: str) -> str:
    """Write a URL without the passwords in it, so that it may be shown."""
    bare = _USER_PASSWORD.sub(r"\1:***@", url)
    return _QUERY_PASSWORD.sub(r"\1***", bare)


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if address.startswith("unix:"):
        return True
    host, _ = endpoint(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def endpoint(address: str) -> tuple[str, int]:
    """Divide ``host:port``; an IPv6 address is in brackets there, and in none here."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def dialled(address: str) -> str:
    """Give the address at which this machine reaches what listens at another.

    Args:
        address: ``host:port``, or ``unix:path``. A host that stands for every address
            of the machine is none to call.
    """
    host, colon, port = address.rpartition(":")
    return _LOOPBACK.get(host, host) + colon + port


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a duration such as 90s, 15m or 24h")
    return int(match[1]) * _UNITS[match[2]]


def _key(value: object) -> bytes:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        key = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is not base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"is not {KEY_BYTES} bytes long")
    return key


def _keys(value: object) -> object:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("is not a list of keys")  # noqa: TRY004 - as pydantic wants
    return tuple(_key(str(part).strip()) for part in parts)


def _address(value: str) -> str:
    if value.startswith("unix:") and len(value) > len("unix:"):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:  # noqa: PLR2004
        raise ValueError("is not host:port (or unix:path)")
    return value


def _tcp_address(value: str) -> str:
    if value.startswith("unix:"):
        raise ValueError("is not host:port")
    return _address(value)


def _in_order(grants: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    return {name: sorted(methods) for name, methods in grants.items()}


def _readable_file(value: Path) -> Path:
    if not value.is_file() or not os.access(value, os.R_OK):
        raise ValueError("is no file that can be read")
    return value


def _hook_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_HOOK_KEY_CHARS:
        raise ValueError(f"is shorter than {MIN_HOOK_KEY_CHARS} characters")
    return value


def _metrics_address(value: str) -> str:
    return value and _tcp_address(value)


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", value):
        raise ValueError("is not an http or https URL")
    try:
        return str(URL(value)).rstrip("/")  # its host as it goes over the wire
    except ValueError:  # yarl's text may have a password in it
        raise ValueError("is not an http or https URL") from None


def _ledger_url(value: str) -> str:
    sqlite_file(value)
    return value


# Put as JSON, settings are what may be shown of them, in this notation.
_Shown = functools.partial(PlainSerializer, return_type=str, when_used="json")
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0, le=366 * 86400),
    _Shown(duration),
]
Key = Annotated[SecretBytes, BeforeValidator(_key)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_http_url), _Shown(without_password)]
TcpAddress = Annotated[str, AfterValidator(_tcp_address)]
MetricsAddress = Annotated[str, AfterValidator(_metrics_address)]
HookKey = Annotated[SecretStr, AfterValidator(_hook_key)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]
LedgerUrl = Annotated[str, AfterValidator(_ledger_url), _Shown(without_password)]
Grants = Annotated[
    Mapping[str, frozenset[str]],
    BeforeValidator(read_grants),
    PlainSerializer(_in_order, return_type=dict[str, list[str]], when_used="json"),
]
Keys = Annotated[tuple[SecretBytes, ...], BeforeValidator(_keys)]

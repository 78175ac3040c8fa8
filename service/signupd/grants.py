"""CALLERS: which certificate names may call which methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from signupd.certificates import is_name

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "SignupService": (
        "StartSignup",
        "ResendCode",
        "VerifyCode",
        "SetPassword",
        "CancelSignup",
        "GetSignup",
    ),
    "AccountService": ("GetAccount", "BatchGetAccounts"),
}
# The methods that an entry stands for: all of a service, or one.
_ENTRIES: Final = {
    **{name: {f"{name}/{rpc}" for rpc in rpcs} for name, rpcs in METHODS.items()},
    **{f"{name}/{rpc}": {f"{name}/{rpc}"} for name in METHODS for rpc in METHODS[name]},
}
_NOT_AN_OBJECT: Final = (
    "is not a JSON object of names and lists, such as "
    '{"front.example": ["SignupService"]}'
)


def read_grants(value: object) -> dict[str, frozenset[str]]:
    """Read the methods that each name may call, as ``Service/Method``.

    Args:
        value: JSON text, or a table of a TOML file.

    Raises:
        ValueError: With every mistake; it repeats nothing of the value.
    """
    given = _parse(value) if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not given:
        raise ValueError(_NOT_AN_OBJECT)
    faults = [
        f"name {number}{fault}"
        for number, (name, entries) in enumerate(given.items(), 1)
        for fault in _faults(name, entries)
    ]
    if faults:
        raise ValueError("; ".join(faults))
    return {
        name: frozenset().union(*(_ENTRIES[entry] for entry in entries))
        for name, entries in given.items()
    }


def _parse(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(_NOT_AN_OBJECT) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated name, of which JSON would silently drop the first."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("has a name twice")
    return dict(pairs)


def _faults(name: object, entries: object) -> list[str]:
    faults = []
    if not isinstance(name, str) or not is_name(name):
        faults.append(" is not the full DNS name or URI of a certificate")
    if not isinstance(entries, list | tuple) or not entries:
        return [*faults, " has no list of services and methods"]
    return faults + [
        f", entry {number} is not a known service or method"
        for number, entry in enumerate(entries, 1)
        if not isinstance(entry, str) or entry not in _ENTRIES
    ]

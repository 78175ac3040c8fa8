"""Who may call what, as the setting CALLERS writes it."""

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
# What an entry may be, and the methods it stands for.
_ENTRIES: Final = {
    **{name: {f"{name}/{rpc}" for rpc in rpcs} for name, rpcs in METHODS.items()},
    **{f"{name}/{rpc}": {f"{name}/{rpc}"} for name in METHODS for rpc in METHODS[name]},
}
_NO_OBJECT: Final = (
    'is no JSON object of names and lists, such as {"front.example": ["SignupService"]}'
)


def read_grants(value: object) -> dict[str, frozenset[str]]:
    """Read the names, each with the methods it may call as ``Service/Method``.

    Args:
        value: JSON text, or the table that a TOML file makes of it.

    Raises:
        ValueError: With everything that is wrong, and nothing of what was given.
    """
    given = _object(value) if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not given:
        raise ValueError(_NO_OBJECT)
    faults = [
        f"name {number} {fault}"
        for number, (name, entries) in enumerate(given.items(), 1)
        for fault in _faults(name, entries)
    ]
    if faults:
        raise ValueError("; ".join(faults))
    return {
        name: frozenset().union(*(_ENTRIES[entry] for entry in entries))
        for name, entries in given.items()
    }


def _object(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(_NO_OBJECT) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that comes twice: in JSON the last one would win, silently."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("has a name twice")
    return dict(pairs)


def _faults(name: object, entries: object) -> list[str]:
    faults = []
    if not isinstance(name, str) or not is_name(name):
        faults.append("is no DNS name or URI as a certificate has it, in full")
    if not isinstance(entries, list | tuple) or not entries:
        return [*faults, "has no list of what it may call"]
    return faults + [
        f"may call, in entry {number}, what there is not: it takes SignupService, "
        "AccountService, or one method as in AccountService/GetAccount"
        for number, entry in enumerate(entries, 1)
        if not isinstance(entry, str) or entry not in _ENTRIES
    ]

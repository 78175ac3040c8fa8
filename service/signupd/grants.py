"""CALLERS: which certificate names may call which methods."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from signupd.certificates import is_name

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

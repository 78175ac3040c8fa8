"""The traits a caller may give besides the address."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from signupd.errors import TraitsInvalid, Violation
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.policy.rules import CONTROL

MAX_DEPTH: Final = 8  # Kratos' forms are flat; a schema nests two or three levels
MAX_BYTES: Final = 8 * 1024  # encoded; they are kept sealed with the sign-up
MAX_FAULTS: Final = 16  # an answer's metadata has room for a few KiB
# A double holds every integer up to here (IEEE 754).
_MAX_EXACT: Final = 2.0**53


def identity_traits(address: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the address to the other traits of a caller.

    Args:
        address: The canonical address.
        given: JSON values by name. Whole numbers become integers, since a protobuf
            Struct knows doubles only and Kratos refuses ``30.0`` where its schema says
            integer.

    Returns:
        The traits for Kratos, the same at every step, because it compares them.

    Raises:
        TraitsInvalid: The address is among them, one is nested too deeply, or a name or
            a string in them has a control character: PostgreSQL stores no NUL.
    """
    if faults := tuple(itertools.islice(_faults(given), MAX_FAULTS)):
        raise TraitsInvalid(violations=faults)
    return {ADDRESS_TRAIT: address, **{n: _plain(v) for n, v in given.items()}}


def _faults(given: Mapping[str, Any]) -> Iterator[Violation]:
    for name, value in sorted(given.items()):
        if name == ADDRESS_TRAIT:
            yield Violation(f"traits.{name}", "is set by the field email")
        elif CONTROL.search(name):
            yield Violation("traits", "has a name with a control character")
        elif fault := _fault(value, MAX_DEPTH):
            yield Violation(f"traits.{name}", fault)


def _fault(value: Any, levels: int) -> str:
    """Return what is wrong with a value that may have so many levels, or ""."""
    if levels == 0:
        return f"is nested more than {MAX_DEPTH} levels deep"
    match value:
        case str():
            return "has a control character" if CONTROL.search(value) else ""
        case dict():
            inner = [*value, *value.values()]
        case list():
            inner = value
        case _:
            return ""
    return next(filter(None, (_fault(one, levels - 1) for one in inner)), "")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value

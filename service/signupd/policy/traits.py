"""The traits a caller may give besides the address."""

from collections.abc import Mapping
from typing import Any, Final

from signupd.errors import TraitsInvalid, Violation
from signupd.kratos.identity import ADDRESS_TRAIT

MAX_DEPTH: Final = 8  # Kratos' forms are flat; a schema nests two or three levels
MAX_BYTES: Final = 8 * 1024  # encoded; they are kept sealed with the sign-up
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
        TraitsInvalid: The address is among them.
    """
    if ADDRESS_TRAIT in given:
        fault = Violation(f"traits.{ADDRESS_TRAIT}", "is set by the field email")
        raise TraitsInvalid(violations=(fault,))
    return {ADDRESS_TRAIT: address, **{n: _plain(v) for n, v in given.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value

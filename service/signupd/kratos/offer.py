"""The ways to register that a flow offers, for a preflight."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from signupd.errors import KratosIncompatible

if TYPE_CHECKING:
    from signupd.kratos.http import Response

# Groups of a flow's fields that are not methods: the traits, and the steps between.
_NO_METHODS: Final = frozenset({"default", "profile", "identifier_first", "captcha"})


class FlowKind(enum.StrEnum):
    """For whom a flow is. Some methods are offered to browsers alone."""

    API = "api"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class Offer:
    """The ways to register that a flow offers.

    Args:
        methods: Their names, such as ``password``.
        whole: Whether these are all. A flow of two steps shows most of them at the
            second, which the schema's required traits may keep closed.
    """

    methods: frozenset[str]
    whole: bool


class Field(NamedTuple):
    """A field of a flow's form."""

    group: str
    name: str
    value: str


# It leads from a flow's first step to its second.
FIRST_STEP: Final = Field("profile", "method", "profile")


def read_fields(response: Response) -> frozenset[Field]:
    """Read the fields of a flow's form.

    Raises:
        KratosIncompatible: The response is not a flow.
    """
    try:
        return frozenset(
            Field(
                str(node["group"]),
                str(node["attributes"].get("name", "")),
                str(node["attributes"].get("value", "")),
            )
            for node in response.body["ui"]["nodes"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KratosIncompatible(
            f"Kratos opens no registration flow (HTTP status {response.status})"
        ) from error


def methods_of(fields: frozenset[Field]) -> frozenset[str]:
    """Name the methods that have fields."""
    # A script that several methods share has a group, but no name.
    return frozenset(field.group for field in fields if field.name) - _NO_METHODS

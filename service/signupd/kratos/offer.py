"""The ways to register that a flow offers, for a preflight."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from signupd.errors import KratosIncompatible

# Groups of a flow's fields that are no method: the traits, and the steps between.
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


def read_fields(status: int, body: Any) -> frozenset[Field]:
    """Read the fields of a flow's form.

    Args:
        status: The response's, for the error.
        body: Its JSON.

    Raises:
        KratosIncompatible: It is not a flow.
    """
    try:
        return frozenset(
            Field(
                str(node["group"]),
                str(node["attributes"].get("name", "")),
                str(node["attributes"].get("value", "")),
            )
            for node in body["ui"]["nodes"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KratosIncompatible(
            f"Kratos opens no registration flow (HTTP status {status})"
        ) from error


def offer_of(first: frozenset[Field], second: frozenset[Field]) -> Offer:
    """Return what a flow offers, from the fields of its first and second step."""
    # A script that several methods share has a group, but no name.
    methods = frozenset(field.group for field in first | second if field.name)
    return Offer(methods - _NO_METHODS, whole=FIRST_STEP not in second)

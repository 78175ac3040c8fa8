"""The ways to register that a flow offers, for ``signupd check``."""

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

from signupd.errors import KratosIncompatible
from signupd.kratos.http import Response

# Groups of a flow's fields that are not methods: the traits, and the steps between.
_NO_METHODS: Final = frozenset({"default", "profile", "identifier_first", "captcha"})


class FlowKind(enum.StrEnum):
    """For whom a flow is. Some methods are offered to browsers alone."""

    API = "api"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class Offer:
    """The ways to register that a flow offers."""

    methods: frozenset[str]  # their names, such as ``password``
    # Whether these are all. A flow of two steps shows most of them at the second, which
    # the schema's required traits may keep closed.
    whole: bool


class OfferedStep(NamedTuple):
    """One step of a flow's form."""

    methods: frozenset[str]  # those that have a field in it
    token: str  # to be sent back with a browser's cookie; empty in a program's flow
    last: bool


def read_step(response: Response) -> OfferedStep:
    """Read a step, or raise KratosIncompatible if the response is not a flow."""
    try:
        fields = {  # a script that several methods share has a group, but no name
            (str(node["group"]), str(node["attributes"]["name"])): str(
                node["attributes"].get("value", "")
            )
            for node in response.body["ui"]["nodes"]
            if "name" in node["attributes"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise KratosIncompatible(
            f"Kratos opens no registration flow (HTTP status {response.status})"
        ) from error
    return OfferedStep(
        methods=frozenset(group for group, _ in fields) - _NO_METHODS,
        token=fields.get(("default", "csrf_token"), ""),
        last=fields.get(("profile", "method")) != "profile",
    )

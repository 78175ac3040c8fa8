"""The reader of identity schemas: it finds Kratos' marks wherever they are honoured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from signupd.errors import KratosIncompatible
from signupd.kratos.schema import IdentitySchema, read_schema, schema_faults

from devstack.binary import KRATOS_DIRECTORY

Json = dict[str, Any]

PASSWORD: Json = {"ory.sh/kratos": {"credentials": {"password": {"identifier": True}}}}
USER = frozenset({"identifier for password"})


def schema(traits: Json, **rest: Any) -> IdentitySchema:
    """Read a schema with these traits, as JSON Schema describes them."""
    return read_schema("user", {"properties": {"traits": traits}, **rest})


def test_reference() -> None:
    """The reference schema has one address, which is everything."""
    file = KRATOS_DIRECTORY / "identity.schema.json"
    read = read_schema("user", json.loads(file.read_text(encoding="utf-8")))
    uses = {
        "identifier for code by email",
        "identifier for password",
        "recovery by email",
        "verification by email",
    }

    assert IdentitySchema("user", {"email": frozenset(uses)}, ("email",), {}) == read
    assert [] == schema_faults(read)


@pytest.mark.parametrize(
    ("mark", "uses"),
    [
        (
            {"credentials": {"webauthn": {"identifier": True}}},
            "identifier for webauthn",
        ),
        (
            {"credentials": {"code": {"identifier": True, "via": "sms"}}},
            "identifier for code by sms",
        ),
        ({"verification": {"via": "sms"}}, "verification by sms"),
        ({"recovery": {"via": "email"}}, "recovery by email"),
        ({"credentials": {"totp": {"account_name": True}}}, None),
        ({"credentials": {"passkey": {"display_name": True}}}, None),
        ({"credentials": {"password": {"identifier": False}}}, None),
        ("nonsense", None),
    ],
)
def test_marks(mark: Any, uses: str | None) -> None:
    """Each of Kratos' marks is read; others make no use."""
    read = schema({"properties": {"it": {"ory.sh/kratos": mark}}})

    assert ({"it": frozenset({uses})} if uses else {}) == read.uses


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"properties": {"a": {"properties": {"b": PASSWORD}}}}, "a.b"),
        ({"properties": {"a": {"type": "array", "items": PASSWORD}}}, "a[]"),
        ({"properties": {"a": {"items": [{}, PASSWORD]}}}, "a[]"),
        ({"properties": {"a": {"items": {"properties": {"b": PASSWORD}}}}}, "a[].b"),
        ({"properties": {"a": {"contains": PASSWORD}}}, "a[]"),
        ({"properties": {"a": {"additionalProperties": PASSWORD}}}, "a.*"),
        ({"patternProperties": {"^x": PASSWORD}}, "*"),
        ({"allOf": [{}, {"properties": {"a": PASSWORD}}]}, "a"),
        ({"properties": {"a": {"anyOf": [PASSWORD, {}]}}}, "a"),
        ({"properties": {"a": {"oneOf": [PASSWORD]}}}, "a"),
        ({"if": {}, "then": {"properties": {"a": PASSWORD}}}, "a"),
        ({"if": {}, "else": {"properties": {"a": PASSWORD}}}, "a"),
        ({"dependencies": {"b": {"properties": {"a": PASSWORD}}}}, "a"),
        ({"properties": {"a": {"$ref": "#/definitions/user"}}}, "a"),
        ({"$ref": "#/definitions/all"}, "c"),
        ({"properties": {"a": {"$ref": "#/definitions/odd~1na~0me"}}}, "a"),
    ],
)
def test_wherever_it_stands(traits: Json, expected: str) -> None:
    """A mark counts in every schema that applies to a trait."""
    definitions = {
        "user": PASSWORD,
        "all": {"properties": {"c": PASSWORD}},
        "odd/na~me": PASSWORD,
    }
    read = schema(traits, definitions=definitions)

    assert {expected: USER} == read.uses


def test_marks_of_several_schemas() -> None:
    """What several schemas say of one trait adds up."""
    also = {"ory.sh/kratos": {"recovery": {"via": "email"}}}
    read = schema({"properties": {"a": {"allOf": [PASSWORD, also]}}})

    assert {"a": USER | {"recovery by email"}} == read.uses


def test_beside_a_reference() -> None:
    """Beside ``$ref`` a mark counts for nothing, as in draft 7 and in Kratos."""
    read = schema({"properties": {"a": {"$ref": "#/definitions/x", **PASSWORD}}})

    assert {} == read.uses


def test_endless() -> None:
    """A schema that contains itself is not followed for ever, but named."""
    tree = {"properties": {"name": PASSWORD, "parent": {"$ref": "#/definitions/tree"}}}
    read = schema({"$ref": "#/definitions/tree"}, definitions={"tree": tree})
    turning = schema(
        {"$ref": "#/definitions/a"}, definitions={"a": {"$ref": "#/definitions/a"}}
    )

    assert {"name": USER} == read.uses
    assert {"parent": "#/definitions/tree"} == read.unread
    assert ({}, {"": "#/definitions/a"}) == (turning.uses, turning.unread)


@pytest.mark.parametrize(
    "reference", ["https://example.com/x.json", "other.json", "#/nowhere", "x#/a"]
)
def test_out_of_sight(reference: str) -> None:
    """What a reference leads to out of the schema is not known, and named."""
    read = schema({"properties": {"a": {"$ref": reference}}})

    assert {"a": reference} == read.unread


def test_required() -> None:
    """The traits that must be there are named."""
    assert ("email", "name") == schema({"required": ["email", "name"]}).required


@pytest.mark.parametrize(
    "document", [None, [], {}, {"properties": {}}, {"properties": 1}]
)
def test_no_schema(document: Any) -> None:
    """What is no identity schema is refused."""
    with pytest.raises(KratosIncompatible):
        read_schema("user", document)

"""The reader of identity schemas: it finds Kratos' marks wherever they are honoured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from signupd.errors import KratosIncompatible
from signupd.kratos.schema import IdentitySchema, Trait, read_schema

from devstack.binary import KRATOS_DIRECTORY

Json = dict[str, Any]

PASSWORD: Json = {"ory.sh/kratos": {"credentials": {"password": {"identifier": True}}}}
USER = frozenset({"password"})


def schema(traits: Json, **rest: Any) -> IdentitySchema:
    """Read a schema with these traits, as JSON Schema describes them."""
    return read_schema("user", {"properties": {"traits": traits}, **rest})


def paths(read: IdentitySchema) -> list[str]:
    """Name the traits that are not plain."""
    return [trait.path for trait in read.traits]


def test_reference() -> None:
    """The reference schema has one address, which is everything."""
    file = KRATOS_DIRECTORY / "identity.schema.json"
    read = read_schema("user", json.loads(file.read_text(encoding="utf-8")))
    address = Trait("email", frozenset({"password", "code"}), "email", "email", "email")

    assert IdentitySchema("user", (address,), ("email",)) == read


def test_plain() -> None:
    """A trait that the schema says nothing of, or nothing that counts, is plain."""
    marks = {
        "totp": {"account_name": True},
        "passkey": {"display_name": True},
        "password": {"identifier": False},
    }
    read = schema({"properties": {"name": {"ory.sh/kratos": {"credentials": marks}}}})

    assert () == read.traits
    assert read.trait("name").is_plain
    assert read.trait("nowhere").is_plain


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (
            {"credentials": {"webauthn": {"identifier": True}}},
            {"identifies": {"webauthn"}},
        ),
        (
            {"credentials": {"code": {"identifier": True, "via": "sms"}}},
            {"identifies": {"code"}, "code_via": "sms"},
        ),
        ({"verification": {"via": "sms"}}, {"verified_via": "sms"}),
        ({"recovery": {"via": "email"}}, {"recovered_via": "email"}),
    ],
)
def test_marks(mark: Json, expected: Json) -> None:
    """Each of Kratos' marks is read."""
    read = schema({"properties": {"it": {"ory.sh/kratos": mark}}})
    identifies = frozenset(expected.pop("identifies", ()))

    assert (Trait("it", identifies, **expected),) == read.traits


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

    assert [expected] == paths(read)
    assert USER == read.traits[0].identifies


def test_marks_of_several_schemas() -> None:
    """What several schemas say of one trait adds up."""
    also = {"ory.sh/kratos": {"recovery": {"via": "email"}}}
    read = schema({"properties": {"a": {"allOf": [PASSWORD, also]}}})

    assert (Trait("a", USER, recovered_via="email"),) == read.traits


def test_beside_a_reference() -> None:
    """Beside ``$ref`` a mark counts for nothing, as in draft 7 and in Kratos."""
    read = schema({"properties": {"a": {"$ref": "#/definitions/x", **PASSWORD}}})

    assert () == read.traits


def test_endless() -> None:
    """A schema that contains itself is not followed for ever."""
    tree = {"properties": {"name": PASSWORD, "parent": {"$ref": "#/definitions/tree"}}}
    read = schema({"$ref": "#/definitions/tree"}, definitions={"tree": tree})
    turning = schema(
        {"$ref": "#/definitions/a"}, definitions={"a": {"$ref": "#/definitions/a"}}
    )

    assert ["name", "parent.name"] == paths(read)
    assert () == turning.traits


@pytest.mark.parametrize(
    "reference", ["https://example.com/x.json", "#/nowhere", "x#/a"]
)
def test_out_of_sight(reference: str) -> None:
    """What a reference leads to out of the schema is not known, and named."""
    read = schema({"properties": {"a": {"$ref": reference}}})

    assert (reference,) == read.unread


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

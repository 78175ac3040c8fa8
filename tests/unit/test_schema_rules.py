"""What the identity schema means for sign-ups: is it fit, and which traits may come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from signupd.errors import KratosIncompatible, KratosUnavailable, TraitsInvalid
from signupd.kratos.schema import IdentitySchema, read_schema
from signupd.policy.identity_schema import FAULTY_SECONDS, FRESH_SECONDS, SchemaRules

from tests.doubles.log import LogDouble
from tests.unit.schemas import (
    CODE,
    PHONE,
    RECOVERY,
    USER_NAME,
    marked,
    reference,
    with_traits,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.kratos.public import PublicApi

Json = dict[str, Any]


class SchemasDouble:
    """Schemas that a Kratos has, and may lose."""

    def __init__(self, document: Json) -> None:
        self.document, self.reads, self.away = document, 0, False

    async def schemas(self) -> tuple[IdentitySchema, ...]:
        """Read the only one."""
        self.reads += 1
        if self.away:
            raise KratosUnavailable
        return (read_schema("user", self.document),)


class Scene:
    """Rules over schemas, and a clock."""

    def __init__(self, document: Json) -> None:
        self.seconds = 100.0
        self.log, self.schemas = LogDouble(), SchemasDouble(document)
        public = cast("PublicApi", self.schemas)
        self.rules = SchemaRules(public, None, self.log.logger, lambda: self.seconds)

    async def faults(self, traits: Json) -> list[str]:
        """Name the traits that a caller may not set."""
        try:
            await self.rules.permit(traits)
        except TraitsInvalid as refused:
            return [violation.field for violation in refused.violations]
        return []


async def test_reference() -> None:
    """With the reference schema a caller may set whatever else it has."""
    assert [] == await Scene(reference()).faults({"name": "Ann", "newsletter": True})


@pytest.mark.parametrize("mark", [USER_NAME, PHONE, RECOVERY])
async def test_reserved(mark: Json) -> None:
    """An identifier, a verification and a recovery address are not for callers."""
    scene = Scene(with_traits(other=marked(mark), plain={"type": "string"}))

    assert ["traits.other"] == await scene.faults({"other": "x", "plain": "y"})


@pytest.mark.parametrize(
    ("trait", "given", "fault"),
    [
        (
            {"type": "object", "properties": {"number": marked(PHONE)}},
            {"number": "1", "kind": "home"},
            "traits.phone.number",
        ),
        (
            {"type": "array", "items": marked(PHONE)},
            ["1", "2"],
            "traits.phone[]",
        ),
        (
            {"type": "object", "additionalProperties": marked(RECOVERY)},
            {"anything": "1"},
            "traits.phone.anything",
        ),
        (
            {"type": "object", "additionalProperties": marked(RECOVERY)},
            {"any.thing": "1"},
            "traits.phone.any.thing",
        ),
        (
            {"type": "object", "patternProperties": {"x": marked(RECOVERY)}},
            {"a[b": "1"},
            "traits.phone.a[b",
        ),
        (
            {"type": "object", "properties": {"a": {"items": marked(USER_NAME)}}},
            {"a": [{"b": 1}]},
            "traits.phone.a[]",
        ),
    ],
)
async def test_reserved_within(trait: Json, given: Any, fault: str) -> None:
    """So are those that lie within others."""
    found = await Scene(with_traits(phone=trait)).faults({"phone": given})

    assert {fault} == set(found)


async def test_within_what_is_reserved_not() -> None:
    """What a container of one holds besides may be set."""
    phone = {"type": "object", "properties": {"number": marked(PHONE)}}
    scene = Scene(with_traits(phone=phone))

    assert [] == await scene.faults({"phone": {"kind": "home"}})


def several_code_identifiers(document: Json) -> None:
    """Have codes mailed to two traits."""
    document["properties"]["traits"]["properties"]["second"] = marked(CODE)


def address(document: Json) -> Json:
    """Give Kratos' marks at the address trait."""
    marks: Json = document["properties"]["traits"]["properties"]["email"]
    return marks["ory.sh/kratos"]  # type: ignore[no-any-return]


def required_user_name(document: Json) -> None:
    """Require a trait that callers may not set."""
    traits = document["properties"]["traits"]
    traits["properties"]["username"] = marked(USER_NAME)
    traits["required"].append("username")


UNFIT: list[tuple[Callable[[Json], object], str]] = [
    (several_code_identifiers, "code identifiers besides email: second"),
    (required_user_name, "required traits: username"),
    (
        lambda one: address(one)["credentials"].pop("code"),
        "email lacks identifier for code by email",
    ),
    (
        lambda one: address(one)["credentials"]["code"].update(via="sms"),
        "email lacks identifier for code by email",
    ),
    (
        lambda one: address(one)["credentials"].pop("password"),
        "email lacks identifier for password",
    ),
    (lambda one: address(one).pop("verification"), "lacks verification by email"),
]


@pytest.mark.parametrize(("spoil", "word"), UNFIT)
async def test_unfit(spoil: Callable[[Json], object], word: str) -> None:
    """With a schema that is unsafe, or cannot work, nobody begins; the log says why."""
    document = reference()
    spoil(document)
    scene = Scene(document)
    for _ in range(2):
        with pytest.raises(KratosIncompatible):
            await scene.rules.permit({})

    assert word in scene.log.entry("kratos_incompatible")["why"]
    assert 1 == scene.schemas.reads


async def test_tolerated() -> None:
    """A further identifier is tolerated, and said once in the log."""
    scene = Scene(with_traits(username=marked(USER_NAME)))
    await scene.rules.permit({"name": "Ann"})
    scene.seconds += FRESH_SECONDS
    await scene.rules.permit({"name": "Ann"})

    assert 2 == scene.schemas.reads
    assert ["identity_schema_fault"] == scene.log.events("warning")
    assert "username" in scene.log.entry("identity_schema_fault")["why"]


async def test_mended() -> None:
    """A schema that was mended is noticed soon."""
    document = reference()
    several_code_identifiers(document)
    scene = Scene(document)
    with pytest.raises(KratosIncompatible):
        await scene.rules.permit({})
    scene.schemas.document = reference()
    scene.seconds += FAULTY_SECONDS

    assert [] == await scene.faults({})


async def test_spoiled_while_serving() -> None:
    """One that becomes unsafe under a running server is noticed within a minute."""
    scene = Scene(reference())
    await scene.rules.permit({})
    several_code_identifiers(scene.schemas.document)
    scene.seconds += FRESH_SECONDS - 0.001
    await scene.rules.permit({})
    scene.seconds += 0.001

    with pytest.raises(KratosIncompatible):
        await scene.rules.permit({})


async def test_kratos_away() -> None:
    """A Kratos that is away when the schema is due is not taken at its last word."""
    scene = Scene(reference())
    await scene.rules.permit({})
    scene.schemas.away = True
    scene.seconds += FRESH_SECONDS

    with pytest.raises(KratosUnavailable):
        await scene.rules.permit({})


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, []),
        ({"name": "Ann", "others": 1}, []),
        ({"other": 1}, ["traits.other"]),
        ({"other": {"a": 1}}, ["traits.other", "traits.other.a"]),
        ({"other": [1]}, ["traits.other", "traits.other[]"]),
    ],
)
async def test_reference_elsewhere(given: Json, faults: list[str]) -> None:
    """What stands elsewhere may be an identifier, so nobody may set it."""
    scene = Scene(with_traits(other={"$ref": "https://example.com/trait.json"}))

    assert faults == await scene.faults(given)
    assert ["identity_schema_fault"] == scene.log.events("warning")

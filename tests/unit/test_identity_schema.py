"""What the identity schema means for sign-ups: is it fit, and which traits may come."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from signupd.errors import KratosIncompatible, KratosUnavailable, TraitsInvalid
from signupd.kratos.admin import Kratos
from signupd.kratos.schema import IdentitySchema, read_schema
from signupd.policy.traits import FAULTY_SECONDS, FRESH_SECONDS, SchemaRules

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

Json = dict[str, Any]

PASSWORD = marked(USER_NAME)
TREE = {"properties": {"name": PASSWORD, "parent": {"$ref": "#/definitions/tree"}}}
DEFINITIONS: Json = {
    "user": PASSWORD,
    "object": {"properties": {"c": PASSWORD}},
    "odd/na~me": PASSWORD,
    "tree": TREE,
    "turning": {"$ref": "#/definitions/turning"},
}


class SchemasDouble:
    """Both APIs of a Kratos that has schemas, and may lose them."""

    def __init__(self, document: Json) -> None:
        self.document, self.reads, self.away = document, 0, False
        self.names, self.is_version = frozenset[str](), "v26.2.0"
        self.public = self.admin = self

    async def schemas(self) -> tuple[IdentitySchema, ...]:
        """Read the only one."""
        self.reads += 1
        if self.away:
            raise KratosUnavailable
        return (read_schema("user", self.document),)

    async def fields(self) -> frozenset[str]:
        """Name the fields of the form."""
        return self.names

    async def version(self) -> str:
        """Give the version."""
        return self.is_version


class Scene:
    """Rules over schemas, and a clock."""

    def __init__(self, document: Json) -> None:
        self.seconds = 100.0
        self.log, self.schemas = LogDouble(), SchemasDouble(document)
        kratos = cast("Kratos", self.schemas)
        self.rules = SchemaRules(kratos, None, self.log.logger, lambda: self.seconds)

    async def faults(self, traits: Json) -> list[str]:
        """Name the traits that a caller may not set."""
        try:
            await self.rules.permit(traits)
        except TraitsInvalid as refused:
            return [violation.field for violation in refused.violations]
        return []


async def test_reference() -> None:
    """With the reference schema a caller may set all other traits that it has."""
    scene = Scene(reference())

    assert [] == await scene.faults({"name": "Ann", "newsletter": True})
    assert [] == scene.log.events()


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"name": {"first": "A"}, "tags": [], "free": {"a": {}}}, []),
        ({"name": {"last": None}}, ["traits"]),
        ({"tags": ["a", {"b": 1}]}, ["traits"]),
        ({"name.first": "A"}, ["traits"]),
        ({"nick": "x"}, ["traits"]),
    ],
)
async def test_no_field(given: Json, faults: list[str]) -> None:
    """Kratos 1.3 gets no trait that its form has no field for; others get all."""
    scene = Scene(reference())
    scene.schemas.names = frozenset({"traits.name.first", "traits.tags"})
    newer = await scene.faults(given)
    scene.schemas.is_version = "v1.3.1"

    assert ([], faults) == (newer, await scene.faults(given))


@pytest.mark.parametrize(
    ("mark", "use"),
    [
        (USER_NAME, "identifier for password"),
        (PHONE, "verification by sms"),
        (RECOVERY, "recovery by email"),
        ({"credentials": {"oidc": {"identifier": True}}}, "identifier for oidc"),
        ({"credentials": {"totp": {"account_name": True}}}, None),
        ({"credentials": {"passkey": {"display_name": True}}}, None),
        ({"credentials": {"password": {"identifier": False}}}, None),
        ("nonsense", None),
    ],
)
async def test_marks(mark: Any, use: str | None) -> None:
    """Identifiers, verification and recovery addresses are reserved, and logged."""
    scene = Scene(with_traits(other=marked(mark), plain={"type": "string"}))
    faults = await scene.faults({"other": "x", "plain": "y"})

    assert (["traits.other"] if use else []) == faults
    assert [True] * bool(use) == [
        f"other ({use})" in entry["why"] for entry in scene.log.entries
    ]


@pytest.mark.parametrize(
    ("trait", "given", "faults"),
    [
        ({"properties": {"number": marked(PHONE)}}, {"number": "1"}, {".number"}),
        ({"properties": {"number": marked(PHONE)}}, {"kind": "home"}, set()),
        ({"items": PASSWORD}, ["1", "2"], {"[]"}),
        ({"items": [{}, PASSWORD]}, ["1"], {"[]"}),
        ({"contains": PASSWORD}, ["1"], {"[]"}),
        ({"items": {"properties": {"b": PASSWORD}}}, [{"b": 1}], {"[].b"}),
        ({"properties": {"a": {"items": PASSWORD}}}, {"a": [{"b": 1}]}, {".a[]"}),
        ({"additionalProperties": PASSWORD}, {"any": "1"}, {".any"}),
        ({"additionalProperties": PASSWORD}, {"any.thing": "1"}, {".any.thing"}),
        ({"patternProperties": {"x": PASSWORD}}, {"a[b": "1"}, {".a[b"}),
        ({"allOf": [{}, {"properties": {"a": PASSWORD}}]}, {"a": 1}, {".a"}),
        ({"anyOf": [PASSWORD, {}]}, 1, {""}),
        ({"oneOf": [PASSWORD]}, 1, {""}),
        ({"if": {}, "then": {"properties": {"a": PASSWORD}}}, {"a": 1}, {".a"}),
        ({"if": {}, "else": {"properties": {"a": PASSWORD}}}, {"a": 1}, {".a"}),
        ({"dependencies": {"b": {"properties": {"a": PASSWORD}}}}, {"a": 1}, {".a"}),
        ({"$ref": "#/definitions/user"}, 1, {""}),
        ({"$ref": "#/definitions/object"}, {"c": 1}, {".c"}),
        ({"$ref": "#/definitions/odd~1na~0me"}, 1, {""}),
        # Beside a reference a mark counts for nothing, as in draft 7 and in Kratos.
        ({"$ref": "#/definitions/object", **PASSWORD}, {"d": 1}, set()),
        # A reference that leads out, or back, may lead to an identifier.
        ({"$ref": "https://example.com/x.json"}, {"a": [1]}, {"", ".a", ".a[]"}),
        ({"$ref": "other.json"}, 1, {""}),
        ({"$ref": "#/nowhere"}, 1, {""}),
        ({"$ref": "x#/a"}, [1], {"", "[]"}),
        ({"$ref": "#/definitions/turning"}, 1, {""}),
        ({"$ref": "#/definitions/tree"}, {"name": 1, "other": 1}, {".name"}),
        ({"$ref": "#/definitions/tree"}, {"parent": 1}, {".parent"}),
    ],
)
async def test_wherever_it_stands(trait: Json, given: Any, faults: set[str]) -> None:
    """A mark counts in every schema that applies to a trait, and nowhere else."""
    document = with_traits(it=trait) | {"definitions": DEFINITIONS}
    found = await Scene(document).faults({"it": given, "item": 1})

    assert {f"traits.it{path}" for path in faults} == {*found}


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
    traits["properties"]["username"] = PASSWORD
    traits["required"].append("username")


def demanded(path: str, **root: Any) -> Callable[[Json], object]:
    """Add to the traits' schema what demands an identifier at this path."""

    def spoil(document: Json) -> None:
        traits = document["properties"]["traits"]
        traits["properties"] |= root.pop("properties", {})
        traits |= root

    spoil.__name__ = path
    return spoil


NUMBER: Json = {"required": ["number"], "properties": {"number": marked(PHONE)}}
DEMANDS = [
    demanded("name", properties={"name": PASSWORD}, allOf=[{"required": ["name"]}]),
    demanded("phone.number", properties={"phone": NUMBER}, required=["phone"]),
    demanded(
        "phones[].number",
        properties={"phones": {"items": NUMBER, "minItems": 1}},
        allOf=[{"allOf": [{"required": ["phones"]}]}],
    ),
    demanded(
        "foreign", properties={"foreign": {"$ref": "other.json"}}, required=["foreign"]
    ),
]
# Whoever leaves it out needs no identifier.
LENIENT = [
    demanded("optional", properties={"phone": NUMBER}),
    demanded("empty", properties={"p": {"items": NUMBER}}, required=["email", "p"]),
    demanded("either", properties={"phone": NUMBER}, anyOf=[{"required": ["phone"]}]),
]

UNFIT: list[tuple[Callable[[Json], object], str]] = [
    (several_code_identifiers, "code identifiers besides traits.email: traits.second"),
    (required_user_name, "required that callers may not set: traits.username;"),
    *((one, f"may not set: traits.{one.__name__};") for one in DEMANDS),
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
    (lambda one: one["properties"].pop("traits"), "describes no traits"),
    (lambda one: one.update(properties=1), "describes no traits"),
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


@pytest.mark.parametrize("spoil", LENIENT)
async def test_not_demanded(spoil: Callable[[Json], object]) -> None:
    """An identifier that nobody has to bring keeps nobody out."""
    document = reference()
    spoil(document)

    assert [] == await Scene(document).faults({"name": "Ann"})


@pytest.mark.parametrize("trait", [PASSWORD, {"$ref": "https://example.com/x.json"}])
async def test_tolerated(trait: Json) -> None:
    """A further identifier, or a reference out, is tolerated, and logged once."""
    scene = Scene(with_traits(username=trait))
    await scene.rules.permit({"name": "Ann"})
    scene.seconds += FRESH_SECONDS
    await scene.rules.permit({"name": "Ann"})

    assert 2 == scene.schemas.reads
    assert ["identity_schema_fault"] == scene.log.events("warning")


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
    """If Kratos is away when the schema is due, the last one read does not count."""
    scene = Scene(reference())
    await scene.rules.permit({})
    scene.schemas.away = True
    scene.seconds += FRESH_SECONDS

    with pytest.raises(KratosUnavailable):
        await scene.rules.permit({})

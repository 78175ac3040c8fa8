"""The identity schema: which traits identify a person, and whether sign-ups are safe.

Kratos marks traits with an extension keyword of JSON Schema (its own
``embedx/identity_extension.schema.json``) and honours it wherever a schema applies to
the trait: in nested objects, arrays and conditions, and behind ``$ref``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible
from signupd.kratos.identity import ADDRESS_TRAIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_EXTENSION: Final = "ory.sh/kratos"
_IN_PLACE: Final = ("if", "then", "else", "allOf", "anyOf", "oneOf")
_IN_ARRAYS: Final = ("items", "additionalItems", "contains")
# What the address trait has to be used for, in the words of IdentitySchema.uses.
_NEEDED: Final = frozenset(
    ("identifier for code by email", "identifier for password", "verification by email")
)


@dataclass(frozen=True, slots=True)
class IdentitySchema:
    """An identity schema.

    Args:
        id: Its name in Kratos.
        uses: What Kratos uses each trait for that identifies or reaches a person, by
            path: ``email`` or ``phones[].number``, with ``*`` for any name. A use reads
            ``identifier for password`` or ``verification by sms``.
        required: The traits that every identity has.
        unread: References that lead out of the schema, or back into themselves, by the
            path of their trait.
    """

    id: str
    uses: Mapping[str, frozenset[str]]
    required: tuple[str, ...]
    unread: Mapping[str, str]

    @property
    def reserved(self) -> tuple[str, ...]:
        """The paths of the traits, besides the address, that callers may not set."""
        return tuple(path for path in self.uses if path != ADDRESS_TRAIT)


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A reason why sign-ups with a schema do not work, or need care.

    Args:
        check: The name under which ``signupd check`` reports it.
        severe: Whether the server refuses all sign-ups. If not, it writes a warning to
            its log and refuses the traits in question from callers.
        what: What the schema says.
        why: What that leads to.
    """

    check: str
    severe: bool
    what: str
    why: str


def schema_faults(schema: IdentitySchema) -> list[SchemaFault]:
    """Judge a schema. The server and ``signupd check`` both go by this."""
    lacks = sorted(_NEEDED - schema.uses.get(ADDRESS_TRAIT, frozenset()))
    coded: list[str] = []
    tolerated: list[str] = []
    for path in schema.reserved:
        uses = ", ".join(sorted(schema.uses[path]))
        others = coded if "identifier for code" in uses else tolerated
        others.append(f"{path} ({uses})")
    needed = sorted({*schema.reserved} & {*schema.required})
    faults = (
        SchemaFault(
            "address_trait",
            True,
            f"the trait {ADDRESS_TRAIT} lacks {', '.join(lacks)}",
            "Kratos mails the code to this trait, and people sign in with it",
        ),
        SchemaFault(
            "other_identifiers",
            True,
            f"there are code identifiers besides {ADDRESS_TRAIT}: {', '.join(coded)}",
            "Kratos mails each code to all of them, so another person can read it",
        ),
        SchemaFault(
            "other_identifiers",
            True,
            f"identifiers or addresses are required traits: {', '.join(needed)}",
            "callers may not set them, so every sign-up fails",
        ),
        SchemaFault(
            "other_identifiers",
            False,
            f"there are further identifiers or addresses: {', '.join(tolerated)}",
            "a sign-up does not prove who they belong to, so callers may not set them "
            "(TRAITS_INVALID)",
        ),
        SchemaFault(
            "identity_schema",
            False,
            f"it refers to {', '.join(sorted({*schema.unread.values()}))}",
            "signupd does not read that, and identifiers may stand there, so callers "
            "may not set these traits (TRAITS_INVALID)",
        ),
    )
    present = (lacks, coded, needed, tolerated, schema.unread)
    return [fault for fault, there in zip(faults, present, strict=True) if there]


def registration_schema(
    schemas: Iterable[IdentitySchema], wanted: str | None
) -> IdentitySchema:
    """Choose the schema that registration uses.

    Args:
        schemas: All that Kratos has.
        wanted: Its name; None for the only one.

    Raises:
        KratosIncompatible: There is no such schema, or several and none is named.
    """
    found = {schema.id: schema for schema in schemas}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    names = ", ".join(found) or "none"
    if wanted is None:
        raise KratosIncompatible(
            f"Kratos has several identity schemas ({names}), and IDENTITY_SCHEMA_ID "
            "does not say which of them registration uses"
        )
    raise KratosIncompatible(
        f"Kratos has no identity schema {wanted}, as IDENTITY_SCHEMA_ID says, but "
        f"{names}"
    )


def read_schema(schema_id: str, document: Any) -> IdentitySchema:
    """Read an identity schema.

    Args:
        schema_id: Its name in Kratos.
        document: The JSON Schema.

    Raises:
        KratosIncompatible: It is not an identity schema.
    """
    reader = _Reader(document)
    try:
        reader.walk(document["properties"]["traits"], "", frozenset())
    except (KeyError, TypeError) as error:
        raise KratosIncompatible(
            f"the identity schema {schema_id} describes no traits"
        ) from error
    uses = {path: frozenset(found) for path, found in sorted(reader.uses.items())}
    return IdentitySchema(schema_id, uses, reader.required, reader.unread)


class _Reader:
    """Goes through a schema and collects what its traits are used for.

    Args:
        document: The whole schema, to which its references refer.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self.uses: dict[str, set[str]] = {}
        self.required: tuple[str, ...] = ()
        self.unread: dict[str, str] = {}

    def walk(self, node: Any, path: str, followed: frozenset[str]) -> None:
        """Collect the uses in a schema and in all that it contains.

        Args:
            node: The schema.
            path: Of the trait that it describes.
            followed: The references that led here. A schema may refer to itself.
        """
        if not isinstance(node, dict):
            return
        reference = node.get("$ref")
        if isinstance(reference, str):
            # Draft 7, which Kratos uses, ignores what stands beside a reference.
            target = None if reference in followed else self._target(reference)
            if target is None:
                self.unread[path] = reference
            self.walk(target, path, followed | {reference})
            return
        if not path and not self.required:
            self.required = tuple(str(name) for name in node.get("required", ()))
        for use in _uses(node.get(_EXTENSION)):
            self.uses.setdefault(path, set()).add(use)
        for inner_path, inner in _contained(node, path):
            self.walk(inner, inner_path, followed)

    def _target(self, reference: str) -> Any:
        """Find what a JSON pointer (RFC 6901) in the document points to, or None."""
        base, *parts = reference.split("/")
        node: Any = self._document if base == "#" else None
        try:
            for part in parts:
                name = part.replace("~1", "/").replace("~0", "~")
                node = node[int(name)] if isinstance(node, list) else node[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        return node


def _contained(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """List the schemas right inside of one, each with the path of its trait."""
    prefix = f"{path}." if path else ""
    yield from ((prefix + name, one) for name, one in _members(node, "properties"))
    yield from ((f"{prefix}*", one) for _, one in _members(node, "patternProperties"))
    yield f"{prefix}*", node.get("additionalProperties")
    yield from ((path, inner) for _, inner in _members(node, "dependencies"))
    for keyword in _IN_PLACE:
        yield from ((path, inner) for inner in _several(node.get(keyword)))
    for keyword in _IN_ARRAYS:
        yield from ((f"{path}[]", inner) for inner in _several(node.get(keyword)))


def _members(node: dict[str, Any], keyword: str) -> list[tuple[str, Any]]:
    inner = node.get(keyword)
    return [*inner.items()] if isinstance(inner, dict) else []


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _uses(mark: Any) -> Iterator[str]:
    """List what Kratos' mark at a trait says that it is used for."""
    if not isinstance(mark, dict):
        return
    for name, details in _members(mark, "credentials"):
        if isinstance(details, dict) and details.get("identifier") is True:
            via = details.get("via")
            yield f"identifier for {name}" + (f" by {via}" if via else "")
    for name in ("verification", "recovery"):
        details = mark.get(name)
        if isinstance(details, dict) and details.get("via"):
            yield f"{name} by {details['via']}"

"""The identity schema: by which traits Kratos knows, reaches and lets in a person.

Kratos marks them with an extension keyword of JSON Schema (its own
``embedx/identity_extension.schema.json``) and honours it wherever the schema that
stands there applies: in nested objects, arrays and conditions, and behind ``$ref``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EXTENSION: Final = "ory.sh/kratos"
_IN_PLACE: Final = ("if", "then", "else", "allOf", "anyOf", "oneOf")
_IN_ARRAYS: Final = ("items", "additionalItems", "contains")


@dataclass(frozen=True, slots=True)
class Trait:
    """What Kratos does with a trait besides keeping it.

    Args:
        path: Its place below ``traits``, such as ``email`` or ``phones[].number``, with
            ``*`` for any name.
        identifies: The credentials it is an identifier of, such as ``password``.
        code_via: How codes are sent to it: ``email`` or ``sms``; else empty.
        verified_via: How its owner proves it: likewise.
        recovered_via: How its owner gets back in by it: likewise.
    """

    path: str
    identifies: frozenset[str] = frozenset()
    code_via: str = ""
    verified_via: str = ""
    recovered_via: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether Kratos only keeps it, so that anybody may set it."""
        return not (self.identifies or self.verified_via or self.recovered_via)


@dataclass(frozen=True, slots=True)
class IdentitySchema:
    """An identity schema.

    Args:
        id: Its name in Kratos.
        traits: Those that are not plain, by their paths' order.
        required: The traits at the top without which there is no identity.
        unread: References out of the schema. What stands there is not known here.
        unknown: Where in the traits they stand, as paths.
    """

    id: str
    traits: tuple[Trait, ...]
    required: tuple[str, ...]
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def trait(self, path: str) -> Trait:
        """Return the trait at a path; a plain one if the schema does not mark it."""
        found = [trait for trait in self.traits if trait.path == path]
        return found[0] if found else Trait(path)


def read_schema(schema_id: str, document: Any) -> IdentitySchema:
    """Read an identity schema.

    Args:
        schema_id: Its name in Kratos.
        document: The JSON Schema.

    Raises:
        KratosIncompatible: It is none, or has no traits.
    """
    reader = _Reader(document)
    try:
        top = reader.resolved(document["properties"]["traits"])
        required = tuple(str(name) for name in top.get("required", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise KratosIncompatible(
            f"the identity schema {schema_id} describes no traits"
        ) from error
    reader.walk(top, "", frozenset())
    traits = [_trait(path, marks) for path, marks in sorted(reader.marks.items())]
    return IdentitySchema(
        schema_id,
        tuple(trait for trait in traits if not trait.is_plain),
        required,
        tuple(sorted(reader.unread)),
        tuple(sorted(reader.unknown)),
    )


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
        (wanted,) = found
    if wanted is None:
        raise KratosIncompatible(
            f"Kratos has {len(found)} identity schemas, and which of them "
            "registration uses only IDENTITY_SCHEMA_ID can tell"
        )
    if wanted not in found:
        raise KratosIncompatible(
            "Kratos has no identity schema of the name that IDENTITY_SCHEMA_ID has"
        )
    return found[wanted]


class _Reader:
    """Goes through a schema and collects Kratos' marks.

    Args:
        document: The whole schema, to which its references refer.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self.marks: dict[str, list[dict[str, Any]]] = {}
        self.unread: set[str] = set()
        self.unknown: set[str] = set()

    def walk(self, node: Any, path: str, referred: frozenset[str]) -> None:
        """Collect the marks of a schema and of all that it contains.

        Args:
            node: The schema.
            path: Of the trait that it describes.
            referred: The references that led here; one of them again would lead on
                for ever.
        """
        if not isinstance(node, dict):
            return
        reference = node.get("$ref")
        if isinstance(reference, str):
            # Draft 7, which Kratos speaks, ignores whatever else stands beside it.
            target = self._target(reference)
            if reference in self.unread:
                self.unknown.add(path)
            if reference not in referred:
                self.walk(target, path, referred | {reference})
            return
        mark = node.get(_EXTENSION)
        if isinstance(mark, dict):
            self.marks.setdefault(path, []).append(mark)
        for inner_path, inner in _contained(node, path):
            self.walk(inner, inner_path, referred)

    def resolved(self, node: Any) -> Any:
        """Follow the references that a schema may consist of."""
        seen: set[str] = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            if node["$ref"] in seen:
                return {}
            seen.add(node["$ref"])
            node = self._target(node["$ref"])
        return node

    def _target(self, reference: str) -> Any:
        """Find what a JSON pointer (RFC 6901) in the document points to."""
        if not reference.startswith("#"):
            self.unread.add(reference)
            return {}
        node = self._document
        try:
            for part in reference.removeprefix("#").split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                node = node[int(name)] if isinstance(node, list) else node[name]
        except (KeyError, IndexError, TypeError, ValueError):
            self.unread.add(reference)
            return {}
        return node


def _contained(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """List the schemas right inside of one, each with its trait's path."""
    for name, inner in _members(node, "properties"):
        yield (f"{path}.{name}" if path else name), inner
    any_name = f"{path}.*" if path else "*"
    for _, inner in _members(node, "patternProperties"):
        yield any_name, inner
    yield any_name, node.get("additionalProperties")
    for _, inner in _members(node, "dependencies"):
        yield path, inner
    for keyword in _IN_PLACE:
        yield from ((path, inner) for inner in _several(node.get(keyword)))
    for keyword in _IN_ARRAYS:
        yield from ((f"{path}[]", inner) for inner in _several(node.get(keyword)))


def _members(node: dict[str, Any], keyword: str) -> list[tuple[str, Any]]:
    inner = node.get(keyword)
    return [*inner.items()] if isinstance(inner, dict) else []


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _trait(path: str, marks: list[dict[str, Any]]) -> Trait:
    """Put together what all the schemas that apply to a trait say of it."""
    credentials = {
        name: details
        for mark in marks
        for name, details in _members(mark, "credentials")
        if isinstance(details, dict) and details.get("identifier") is True
    }
    return Trait(
        path,
        identifies=frozenset(credentials),
        code_via=_via([credentials.get("code")]),
        verified_via=_via([mark.get("verification") for mark in marks]),
        recovered_via=_via([mark.get("recovery") for mark in marks]),
    )


def _via(details: list[Any]) -> str:
    """Return the first way to send something that is named."""
    ways = [str(one.get("via", "")) for one in details if isinstance(one, dict)]
    return next(filter(None, ways), "")

"""Identity schemas: which of their traits identify or reach a person.

Kratos marks traits with an extension keyword of JSON Schema (its own
``embedx/identity_extension.schema.json``) and honours it wherever a schema applies to
the trait: in nested objects, arrays and conditions, and behind ``$ref``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from signupd.errors import KratosIncompatible
from signupd.kratos.identity import ADDRESS_TRAIT

_EXTENSION: Final = "ory.sh/kratos"
ROOT: Final = "traits"
ADDRESS: Final = f"{ROOT}.{ADDRESS_TRAIT}"
# The keywords of JSON Schema, draft 7, that hold schemas, one or several, or by name;
# and what each adds to the path of the trait. The others apply to some values only.
_HELD: Final = {
    **dict.fromkeys(("if", "then", "else", "allOf", "anyOf", "oneOf"), ""),
    **dict.fromkeys(("items", "additionalItems", "contains"), "[]"),
    "additionalProperties": ".*",
}
_BY_NAME: Final = {"properties": ".{}", "patternProperties": ".*", "dependencies": ""}
_APPLY_ALWAYS: Final = frozenset({"allOf", "items", "properties"})


@dataclass(frozen=True, slots=True)
class IdentitySchema:
    """An identity schema, by its name in Kratos.

    Paths read ``traits.email`` or ``traits.phones[].number``, with ``*`` for any name;
    a use reads ``identifier for password`` or ``verification by sms``.
    """

    id: str
    uses: Mapping[str, frozenset[str]]  # of what identifies or reaches a person
    required: frozenset[str]  # the paths that every identity has
    unread: Mapping[str, str]  # references out of the schema, or back into themselves


def read_schema(schema_id: str, document: Any) -> IdentitySchema:
    """Read the JSON Schema of this name; KratosIncompatible if it has no traits."""
    reader = _Reader(document)
    try:
        reader.walk(document["properties"]["traits"], ROOT, frozenset())
    except (KeyError, TypeError) as error:
        raise KratosIncompatible(
            f"the identity schema {schema_id} describes no traits"
        ) from error
    uses = {path: frozenset(found) for path, found in sorted(reader.uses.items())}
    return IdentitySchema(schema_id, uses, reader.required(), reader.unread)


@dataclass(slots=True)
class _Reader:
    """Goes through a schema and collects what its traits are used for."""

    document: Any
    uses: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # What has to be there where this path is.
    demanded: defaultdict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    unread: dict[str, str] = field(default_factory=dict)

    def required(self) -> frozenset[str]:
        """Collect what every identity has."""
        found: set[str] = set()
        reached = {ROOT}
        while reached:
            found |= reached
            reached = set().union(*(self.demanded[path] for path in reached)) - found
        return frozenset(found - {ROOT})

    def walk(
        self, node: Any, path: str, followed: frozenset[str], *, always: bool = True
    ) -> None:
        """Collect the uses in a schema of a trait, and in all that it contains.

        ``followed`` has the references that led here: a schema may refer to itself.
        ``always`` says that it applies to each value of the trait.
        """
        if not isinstance(node, dict):
            return
        reference = node.get("$ref")
        if isinstance(reference, str):
            # Draft 7, which Kratos uses, ignores what stands beside a reference.
            target = None if reference in followed else self._target(reference)
            if target is None:
                self.unread[path] = reference
            self.walk(target, path, followed | {reference}, always=always)
            return
        if always:
            self.demanded[path].update(_demanded(node, path))
        for use in _uses(node.get(_EXTENSION)):
            self.uses[path].add(use)
        for keyword, step, inner in _held(node):
            applies = always and keyword in _APPLY_ALWAYS
            self.walk(inner, path + step, followed, always=applies)

    def _target(self, reference: str) -> Any:
        """Find what a JSON pointer (RFC 6901) in the document points to, or None."""
        base, *parts = reference.split("/")
        node: Any = self.document if base == "#" else None
        try:
            for part in parts:
                name = part.replace("~1", "/").replace("~0", "~")
                node = node[int(name)] if isinstance(node, list) else node[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        return node


def _demanded(node: dict[str, Any], path: str) -> Iterator[str]:
    """List what a schema demands right inside of an object or array."""
    names = node.get("required")
    for name in names if isinstance(names, list) else ():
        yield f"{path}.{name}"
    if node.get("minItems") or "contains" in node:
        yield f"{path}[]"


def _held(node: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """List the schemas right inside of one: keyword, step of the path, schema."""
    for keyword, step in _HELD.items():
        held = node.get(keyword)
        for one in held if isinstance(held, list) else [held]:
            yield keyword, step, one
    for keyword, step in _BY_NAME.items():
        for name, one in _members(node, keyword):
            yield keyword, step.format(name), one


def _members(node: dict[str, Any], keyword: str) -> Iterable[tuple[str, Any]]:
    inner = node.get(keyword)
    return inner.items() if isinstance(inner, dict) else ()


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

"""The identity schema: whether sign-ups with it are safe."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from signupd.errors import KratosIncompatible
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.schema import ADDRESS, IdentitySchema

# What the address trait has to be used for, in the words of IdentitySchema.uses.
_NEEDED: Final = frozenset(
    ("identifier for code by email", "identifier for password", "verification by email")
)


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A reason why sign-ups with a schema do not work, or need care.

    The server refuses all sign-ups if it is severe. If not, it logs a warning and
    refuses the traits in question from callers.
    """

    check: str  # under which signupd check reports it
    severe: bool
    what: str
    why: str


_LACKS: Final = SchemaFault(
    "address_trait",
    True,
    f"the trait {ADDRESS_TRAIT} lacks {{}}",
    "Kratos mails the code to this trait, and people sign in with it",
)
_CODED: Final = SchemaFault(
    "other_identifiers",
    True,
    f"there are code identifiers besides {ADDRESS}: {{}}",
    "Kratos sends each code to all of them, so another person can read it",
)
_REQUIRED: Final = SchemaFault(
    "other_identifiers",
    True,
    "traits are required that callers may not set: {}",
    "every sign-up fails without them, and callers may set no identifier, no other "
    "address, and nothing that signupd cannot read",
)
_TOLERATED: Final = SchemaFault(
    "other_identifiers",
    False,
    "there are further identifiers or addresses: {}",
    "a sign-up does not prove who they belong to, so callers may not set them "
    "(TRAITS_INVALID)",
)
_UNREAD: Final = SchemaFault(
    "identity_schema",
    False,
    "it refers to {}",
    "signupd does not read that, and identifiers may stand there, so callers may not "
    "set these traits (TRAITS_INVALID)",
)


def schema_faults(schema: IdentitySchema) -> list[SchemaFault]:
    """Judge a schema. The server and ``signupd check`` both go by this."""
    others = {path: uses for path, uses in schema.uses.items() if path != ADDRESS}
    told = {path: f"{path} ({', '.join(sorted(others[path]))})" for path in others}
    coded = [
        path
        for path, uses in others.items()
        if any(use.startswith("identifier for code") for use in uses)
    ]
    found = (
        (_LACKS, sorted(_NEEDED - schema.uses.get(ADDRESS, frozenset()))),
        (_CODED, [told[path] for path in coded]),
        (_REQUIRED, sorted(schema.required & (others.keys() | schema.unread.keys()))),
        (_TOLERATED, [told[path] for path in others if path not in coded]),
        (_UNREAD, sorted({*schema.unread.values()})),
    )
    return [
        replace(fault, what=fault.what.format(", ".join(names)))
        for fault, names in found
        if names
    ]


def registration_schema(
    schemas: Iterable[IdentitySchema], wanted: str | None
) -> IdentitySchema:
    """Choose the schema that registration uses: the wanted one, or the only one.

    KratosIncompatible says that there is no such schema, or several and none is named.
    """
    found = {schema.id: schema for schema in schemas}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    raise KratosIncompatible(
        "IDENTITY_SCHEMA_ID must name the identity schema that registration uses; it "
        f"is {wanted or 'not set'}, and Kratos has {', '.join(found) or 'none'}"
    )

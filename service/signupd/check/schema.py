"""Does the identity schema know people by one address, and by nothing else?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signupd.check.cures import lines
from signupd.check.findings import Check, Finding, error, ok, warning
from signupd.kratos.identity import ADDRESS_TRAIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from signupd.kratos.schema import IdentitySchema, Trait

_ADDRESS_LINES: Final = """\
"email": {
  "type": "string", "format": "email",
  "ory.sh/kratos": {
    "credentials": {
      "password": {"identifier": true},
      "code": {"identifier": true, "via": "email"}
    },
    "verification": {"via": "email"}
  }
}"""
_ADDRESS: Final = f"the trait {ADDRESS_TRAIT}"


def schema_findings(
    schemas: Sequence[IdentitySchema], wanted: str | None, default: str | None
) -> list[Finding]:
    """Judge the schema that registration uses.

    Args:
        schemas: All that Kratos has.
        wanted: IDENTITY_SCHEMA_ID, where it is set.
        default: What Kratos' configuration file registers with, where it is known.
    """
    by_id = {schema.id: schema for schema in schemas}
    if wanted is not None and wanted not in by_id:
        return [_unknown(wanted, by_id)]
    if wanted is not None and default in by_id and default != wanted:
        return [_another(wanted, default)]
    chosen = wanted or (next(iter(by_id)) if len(by_id) == 1 else default)
    if chosen not in by_id:
        return [_undecided(by_id)]
    schema = by_id[chosen]
    return [
        ok(
            Check.IDENTITY_SCHEMA,
            f"registration uses the schema {schema.id}{_also(schema)}",
        ),
        *_unread(schema),
        _address_finding(schema.trait(ADDRESS_TRAIT)),
        _others_finding(schema),
    ]


def _address_finding(address: Trait) -> Finding:
    """Judge the trait that holds the address."""
    lacks = [
        lack
        for lack, missing in (
            ("an identifier for passwords", "password" not in address.identifies),
            (
                "an identifier for codes by e-mail",
                "code" not in address.identifies or address.code_via != "email",
            ),
            ("verifiable by e-mail", address.verified_via != "email"),
        )
        if missing
    ]
    if not lacks:
        return ok(
            Check.ADDRESS_TRAIT, f"{_ADDRESS} is identifier and verifiable address"
        )
    return error(
        Check.ADDRESS_TRAIT,
        f"{_ADDRESS} is not " + ", nor ".join(lacks),
        "A code is mailed to it, the account is known by it, and Kratos drops the mark "
        "of verification from an address that its schema does not have verified.",
        f"In the identity schema:\n{_ADDRESS_LINES}",
    )


def _others_finding(schema: IdentitySchema) -> Finding:
    """Judge what else Kratos would know, reach or let in a person by."""
    others = [trait for trait in schema.traits if trait.path != ADDRESS_TRAIT]
    if not others:
        return ok(Check.OTHER_IDENTIFIERS, "no other trait is identifier or address")
    names = ", ".join(f"{trait.path} ({_uses(trait)})" for trait in others)
    mailed = any("code" in trait.identifies for trait in others)
    return error(
        Check.OTHER_IDENTIFIERS,
        f"further traits are identifiers or addresses: {names}",
        "Nobody proves them during a sign-up, yet whoever owns one could get into the "
        "account by it."
        + (" Kratos would mail the code to all that codes go to." if mailed else ""),
        "Take ory.sh/kratos from them in the identity schema, or register with "
        "another one.",
    )


def _uses(trait: Trait) -> str:
    return ", ".join(
        [
            *(f"identifier for {name}" for name in sorted(trait.identifies)),
            *(["verification"] if trait.verified_via else []),
            *(["recovery"] if trait.recovered_via else []),
        ]
    )


def _also(schema: IdentitySchema) -> str:
    others = [name for name in schema.required if name != ADDRESS_TRAIT]
    if not others:
        return ""
    return f"; each StartSignup must bring the traits {', '.join(others)}"


def _unread(schema: IdentitySchema) -> list[Finding]:
    if not schema.unread:
        return []
    return [
        warning(
            Check.IDENTITY_SCHEMA,
            f"the schema {schema.id} refers to {', '.join(schema.unread)}",
            "What stands there was not looked at; a second identifier may be there.",
            "Put it into the schema itself, under definitions.",
        )
    ]


def _unknown(wanted: str, by_id: Mapping[str, Any]) -> Finding:
    return error(
        Check.IDENTITY_SCHEMA,
        f"Kratos has no schema {wanted}; it has {', '.join(by_id) or 'none'}",
        "The schema that registration uses has to be known.",
        "Correct SIGNUPD_IDENTITY_SCHEMA_ID.",
    )


def _another(wanted: str, default: str | None) -> Finding:
    return error(
        Check.IDENTITY_SCHEMA,
        f"Kratos registers with the schema {default}, not with {wanted}",
        "Registration always uses Kratos' default schema.",
        lines("identity.default_schema_id", wanted),
    )


def _undecided(by_id: Mapping[str, Any]) -> Finding:
    return error(
        Check.IDENTITY_SCHEMA,
        f"Kratos has several schemas: {', '.join(by_id)}",
        "Which one registration uses (identity.default_schema_id) cannot be seen from "
        "outside.",
        "Set SIGNUPD_IDENTITY_SCHEMA_ID to it.",
    )

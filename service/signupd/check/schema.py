"""The identity schema that registration uses, judged by the server's own rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.check.cures import lines
from signupd.check.findings import Check, Finding, Severity, error, ok
from signupd.errors import SignupdError
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.schema import registration_schema, schema_faults

if TYPE_CHECKING:
    from signupd.check.findings import Subject

_WELL: Final = {
    Check.ADDRESS_TRAIT: f"the trait {ADDRESS_TRAIT} is identifier and verifiable",
    Check.OTHER_IDENTIFIERS: "no other trait is an identifier or an address",
}
_CURES: Final = {
    Check.IDENTITY_SCHEMA: "Put it into the schema itself, under definitions.",
    Check.ADDRESS_TRAIT: """\
In the identity schema:
"email": {
  "type": "string", "format": "email",
  "ory.sh/kratos": {
    "credentials": {
      "password": {"identifier": true},
      "code": {"identifier": true, "via": "email"}
    },
    "verification": {"via": "email"}
  }
}""",
    Check.OTHER_IDENTIFIERS: "Remove ory.sh/kratos from these traits in the identity "
    "schema, or register with another schema.",
}


async def identity_schema(subject: Subject) -> list[Finding]:
    """Judge the schema that registration uses."""
    schemas = await subject.kratos.public.schemas()
    wanted, default = subject.settings.identity_schema_id, None
    if subject.file is not None:
        named = subject.file.value("identity.default_schema_id")
        default = named if named in {one.id for one in schemas} else None
    if wanted is not None and default not in (None, wanted):
        return [_another(wanted, default)]
    try:
        schema = registration_schema(schemas, wanted or default)
    except SignupdError as fault:
        return [_undecided(fault)]
    also = ", ".join(name for name in schema.required if name != ADDRESS_TRAIT)
    uses = f"registration uses the identity schema {schema.id}"
    if also:
        uses += f"; each StartSignup has to bring the traits {also}"
    faults = [
        Finding(
            Check(fault.check),
            Severity.ERROR if fault.severe else Severity.WARNING,
            f"identity schema {schema.id}: {fault.what}",
            f"{fault.why[0].upper()}{fault.why[1:]}.",
            _CURES[Check(fault.check)],
        )
        for fault in schema_faults(schema)
    ]
    found = {one.check for one in faults}
    well = [ok(check, what) for check, what in _WELL.items() if check not in found]
    return [ok(Check.IDENTITY_SCHEMA, uses), *faults, *well]


def _another(wanted: str, default: str | None) -> Finding:
    return error(
        Check.IDENTITY_SCHEMA,
        f"Kratos registers with the schema {default}, not with {wanted}",
        "Registration always uses Kratos' default schema.",
        lines("identity.default_schema_id", wanted),
    )


def _undecided(fault: SignupdError) -> Finding:
    return error(
        Check.IDENTITY_SCHEMA,
        fault.detail,
        "Kratos' API does not show which schema registration uses "
        "(identity.default_schema_id).",
        "Set SIGNUPD_IDENTITY_SCHEMA_ID to that schema.",
    )

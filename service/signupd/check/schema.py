"""The identity schema that registration uses, judged by the server's own rule."""

from typing import Final

from signupd.check.cures import lines
from signupd.check.findings import Check, Finding, Severity, Subject, error, ok
from signupd.errors import KratosIncompatible
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.policy.identity_schema import registration_schema, schema_faults

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
    if wanted and default and default != wanted:
        what = f"Kratos registers with the schema {default}, not with {wanted}"
        why = "Registration always uses Kratos' default schema."
        cure = lines("identity.default_schema_id", wanted)
        return [error(Check.IDENTITY_SCHEMA, what, why, cure)]
    try:
        schema = registration_schema(schemas, wanted or default)
    except KratosIncompatible as fault:
        why = "identity.default_schema_id, which Kratos' API does not show, decides it."
        cure = "Set SIGNUPD_IDENTITY_SCHEMA_ID to the schema that registration uses."
        return [error(Check.IDENTITY_SCHEMA, fault.detail, why, cure)]
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

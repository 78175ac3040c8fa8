"""How Kratos registers people: by which schema, which methods and which hook."""

from collections.abc import Iterable, Iterator
from typing import Final

from signupd.check.findings import (
    Check,
    Finding,
    Severity,
    Subject,
    error,
    hook_lines,
    lines,
    ok,
    warning,
)
from signupd.check.kratos_file import AFTER
from signupd.errors import KratosIncompatible, SignupdError, TraitsInvalid, Violation
from signupd.kratos.hook_proof import probe_address
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.public import FlowKind, Offer
from signupd.kratos.schema import ADDRESS, ROOT, IdentitySchema
from signupd.policy.identity_schema import registration_schema, schema_faults
from signupd.policy.traits import demand_settable, identity_traits

_WELL: Final = {
    Check.ADDRESS_TRAIT: f"the trait {ADDRESS_TRAIT} is identifier and verifiable",
    Check.OTHER_IDENTIFIERS: "no other trait is an identifier or an address",
}
_CURES: Final = {
    Check.IDENTITY_SCHEMA: "Write it out in the schema: no other document, and no "
    "reference back to itself.",
    Check.ADDRESS_TRAIT: """\
In the identity schema under properties.traits.properties.email."ory.sh/kratos", set
what is missing of:
"credentials": {
  "password": {"identifier": true},
  "code": {"identifier": true, "via": "email"}
},
"verification": {"via": "email"}""",
    Check.OTHER_IDENTIFIERS: "Register with another schema, or remove ory.sh/kratos "
    "from these traits: Kratos then forgets such addresses of an account when it next "
    "stores it.",
}
_MAY_STAY: Final = "It can stay so if callers need not set them. If not: "
CAPTCHA: Final = "captcha"  # not a method, but a group of a form's fields
_METHODS: Final = "selfservice.methods"
# The methods that signupd needs: their settings, and what each is for.
NEEDED: Final = {
    "code": (
        {"enabled": True, "passwordless_enabled": True},
        "A registration by code proves the mailbox.",
    ),
    "password": ({"enabled": True}, "A registration by password makes the account."),
}
# What Kratos may offer to browsers only, or late, and the settings that switch it on.
_SWITCHES: Final = {
    "oidc": ("enabled", "config.providers"),
    "passkey": ("enabled",),
    "webauthn": ("enabled", "config.passwordless"),
}
TRAITS: Final = (
    "Give the traits that the identity schema requires with --traits. If it has a "
    "pattern that excludes addresses under probe.invalid, use --canary."
)


async def identity_schema(subject: Subject) -> list[Finding]:
    """Judge the schema that registration uses."""
    schemas = await subject.kratos.public.schemas()
    wanted, default = subject.settings.identity_schema_id, None
    if subject.file is not None:
        named = subject.file.value("identity.default_schema_id")
        default = named if named in {one.id for one in schemas} else None
    try:
        schema = registration_schema(schemas, wanted)
    except KratosIncompatible as fault:
        why = "StartSignup refuses while the schema is unknown."
        cure = "Set SIGNUPD_IDENTITY_SCHEMA_ID"
        cure += f"={default}." if default else " to one of these."
        cure = cure if schemas else "Add a schema to identity.schemas in kratos.yml."
        return [error(Check.IDENTITY_SCHEMA, fault.detail, why, cure)]
    try:
        chosen = wanted is None or await subject.kratos.public.chooses_schema()
    except KratosIncompatible as fault:
        why = "StartSignup refuses."
        cure = (
            "In kratos.yml under identity.schemas, in the entry with the id "
            f"{schema.id}, set:\nselfservice_selectable: true"
        )
        return [error(Check.IDENTITY_SCHEMA, fault.detail, why, cure)]
    if default not in {None, schema.id} and not chosen:
        what = f"Kratos registers with the schema {default}, not with {schema.id}"
        why = "This version of Kratos always registers with its default schema."
        cure = lines("identity.default_schema_id", schema.id)
        return [error(Check.IDENTITY_SCHEMA, what, why, cure)]
    found = [*_schema(schema), *_elsewhere(schemas, schema)]
    found += _refused(_trait_faults(schema, subject))
    if default is None and not chosen and len(schemas) > 1:
        what = f"whether Kratos registers with {schema.id} was not checked"
        why = "This version registers with its default schema, which only a file shows."
        cure = "Give Kratos' configuration file with --kratos-config."
        found.append(warning(Check.IDENTITY_SCHEMA, what, why, cure))
    return found


def _trait_faults(schema: IdentitySchema, subject: Subject) -> Iterable[Violation]:
    """Name the traits of ``--traits`` that StartSignup refuses by our own rules."""
    try:
        identity_traits("", subject.traits)
        demand_settable(schema, subject.traits)
    except TraitsInvalid as fault:
        return fault.violations
    return ()


def _refused(faults: Iterable[Violation]) -> Iterator[Finding]:
    if told := [f"{fault.field} {fault.description}" for fault in faults]:
        what = f"StartSignup refuses what --traits gives: {'; '.join(told)}"
        why = "What depends on the traits was not checked."
        cure = "Correct --traits: give what the identity schema requires."
        yield error(Check.IDENTITY_SCHEMA, what, why, cure)


def _schema(schema: IdentitySchema) -> list[Finding]:
    """Judge a schema by itself."""
    also = ", ".join(
        path.removeprefix(f"{ROOT}.") for path in sorted(schema.required - {ADDRESS})
    )
    uses = f"registration uses the identity schema {schema.id}"
    if also:
        uses += f"; each StartSignup has to bring the traits {also}"
    faults = [
        Finding(
            Check(fault.check),
            Severity.ERROR if fault.severe else Severity.WARNING,
            f"identity schema {schema.id}: {fault.what}",
            f"{fault.why[0].upper()}{fault.why[1:]}.",
            ("" if fault.severe else _MAY_STAY) + _CURES[Check(fault.check)],
        )
        for fault in schema_faults(schema)
    ]
    found = {one.check for one in faults}
    well = [ok(check, what) for check, what in _WELL.items() if check not in found]
    return [ok(Check.IDENTITY_SCHEMA, uses), *faults, *well]


def _elsewhere(
    schemas: Iterable[IdentitySchema], registers: IdentitySchema
) -> Iterator[Finding]:
    """Warn of other schemas with addresses that identify nobody."""
    paths = [
        f"{path} of {one.id}"
        for one in schemas
        for path, uses in one.uses.items()
        if one.id != registers.id
        and any(use.endswith("by email") for use in uses)
        and not any(use.startswith("identifier") for use in uses)
    ]
    if paths:
        what = (
            f"other schemas have addresses that are no identifiers: {', '.join(paths)}"
        )
        why = "Sign-ups for such an address end as ALREADY_REGISTERED."
        cure = (
            "Make them identifiers too, so that their owners can sign in with them, "
            "and store each account once more (docs/migration.md)."
        )
        yield warning(Check.OTHER_IDENTIFIERS, what, why, cure)


async def registration(subject: Subject) -> list[Finding]:
    """Open a flow for a program and one for a browser, and judge what they offer."""
    traits = {**subject.traits, ADDRESS_TRAIT: probe_address()}
    api = await subject.kratos.public.offer(FlowKind.API, traits)
    if api is None:
        cure = lines("selfservice.flows.registration.enabled", value=True)
        what, why = "registration is off", "Kratos makes no accounts."
        return [error(Check.REGISTRATION, what, why, cure)]
    try:
        browser = await subject.kratos.public.offer(FlowKind.BROWSER, traits)
    except SignupdError:
        browser = None
    seen = api.methods if browser is None else api.methods | browser.methods
    if subject.file is not None:
        seen |= {
            method
            for method, switches in _SWITCHES.items()
            if all(subject.file.value(f"{_METHODS}.{method}.{s}") for s in switches)
        }
    refused = [one for one in api.refused if one.field != ADDRESS_TRAIT]  # of the probe
    if subject.traits and refused:
        return list(_refused(refused))
    others = [_other(method, subject) for method in sorted(seen - NEEDED.keys())]
    if subject.file is None and (browser is None or not browser.whole):
        what = "Kratos does not show what it offers to browsers"
        why = "It offers passkeys and WebAuthn to browsers only."
        cure = f"Check that {_METHODS}.passkey and .webauthn are off, or have hooks."
        cure = cure if api.whole else TRAITS
        others.append(warning(Check.OTHER_METHODS, what, why, cure))
    return [
        ok(Check.REGISTRATION, "registration is on"),
        *(_needed(method, api) for method in NEEDED),
        *(others or [ok(Check.OTHER_METHODS, "there is no other way to register")]),
    ]


def method_off(method: str) -> Finding:
    """Make the finding that one of the needed methods is off."""
    value, why = NEEDED[method]
    what = f"registration by {method} is off"
    cure = lines(f"{_METHODS}.{method}", value)
    return error(Check(f"{method}_method"), what, why, cure)


def _needed(method: str, api: Offer) -> Finding:
    check = Check(f"{method}_method")
    if method in api.methods:
        return ok(check, f"registration by {method} is on")
    if api.whole:
        return method_off(method)
    what = f"Kratos does not show whether registration by {method} is on"
    why = "It shows that only for an address and traits that fit its schema."
    return warning(check, what, why, TRAITS)


def _other(method: str, subject: Subject) -> Finding:
    check, what = Check.OTHER_METHODS, f"registration by {method} is on"
    if method == CAPTCHA:
        why = "Kratos refuses what signupd sends, and StartSignup fails."
        cure = "Switch it off for registration; ask for it before StartSignup."
        return error(check, "registration asks for a captcha", why, cure)
    if subject.file is not None and subject.file.may_refuse(f"{AFTER}.{method}"):
        return ok(check, f"{what}, with a hook of its own that may refuse")
    why = "A hook belongs to one method, so people can register by it past signupd."
    off = lines(f"{_METHODS}.{method}.enabled", value=False)
    refuse = hook_lines("code", subject.settings, method)
    cure = f"{off}\nor, so that nobody can register by it:\n{refuse}"
    return warning(check, what, why, cure)

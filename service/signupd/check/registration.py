"""How Kratos registers people: by which schema, which methods and which hook."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from signupd.check.findings import (
    Check,
    Finding,
    Severity,
    Subject,
    error,
    hook_change,
    hook_lines,
    lines,
    ok,
    warning,
)
from signupd.check.kratos_file import AFTER
from signupd.errors import KratosIncompatible, KratosUnreached, SignupdError
from signupd.kratos.answers import NOT_NOW_ID, UNKNOWN_FLOW_ID, PasswordAnswer
from signupd.kratos.hook_proof import FAULTS, REFUSED_BY_US, probe, probe_address
from signupd.kratos.http import HttpClient
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.public import FlowKind, Offer
from signupd.kratos.schema import IdentitySchema
from signupd.notation import dialled
from signupd.policy.identity_schema import registration_schema, schema_faults
from signupd.ports.hooks import KEY_HEADER, PASSWORD_PATH

_WELL: Final = {
    Check.ADDRESS_TRAIT: f"the trait {ADDRESS_TRAIT} is identifier and verifiable",
    Check.OTHER_IDENTIFIERS: "no other trait is an identifier or an address",
}
_CURES: Final = {
    Check.IDENTITY_SCHEMA: "Put it into the schema itself, under definitions.",
    Check.ADDRESS_TRAIT: """\
In the identity schema under properties.traits.properties.email."ory.sh/kratos", set
what is missing of:
"credentials": {
  "password": {"identifier": true},
  "code": {"identifier": true, "via": "email"}
},
"verification": {"via": "email"}""",
    Check.OTHER_IDENTIFIERS: "Remove ory.sh/kratos from these traits in the identity "
    "schema, or register with another schema.",
}
# Why it matters what a password hook was seen to do.
_WRONG_HOOKS: Final = {
    PasswordAnswer.CREATED: "Anybody can register past signupd",
    PasswordAnswer.HOOK_LATE: "Anybody can register past signupd",
    PasswordAnswer.HOOK_SWAPPED: "Kratos makes no account",
}
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
_TRAITS: Final = "Give the traits that the identity schema requires with --traits."
_SERVE: Final = "Start `signupd serve` and run this check again."
PORT_SECONDS: Final = 5.0


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
    if default is None and not chosen and len(schemas) > 1:
        what = f"whether Kratos registers with {schema.id} was not checked"
        why = "This version registers with its default schema, which only a file shows."
        cure = "Give Kratos' configuration file with --kratos-config."
        found.append(warning(Check.IDENTITY_SCHEMA, what, why, cure))
    return found


def _schema(schema: IdentitySchema) -> list[Finding]:
    """Judge a schema by itself."""
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
        cure = "Make them identifiers too, so that their owners can sign in with them."
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
    others = [_other(method, subject) for method in sorted(seen - NEEDED.keys())]
    if subject.file is None and (browser is None or not browser.whole):
        what = "Kratos does not show what it offers to browsers"
        why = "It offers passkeys and WebAuthn to browsers only."
        cure = f"Check that {_METHODS}.passkey and .webauthn are off, or have hooks."
        cure = cure if api.whole else _TRAITS
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
    why = "It shows that only together with all traits that its schema requires."
    return warning(check, what, why, _TRAITS)


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


async def password_hook(subject: Subject) -> list[Finding]:
    """See who answers at HOOK_LISTEN, and have Kratos call its password hook.

    The registration for that costs Kratos one password hash and leaves no account.
    """
    port = await _hook_port(subject)
    answer = await probe(subject.kratos, subject.log, subject.traits)
    cure = hook_lines("password", subject.settings)
    if answer is PasswordAnswer.HOOK_LATE:
        cure = hook_change("password", {"response": {"parse": True}})
    if answer is PasswordAnswer.HOOK_SWAPPED:
        cure = "\nand\n".join(
            hook_lines(hook, subject.settings, wrong=wrong)
            for hook, wrong in (("password", "code"), ("code", "password"))
        )
    return [port, _judged(answer, port, cure)]


async def _hook_port(subject: Subject) -> Finding:
    check, cert = Check.HOOK_PORT, subject.settings.hook_tls_cert
    keys = [key.get_secret_value() for key in subject.settings.hook_key]
    headers = {KEY_HEADER: keys[0]} if keys else {}
    url = f"{dialled(subject.settings.hook_listen)}{PASSWORD_PATH}"
    url = f"http://{url}" if cert is None else f"https://{url}"
    http = HttpClient(ca=cert, pinned=True)
    try:
        answer = await http.request("POST", url, PORT_SECONDS, {}, headers)
    except KratosUnreached as fault:
        what = f"no server answers at HOOK_LISTEN: {fault.detail}"
        why = "Kratos' hooks come in there. Without an answer Kratos makes no account."
        return warning(check, what, why, _SERVE)
    except SignupdError:
        answer = None
    finally:
        await http.close()
    said = "" if answer is None else str(answer.body)
    if any(str(one) in said for one in (UNKNOWN_FLOW_ID, NOT_NOW_ID)):
        return ok(check, "a signupd answers at HOOK_LISTEN")
    if answer is not None and answer.status == HTTPStatus.FORBIDDEN:
        what = "the server at HOOK_LISTEN expects another key"
        why = "This check's SIGNUPD_HOOK_KEY differs from that server's, or is unset."
        return error(check, what, why, "Run this check with the server's settings.")
    what = "a program other than signupd answers at HOOK_LISTEN"
    why = "signupd cannot start there, and that program gets Kratos' hooks."
    cure = "Stop it, or change the port in SIGNUPD_HOOK_LISTEN and in Kratos' hooks."
    return error(check, what, why, cure)


def _judged(answer: PasswordAnswer, port: Finding, cure: str) -> Finding:
    """Judge the answer to a registration that the password hook has to refuse."""
    check = Check.PASSWORD_HOOK
    if answer in REFUSED_BY_US:
        return ok(check, "Kratos calls the password hook, and a signupd refuses")
    if answer is PasswordAnswer.METHOD_OFF:
        return method_off("password")
    if answer in _WRONG_HOOKS:
        what, _, setting = FAULTS[answer].partition(": ")
        return error(check, what, f"{_WRONG_HOOKS[answer]}: {setting}.", cure)
    if answer not in (PasswordAnswer.HOOK_AWAY, PasswordAnswer.UNCLEAR):
        what = "the password hook was not checked"
        why = "Kratos refused the traits or the password before it called any hook."
        return warning(check, what, why, _TRAITS)
    if port.severity is Severity.WARNING:
        what = "Kratos calls a password hook, but whether it is ours was not checked"
        why = "Kratos stored nothing, and no server runs to answer the hook."
        return warning(check, what, why, _SERVE)
    what = (
        "Kratos does not reach the server's password hook, sends another key, or does "
        "not trust its certificate"
    )
    why = "Kratos makes no account without its answer. Kratos' log may say more."
    return error(check, what, why, cure)

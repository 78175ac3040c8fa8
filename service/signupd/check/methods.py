"""The ways to register that Kratos offers: the two that signupd needs, and others."""

from typing import Final

from signupd.check.cures import hook_lines, lines
from signupd.check.findings import Check, Finding, Subject, error, ok, warning
from signupd.errors import SignupdError
from signupd.kratos.hook_proof import probe_address
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.offer import FlowKind, Offer

_METHODS: Final = "selfservice.methods"
# The methods that signupd needs: their settings, and what each is for.
NEEDED: Final = {
    "code": (
        {"enabled": True, "passwordless_enabled": True},
        "A registration by code proves the mailbox.",
    ),
    "password": (
        {"enabled": True},
        "A registration by password makes the account.",
    ),
}
OFF: Final = error(
    Check.REGISTRATION,
    "registration is off",
    "Kratos makes no accounts.",
    lines("selfservice.flows.registration.enabled", value=True),
)
BROWSER_UNSEEN: Final = warning(
    Check.OTHER_METHODS,
    "Kratos does not show what it offers to browsers",
    "It offers passkeys and WebAuthn to browsers only.",
    f"Make sure that {_METHODS}.passkey and .webauthn are off, or have hooks of their "
    "own.",
)


async def registration(subject: Subject) -> list[Finding]:
    """Open a flow for a program and one for a browser, and judge what they offer."""
    traits = {**subject.traits, ADDRESS_TRAIT: probe_address()}
    api = await subject.kratos.public.offer(FlowKind.API, traits)
    if api is None:
        return [OFF]
    try:
        browser = await subject.kratos.public.offer(FlowKind.BROWSER, traits)
    except SignupdError:
        browser = None
    seen = api.methods if browser is None else api.methods | browser.methods
    others = [_other(method, subject) for method in sorted(seen - NEEDED.keys())]
    if browser is None or not browser.whole:
        others.append(BROWSER_UNSEEN)
    return [
        ok(Check.REGISTRATION, "registration is on"),
        *(_needed(method, api) for method in NEEDED),
        *(others or [ok(Check.OTHER_METHODS, "there is no other way to register")]),
    ]


def method_off(method: str) -> Finding:
    """Make the finding that one of the needed methods is off."""
    value, why = NEEDED[method]
    return error(
        Check(f"{method}_method"),
        f"registration by {method} is off",
        why,
        lines(f"{_METHODS}.{method}", value),
    )


def _needed(method: str, api: Offer) -> Finding:
    check = Check(f"{method}_method")
    if method in api.methods:
        return ok(check, f"registration by {method} is on")
    if api.whole:
        return method_off(method)
    return warning(
        check,
        f"Kratos does not show whether registration by {method} is on",
        "It shows that only together with all traits that its schema requires.",
        "Give the traits with --traits.",
    )


def _other(method: str, subject: Subject) -> Finding:
    what = f"registration by {method} is on"
    if subject.file is not None and method in subject.file.hooked():
        what += ", with a hook of its own that may refuse"
        return ok(Check.OTHER_METHODS, what)
    return warning(
        Check.OTHER_METHODS,
        what,
        "Hooks belong to one method each, so people can register by it past signupd.",
        f"{lines(f'{_METHODS}.{method}.enabled', value=False)}\n"
        "or, so that nobody can register by it:\n"
        + hook_lines("code", subject.settings, method),
    )

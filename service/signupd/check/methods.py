"""The ways to register that Kratos offers: the two that signupd needs, and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.check.cures import hook_lines, lines
from signupd.check.findings import Check, Finding, error, ok, warning
from signupd.errors import SignupdError
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.offer import FlowKind
from signupd.signup.probe import probe_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from signupd.check.findings import Subject
    from signupd.kratos.offer import Offer
    from signupd.settings import Settings

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


async def registration(subject: Subject) -> list[Finding]:
    """Open a flow of each kind and judge what it offers. Nothing is registered."""
    public, file = subject.kratos.public, subject.file
    traits = {**subject.traits, ADDRESS_TRAIT: probe_address()}
    api = await public.offer(FlowKind.API, traits)
    try:
        browser = await public.offer(FlowKind.BROWSER, traits)
    except SignupdError:
        browser = None
    hooked = frozenset() if file is None else file.hooked()
    return method_findings(api, browser, subject.settings, hooked)


def method_findings(
    api: Offer | None,
    browser: Offer | None,
    settings: Settings,
    hooked: Collection[str],
) -> list[Finding]:
    """Judge what is offered.

    Args:
        api: To a program such as signupd; None if registration is off.
        browser: To a browser, which is offered more; None if that was not shown.
        settings: For the cures.
        hooked: The methods with a hook of their own that may refuse, as far as Kratos'
            configuration file is known.
    """
    if api is None:
        return [
            error(
                Check.REGISTRATION,
                "registration is off",
                "Kratos makes no accounts.",
                lines("selfservice.flows.registration.enabled", value=True),
            )
        ]
    offers = [api] if browser is None else [api, browser]
    others = {method for offer in offers for method in offer.methods} - NEEDED.keys()
    findings = [_other(method, settings, hooked) for method in sorted(others)]
    if browser is None or not browser.whole:
        findings.append(
            warning(
                Check.OTHER_METHODS,
                "Kratos does not show what it offers to browsers",
                "It offers passkeys and WebAuthn to browsers only.",
                f"Make sure that {_METHODS}.passkey and .webauthn are off, or have "
                "hooks of their own.",
            )
        )
    return [
        ok(Check.REGISTRATION, "registration is on"),
        *(_needed(method, api) for method in NEEDED),
        *(findings or [ok(Check.OTHER_METHODS, "there is no other way to register")]),
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


def _other(method: str, settings: Settings, hooked: Collection[str]) -> Finding:
    what = f"registration by {method} is on"
    if method in hooked:
        what += ", with a hook of its own that may refuse"
        return ok(Check.OTHER_METHODS, what)
    return warning(
        Check.OTHER_METHODS,
        what,
        "Hooks belong to one method each, so people can register by it past signupd.",
        f"{lines(f'{_METHODS}.{method}.enabled', value=False)}\n"
        "or, so that nobody can register by it:\n"
        + hook_lines("code", settings, method),
    )

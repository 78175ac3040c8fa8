"""Which ways to register does Kratos offer: the two we need, and any past us?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.check.cures import hook_lines, lines
from signupd.check.findings import Check, Finding, error, ok, warning
from signupd.errors import SignupdError
from signupd.kratos.offer import FlowKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from signupd.kratos.offer import Offer
    from signupd.kratos.public import PublicApi
    from signupd.settings import Settings

_METHODS: Final = "selfservice.methods"
OURS: Final = {
    "code": (
        f"{_METHODS}.code",
        {"enabled": True, "passwordless_enabled": True},
        "A registration by code is how a mailbox is proved.",
    ),
    "password": (
        f"{_METHODS}.password",
        {"enabled": True},
        "The account is made by one registration with a password.",
    ),
}


@dataclass(frozen=True, slots=True)
class Offers:
    """What the flows of both kinds offer.

    Args:
        api: To a program such as this service; None where registration is off.
        browser: To a browser, which is offered more; None where none could be opened.
    """

    api: Offer | None
    browser: Offer | None

    @property
    def all(self) -> frozenset[str]:
        """Name the methods of both."""
        offers = [offer for offer in (self.api, self.browser) if offer is not None]
        return frozenset().union(*(offer.methods for offer in offers))


async def offers(public: PublicApi, traits: Mapping[str, Any]) -> Offers:
    """Open a flow of each kind, and look at what it offers.

    Args:
        public: Kratos' public API.
        traits: Such as fit the schema.

    Raises:
        SignupdError: No flow could be opened for a program.
    """
    api = await public.offer(FlowKind.API, traits)
    try:
        browser = await public.offer(FlowKind.BROWSER, traits)
    except SignupdError:
        browser = None
    return Offers(api, browser)


def method_findings(
    seen: Offers, settings: Settings, hooked: Collection[str]
) -> list[Finding]:
    """Judge what is offered.

    Args:
        seen: That.
        settings: For the cures.
        hooked: Methods that have a hook of their own which may say no, as far as
            Kratos' configuration file is known.
    """
    if seen.api is None:
        return [_off()]
    return [
        ok(Check.REGISTRATION, "registration is on"),
        *(_needed(method, seen.api) for method in OURS),
        *_others(seen, settings, hooked),
    ]


def _off() -> Finding:
    return error(
        Check.REGISTRATION,
        "registration is off",
        "Kratos makes no account, whoever asks.",
        lines("selfservice.flows.registration.enabled", value=True),
    )


def method_off(method: str) -> Finding:
    """Find that one of our two methods is off."""
    path, value, why = OURS[method]
    what = f"registration by {method} is off"
    return error(Check(f"{method}_method"), what, why, lines(path, value))


def _needed(method: str, api: Offer) -> Finding:
    """Judge whether one of our two methods is on."""
    check = Check(f"{method}_method")
    if method in api.methods:
        return ok(check, f"registration by {method} is on")
    if api.whole:
        return method_off(method)
    return warning(
        check,
        f"whether registration by {method} is on cannot be seen",
        "Kratos shows it to those alone who bring the traits that its schema requires.",
        "Give them with --traits.",
    )


def _others(seen: Offers, settings: Settings, hooked: Collection[str]) -> list[Finding]:
    """Judge the ways to register that are not ours."""
    others = sorted(seen.all - OURS.keys())
    findings = [_other(method, settings, hooked) for method in others]
    if seen.browser is None or not seen.browser.whole:
        findings.append(
            warning(
                Check.OTHER_METHODS,
                "what Kratos offers to browsers cannot be seen",
                "Passkeys and WebAuthn are offered to browsers alone.",
                "See that selfservice.methods.passkey and .webauthn are off, or have "
                "hooks of their own.",
            )
        )
    return findings or [ok(Check.OTHER_METHODS, "nobody can register in another way")]


def _other(method: str, settings: Settings, hooked: Collection[str]) -> Finding:
    if method in hooked:
        return ok(
            Check.OTHER_METHODS,
            f"registration by {method} is on, with a hook of its own that may refuse",
        )
    return warning(
        Check.OTHER_METHODS,
        f"registration by {method} is on",
        "Kratos asks hooks method by method: whoever registers by it goes past us.",
        f"{lines(f'{_METHODS}.{method}.enabled', value=False)}\n"
        "or, so that nobody can register by it:\n"
        + hook_lines("code", settings, method),
    )

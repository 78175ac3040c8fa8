"""The preflight: every check in turn, as far as Kratos can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.check.file_hooks import hook_findings
from signupd.check.file_rules import RULES
from signupd.check.findings import Check, Finding, Severity, error, warning
from signupd.check.methods import method_findings, offers
from signupd.check.password_hook import password_hook_findings
from signupd.check.reach import reach
from signupd.check.schema import schema_findings
from signupd.errors import SignupdError
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.probe import probe_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    import structlog

    from signupd.check.kratos_file import KratosFile
    from signupd.kratos.client import Kratos
    from signupd.kratos.http import HttpClient
    from signupd.settings import Settings

# Without these the probe of the password hook would tell nothing new.
_NEEDED: Final = frozenset({Check.REGISTRATION, Check.PASSWORD_METHOD})


@dataclass(frozen=True, slots=True)
class Look:
    """What a preflight looks with.

    Args:
        kratos: Kratos' two APIs.
        hook_http: To the hook port of a running server; without a token of Kratos.
        log: What could not be cleaned up is named there.
        settings: What Kratos has to agree with.
    """

    kratos: Kratos
    hook_http: HttpClient
    log: structlog.typing.FilteringBoundLogger
    settings: Settings


async def preflight(
    look: Look,
    file: KratosFile | None,
    traits: Mapping[str, Any],
    *,
    canary_follows: bool,
) -> list[Finding]:
    """Make every check.

    Args:
        look: What to look with.
        file: Kratos' configuration, where it was given.
        traits: What the identity schema demands besides the address.
        canary_follows: Whether the code hook will be tried afterwards.
    """
    reached = await reach(look.kratos)
    findings = [*reached.findings]
    if reached.well:
        default = (
            None if file is None else str(file.value("identity.default_schema_id"))
        )
        wanted = look.settings.identity_schema_id
        findings += schema_findings(reached.schemas, wanted, default)
        findings += await _registration(look, file, traits)
    if file is not None:
        rules = [rule(file, look.settings) for rule in RULES]
        return [*findings, *hook_findings(file, look.settings), *rules]
    return findings + _unseen(canary_follows=canary_follows)


async def _registration(
    look: Look, file: KratosFile | None, traits: Mapping[str, Any]
) -> list[Finding]:
    """Look at the ways to register, then try ours."""
    hooked = frozenset() if file is None else file.hooked()
    probed = {**traits, ADDRESS_TRAIT: probe_address()}
    try:
        seen = await offers(look.kratos.public, probed)
    except SignupdError as fault:
        return [_closed(fault)]
    findings = method_findings(seen, look.settings, hooked)
    wrong = {one.check for one in findings if one.severity is Severity.ERROR}
    if wrong & _NEEDED:
        return findings
    return findings + await password_hook_findings(
        look.kratos, look.hook_http, look.log, look.settings, traits
    )


def _closed(fault: SignupdError) -> Finding:
    return error(
        Check.REGISTRATION,
        "Kratos opens no registration flow",
        f"{fault.detail}. Every sign-up begins with one.",
        "Look into Kratos' log.",
    )


def _unseen(*, canary_follows: bool) -> list[Finding]:
    """Tell what was not looked at, lest it be taken for being well."""
    file = warning(
        Check.CONFIG_FILE,
        "the order of hooks, lifetimes, hasher and courier were not looked at",
        "No API of Kratos shows them.",
        "Give its configuration with --kratos-config.",
    )
    if canary_follows:
        return [file]
    hook = warning(
        Check.CODE_HOOK,
        "whether Kratos asks the code hook was not tried",
        "It asks after a right code, which only the mailbox's owner has.",
        "Try it with --canary, or give Kratos' configuration with --kratos-config.",
    )
    return [hook, file]

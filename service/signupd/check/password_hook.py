"""Does Kratos ask our password hook before it stores an account? The probe tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from signupd.check.cures import AFTER, hook_lines
from signupd.check.findings import Check, Finding, error, ok, warning
from signupd.check.hook_port import (
    Ear,
    Heard,
    listening,
    occupant_finding,
    unusable_finding,
)
from signupd.check.methods import method_off
from signupd.errors import SignupdError
from signupd.hooks import PASSWORD_PATH
from signupd.kratos.outcomes import PasswordAnswer
from signupd.kratos.probe import REFUSED_BY_US, probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import structlog

    from signupd.kratos.client import Kratos
    from signupd.kratos.http import HttpClient
    from signupd.kratos.probe import Probed
    from signupd.settings import Settings

CHECK: Final = Check.PASSWORD_HOOK
_HOOKS: Final = f"{AFTER}.password.hooks"
_WHY: Final = "It is what keeps unfinished sign-ups and strangers out of Kratos."
_BODY: Final = """\
function(ctx) {
  flow_id: ctx.flow.id,
  email: ctx.identity.traits.email,
}"""


async def password_hook_findings(
    kratos: Kratos,
    http: HttpClient,
    log: structlog.typing.FilteringBoundLogger,
    settings: Settings,
    traits: Mapping[str, Any],
) -> list[Finding]:
    """Make the probe. It costs Kratos one password hash, and leaves no account.

    Args:
        kratos: The adapter.
        http: To the hook port of a server that runs; without a token of Kratos.
        log: What the probe could not clean up is named there.
        settings: Where the hooks come in, and with which key.
        traits: What the schema demands besides the address.
    """
    key = settings.hook_key
    ear = Ear(log, None if key is None else key.get_secret_value())
    try:
        async with listening(ear, settings.hook_listen) as ours:
            findings = [] if ours else [await occupant_finding(http, settings)]
            begun = time.monotonic()
            probed = await probe(kratos, log, traits)
    except OSError as fault:
        return [unusable_finding(fault)]
    except SignupdError as fault:
        return [_unanswered(fault)]
    heard = ear.heard if ours else None
    return [*findings, judge(probed, heard, settings, begun)]


def judge(
    probed: Probed, heard: Heard | None, settings: Settings, begun: float
) -> Finding:
    """Judge what came of the probe.

    Args:
        probed: That.
        heard: What came in at our hook port; None where a running server listens.
        settings: For the cures.
        begun: When the probe began, in monotonic seconds.
    """
    if probed.answer in REFUSED_BY_US:
        return _refused(probed, heard, begun)
    if probed.stored or probed.answer is PasswordAnswer.CREATED:
        return _stored(heard, settings)
    if probed.answer is PasswordAnswer.UNCLEAR:
        return _unclear(heard, settings)
    if probed.answer is PasswordAnswer.METHOD_OFF:
        return method_off("password")
    return _unproved()


def _refused(probed: Probed, heard: Heard | None, begun: float) -> Finding:
    """Judge a refusal by our hook: ours, or that of a server elsewhere."""
    if heard is None or PASSWORD_PATH not in heard.paths:
        return ok(CHECK, "Kratos asks the password hook, and a running signupd refused")
    asked_at = heard.asked.get((probed.flow_id, probed.address))
    if asked_at is not None:
        waited = round(1000 * (asked_at - begun))
        return ok(CHECK, f"Kratos asked the password hook, {waited} ms into the probe")
    return error(
        CHECK,
        "Kratos asks the password hook, but not about the flow and the address",
        "signupd says yes to one flow and one address; it would refuse every sign-up.",
        "In hooks/password.jsonnet, which `body` names:\n" + _BODY,
    )


def _stored(heard: Heard | None, settings: Settings) -> Finding:
    """Judge an account that was stored, and is deleted again."""
    if heard is not None and PASSWORD_PATH in heard.paths:
        what = "Kratos asks the password hook after it has stored the account"
    else:
        what = "Kratos stored an account without asking the password hook"
    return error(
        CHECK,
        what,
        f"{_WHY} Kratos waits for its answer only where it stands under {_HOOKS} (not "
        "under after.hooks) with response.parse true, the last of the parsing ones.",
        hook_lines("password", settings),
    )


def _unclear(heard: Heard | None, settings: Settings) -> Finding:
    """Judge an error of Kratos with which nothing was stored."""
    cure = hook_lines("password", settings)
    if heard is not None and heard.keyless:
        return error(
            CHECK,
            "Kratos comes to the password hook without our key, or with another",
            "Whoever lacks SIGNUPD_HOOK_KEY hears nothing, so Kratos makes no account.",
            cure,
        )
    if heard is None:
        what = (
            "Kratos does not reach the password hook of the running signupd, or comes "
            "with another key than its SIGNUPD_HOOK_KEY"
        )
    elif PASSWORD_PATH in heard.paths:
        what = "Kratos asked the password hook, and then failed otherwise"
    elif heard.paths:
        what = f"Kratos asks at {', '.join(sorted(heard.paths))}, not {PASSWORD_PATH}"
    else:
        what = "Kratos does not reach the password hook"
    return error(
        CHECK, what, f"{_WHY} Kratos makes no account before it answers.", cure
    )


def _unproved() -> Finding:
    return warning(
        CHECK,
        "whether Kratos asks the password hook could not be tried",
        "Kratos refused the probe's traits or password before it came to any hook.",
        "Give the traits that the schema requires with --traits.",
    )


def _unanswered(fault: SignupdError) -> Finding:
    return error(
        CHECK,
        "Kratos did not answer a registration with a password",
        f"{fault.detail}. Each account is made by one.",
        "Look into Kratos' log.",
    )

"""Why a canary cannot go on, and what an operator can do about a refused call."""

from dataclasses import dataclass
from typing import Final

from signupd.check.findings import Check, Finding, error, hook_lines
from signupd.client.channel import Refusal
from signupd.settings import Settings

STEPS: Final = {
    "StartSignup": Check.CANARY_START,
    "GetSignup": Check.CANARY_MAIL,
    "VerifyCode": Check.CANARY_CODE_HOOK,
    "SetPassword": Check.CANARY_PASSWORD_HOOK,
    "CancelSignup": Check.CANARY_REMOVED,
}
APIS: Final = "See the findings about Kratos' APIs, and the server's log."
# The hook that Kratos calls during a call.
_HOOKS: Final = {"VerifyCode": "code", "SetPassword": "password"}
_INCOMPATIBLE: Final = "KRATOS_INCOMPATIBLE"
# By reason; without one nobody answered.
_CURES: Final = {
    "": "Start `signupd serve`, or correct SIGNUPD_LISTEN or --target. With TLS, "
    "--target is a name in the server's certificate, and --ca its authority unless the "
    "system trusts it; SIGNUPD_TLS_CLIENT_CA demands --cert and --key too.",
    "CALLER_NOT_PERMITTED": "Permit this caller's certificate in SIGNUPD_CALLERS.",
    "CODE_INCORRECT": "Type the code of the newest mail.",
    _INCOMPATIBLE: "See the other findings, and the server's log.",
    "KRATOS_UNAVAILABLE": APIS,
    "LEDGER_UNAVAILABLE": "See the log of the ledger's database.",
    "PASSWORD_REJECTED": "See Kratos' password policy: it refused a random password.",
    "RESEND_TOO_SOON": "Wait, or use another address.",
    "SEND_LIMIT_REACHED": "Wait, or use another address: its mails are limited.",
    "TRAITS_INVALID": "Give the traits that the schema requires with --traits.",
}


@dataclass(eq=False)
class CanaryFailedError(Exception):
    """The canary cannot go on: why, and the contract's reason if a call was refused."""

    finding: Finding
    reason: str = ""


def refused(rpc: str, refusal: Refusal, settings: Settings) -> CanaryFailedError:
    """Say why a call was refused, or that nobody answered it."""
    reason, what = refusal.reason, f"the server refused {rpc}: {refusal.reason}"
    why = "A person's sign-up would fail here, too."
    if not reason:
        what = f"no signupd answered {rpc} ({refusal.status})"
        why += f" gRPC says: {refusal.message}"
    cure = _CURES.get(reason, "See the server's log.")
    if reason == _INCOMPATIBLE and rpc in _HOOKS:
        cure += f"\n{hook_lines(_HOOKS[rpc], settings)}"
    return CanaryFailedError(error(STEPS[rpc], what, why, cure), reason)

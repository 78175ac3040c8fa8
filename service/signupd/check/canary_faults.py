"""Why a canary fails, and what to do about it."""

from dataclasses import replace
from typing import Final

from signupd.accounts.account import Account
from signupd.check.cures import hook_lines
from signupd.check.findings import Check, Finding, error, warning
from signupd.client.channel import Refusal
from signupd.kratos.identity import AccountState, PasswordStatus
from signupd.settings import Settings

STEPS: Final = {
    "StartSignup": Check.CANARY_START,
    "GetSignup": Check.CANARY_MAIL,
    "VerifyCode": Check.CANARY_CODE_HOOK,
    "SetPassword": Check.CANARY_PASSWORD_HOOK,
    "CancelSignup": Check.CANARY_REMOVED,
}
# The hook that Kratos calls during a call.
_HOOKS: Final = {"VerifyCode": "code", "SetPassword": "password"}
# By reason, what an operator can do about a refused call.
_CURES: Final = {
    "": "Start `signupd serve`, or correct SIGNUPD_LISTEN or --target.",
    "CALLER_NOT_PERMITTED": "Permit this caller's certificate in SIGNUPD_CALLERS.",
    "CODE_INCORRECT": "Type the code of the newest mail.",
    "KRATOS_INCOMPATIBLE": "See the other findings, and the server's log.",
    "KRATOS_UNAVAILABLE": "See the findings about Kratos' APIs.",
    "LEDGER_UNAVAILABLE": "See the log of the ledger's database.",
    "PASSWORD_REJECTED": "See Kratos' password policy: it refused a random password.",
    "RESEND_TOO_SOON": "Wait, or use another address.",
    "SEND_LIMIT_REACHED": "Wait, or use another address: its mails are limited.",
    "TRAITS_INVALID": "Give the traits that the schema requires with --traits.",
}

TAKEN: Final = error(
    Check.CANARY_START,
    "the canary's address is taken",
    "The canary makes an account and deletes it; it does not touch other accounts.",
    "Give --canary an address that has no account.",
)
MAIL_FAILED: Final = error(
    Check.CANARY_MAIL,
    "Kratos' courier has given up on the mail",
    "Without the mail nobody gets a code.",
    "See courier.smtp.connection_uri, and Kratos' log.",
)
MAIL_LATE: Final = error(
    Check.CANARY_MAIL,
    "the mail has not left Kratos",
    "Without the mail nobody gets a code.",
    "Run one Kratos with --watch-courier (or `kratos courier watch`), and see "
    "courier.smtp.connection_uri.",
)
MAILS_SHOWN: Final = warning(
    Check.CANARY_CODE,
    "Kratos shows codes on its admin API: it runs with --dev",
    "Others can take over sign-ups with such codes, and passwords are hashed cheaply.",
    "Start Kratos without --dev, except for trying things out.",
)
MAILS_HIDDEN: Final = error(
    Check.CANARY_CODE,
    "the code is in the mail, and there was nobody to type it",
    "Kratos does not show what its mails say, except with --dev.",
    "Run this check on a terminal, or with --code-from-stdin, and give the code from "
    "the canary's mailbox.",
)
STORED_EARLY: Final = error(
    Check.CANARY_CODE_HOOK,
    "there is an account with the canary's address before it has a password",
    "Either Kratos stores accounts at the code, or somebody else has just registered. "
    "The account was left alone.",
    "The code hook should be:\n",
)
UNMARKED: Final = error(
    Check.CANARY_ACCOUNT,
    "the account is not there, or lacks the sign-up's mark",
    "Another hook has replaced our answer, or an operator has changed the account.",
    "The password hook should be the last:\n",
)


class CanaryFailedError(Exception):
    """The canary cannot go on.

    Args:
        finding: Why.
        reason: The contract's, if a call was refused.
    """

    def __init__(self, finding: Finding, reason: str = "") -> None:
        super().__init__(finding.what)
        self.finding = finding
        self.reason = reason


def with_hook(finding: Finding, hook: str, settings: Settings) -> Finding:
    """Add the lines of one of our hooks to a cure."""
    return replace(finding, cure=finding.cure + hook_lines(hook, settings))


def refused(rpc: str, refusal: Refusal, settings: Settings) -> CanaryFailedError:
    """Make the finding that a call was refused, or that nobody answered it."""
    reason, what = refusal.reason, f"the server refused {rpc}: {refusal.reason}"
    if not reason:
        what = f"no signupd answered {rpc} ({refusal.status.name})"
    cure = _CURES.get(reason, "See the server's log.")
    finding = error(STEPS[rpc], what, "A person's sign-up would fail here, too.", cure)
    if reason == "KRATOS_INCOMPATIBLE" and rpc in _HOOKS:
        finding = replace(finding, cure=f"{cure} The hook should be:\n")
        finding = with_hook(finding, _HOOKS[rpc], settings)
    return CanaryFailedError(finding, reason)


def at_state(rpc: str, state: str) -> Finding:
    """Make the finding that a call led to an unexpected state."""
    why = "Somebody else has used the canary's address, or ended its sign-up."
    cure = "Give --canary an address that nobody else uses."
    return error(STEPS[rpc], f"{rpc} led to {state}", why, cure)


def incomplete(account: Account) -> Finding:
    """Make the finding that an account lacks something."""
    complete = {
        "active": account.state is AccountState.ACTIVE,
        "verified": account.email_verified,
        "with a password": account.password is PasswordStatus.SET,
    }
    lacks = " and not ".join(name for name, there in complete.items() if not there)
    return error(
        Check.CANARY_ACCOUNT,
        f"the account is not {lacks}",
        "An account has to be complete from the start.",
        "Make sure that no other hook changes the identity, and that the address trait "
        "is verifiable.",
    )


def left_behind(faults: list[str]) -> Finding:
    """Make the finding that something may be left of the canary."""
    return error(
        Check.CANARY_REMOVED,
        "something may be left of the canary",
        f"{'; '.join(faults)}. An unfinished sign-up expires by itself.",
        "Look for an account with the canary's address in Kratos, and delete it if its "
        "metadata_admin has signupd.signup_id.",
    )

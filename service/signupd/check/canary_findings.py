"""Why a canary died, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.check.cures import hook_lines
from signupd.check.findings import Check, Finding, error, warning
from signupd.kratos.identity import AccountState, PasswordStatus

if TYPE_CHECKING:
    from signupd.accounts.account import Account
    from signupd.address import Address
    from signupd.check.client import CallRefusedError
    from signupd.errors import SignupdError
    from signupd.settings import Settings

_STEPS: Final = {
    "StartSignup": Check.CANARY_START,
    "GetSignup": Check.CANARY_MAIL,
    "VerifyCode": Check.CANARY_CODE_HOOK,
    "SetPassword": Check.CANARY_PASSWORD_HOOK,
}
_WAY: Final = "A person's sign-up would end here, too."
_LOG: Final = (
    "The server's log says more (kratos_incompatible); see the other findings."
)
# By reason, what an operator can do about a refused call.
_CURES: Final = {
    "": "Start `signupd serve`, or give this command its SIGNUPD_LISTEN.",
    "CALLER_NOT_PERMITTED": "Let this caller in with SIGNUPD_CALLERS.",
    "CODE_INCORRECT": "Type the code of the newest mail.",
    "KRATOS_UNAVAILABLE": "See the findings on Kratos' APIs.",
    "LEDGER_UNAVAILABLE": "See to the ledger's database.",
    "PASSWORD_REJECTED": "See Kratos' password policy: it refused a random one.",
    "RESEND_TOO_SOON": "Wait a while, or take another address.",
    "SEND_LIMIT_REACHED": "Wait a while, or take another address: its mails count.",
    "TRAITS_INVALID": "Give the traits that the identity schema demands with --traits.",
}


def refused(rpc: str, refusal: CallRefusedError, settings: Settings) -> Finding:
    """Tell that a call was refused, or that nobody answered it."""
    cure = _CURES.get(refusal.reason, "See the server's log.")
    if refusal.reason == "KRATOS_INCOMPATIBLE":
        cure = _incompatible(rpc, settings)
    what = f"{rpc} was refused: {refusal.reason}"
    if not refusal.reason:
        what = f"no signupd answered {rpc} ({refusal.status})"
    return error(_STEPS[rpc], what, _WAY, cure)


def _incompatible(rpc: str, settings: Settings) -> str:
    """Give what cures the one fault that shows at a call, and at no earlier one."""
    if rpc == "VerifyCode":
        return f"{hook_lines('code', settings)}\n{_LOG}"
    if rpc == "SetPassword":
        return f"{hook_lines('password', settings)}\n{_LOG}"
    return _LOG


def taken(address: Address) -> Finding:
    """Tell that somebody is registered with the canary's address."""
    return error(
        Check.CANARY_START,
        f"{address.masked} is taken",
        "The canary signs up and is removed; nobody's account may come near that.",
        "Give --canary an address of its own.",
    )


def kratos_failed(fault: SignupdError) -> Finding:
    """Tell that Kratos could not be asked what it holds."""
    return error(
        Check.CANARY_LOOK,
        "Kratos could not be asked what it holds for the canary",
        f"{fault.detail}.",
        "See the findings on Kratos' APIs.",
    )


def unsent(delivery: str, waited_seconds: float) -> Finding:
    """Tell that the mail did not leave."""
    failed = delivery == "FAILED"
    return error(
        Check.CANARY_MAIL,
        "Kratos' courier has given the mail up"
        if failed
        else f"the mail has not left within {waited_seconds:.0f} s",
        "Without the mail nobody has a code.",
        "See courier.smtp.connection_uri, and Kratos' log."
        if failed
        else "Run one Kratos with --watch-courier (or `kratos courier watch`), and see "
        "courier.smtp.connection_uri.",
    )


def mails_shown() -> Finding:
    """Tell that the courier shows what its mails say."""
    return warning(
        Check.CANARY_CODE,
        "Kratos shows codes on its admin API: it runs with --dev",
        "Whoever reads that API can take over a sign-up, and passwords are hashed "
        "cheaply. That is for trying things out.",
        "Start Kratos without --dev.",
    )


def mails_hidden() -> Finding:
    """Tell that nobody can say what the code is."""
    return error(
        Check.CANARY_CODE,
        "the code is in the mail, and nobody was there to read it",
        "Kratos' courier shows nobody what its mails say, unless it runs with --dev.",
        "Run it on a terminal, or with --code-from-stdin, and give the code from the "
        "canary's mailbox.",
    )


def at_state(rpc: str, state: str) -> Finding:
    """Tell that a call led elsewhere than it should."""
    return error(
        _STEPS[rpc],
        f"{rpc} led to {state}",
        "Somebody else has registered with the canary's address meanwhile, or ended "
        "the sign-up.",
        "Give --canary an address that only it uses.",
    )


def stored_at_the_code(settings: Settings) -> Finding:
    """Tell that there is an account before there is a password."""
    return error(
        Check.CANARY_CODE_HOOK,
        "there is an account at the canary's address before it has a password",
        "Either Kratos stores at the code, or somebody else has just registered with "
        "it. That account was left alone.",
        hook_lines("code", settings),
    )


def unmarked(settings: Settings) -> Finding:
    """Tell that the account does not bear the sign-up's mark."""
    return error(
        Check.CANARY_ACCOUNT,
        "the account is not there, or does not bear the sign-up's mark",
        "Another hook has overruled ours, or an operator has changed it.",
        "Put ours last:\n" + hook_lines("password", settings),
    )


def incomplete(account: Account) -> Finding:
    """Tell what an account lacks."""
    lacks = [
        lack
        for lack, there in (
            ("active", account.state is AccountState.ACTIVE),
            ("verified", account.email_verified),
            ("with a password", account.password is PasswordStatus.SET),
        )
        if not there
    ]
    return error(
        Check.CANARY_ACCOUNT,
        f"the account is not {' nor '.join(lacks)}",
        "An account is to be born complete.",
        "See that no other hook changes the identity, and that the address trait is "
        "verifiable.",
    )

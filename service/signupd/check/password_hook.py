"""The password hook: does Kratos call it before it stores an account, and reach us?"""

from http import HTTPStatus
from typing import Final

from signupd.check.cures import AFTER, hook_lines
from signupd.check.findings import Check, Finding, Subject, error, ok, warning
from signupd.check.methods import method_off
from signupd.errors import KratosUnreached, SignupdError
from signupd.hooks import KEY_HEADER, PASSWORD_PATH
from signupd.kratos.hook_proof import REFUSED_BY_US, probe
from signupd.kratos.http import HttpClient
from signupd.kratos.outcomes import NOT_NOW_ID, UNKNOWN_FLOW_ID, PasswordAnswer
from signupd.notation import dialled
from signupd.settings import Settings

CHECK: Final = Check.PASSWORD_HOOK
PORT_SECONDS: Final = 5.0
NOBODY: Final = warning(
    Check.HOOK_PORT,
    "no server answers at HOOK_LISTEN",
    "Kratos' hooks come in there. Without an answer Kratos makes no account.",
    "Start `signupd serve` and run this check again.",
)
OTHER_KEY: Final = error(
    Check.HOOK_PORT,
    "the server at HOOK_LISTEN expects another key",
    "This check has another SIGNUPD_HOOK_KEY than that server, or none.",
    "Run this check with the server's settings.",
)
STRANGER: Final = error(
    Check.HOOK_PORT,
    "a program other than signupd answers at HOOK_LISTEN",
    "signupd cannot start there, and that program gets Kratos' hooks.",
    "Stop it, or set SIGNUPD_HOOK_LISTEN, and the URLs of Kratos' hooks, to another "
    "port.",
)


async def password_hook(subject: Subject) -> list[Finding]:
    """See who answers at HOOK_LISTEN, and have Kratos call its password hook.

    The registration for that costs Kratos one password hash and leaves no account.
    """
    port = await hook_port(subject.kratos.http, subject.settings)
    answer = await probe(subject.kratos, subject.log, subject.traits)
    return [port, judge(answer, port, subject.settings)]


async def hook_port(http: HttpClient, settings: Settings) -> Finding:
    """See who answers at HOOK_LISTEN."""
    key = settings.hook_key
    headers = {} if key is None else {KEY_HEADER: key.get_secret_value()}
    url = f"http://{dialled(settings.hook_listen)}{PASSWORD_PATH}"
    try:
        response = await http.request("POST", url, PORT_SECONDS, {}, headers)
    except KratosUnreached:
        return NOBODY
    except SignupdError:
        return STRANGER
    if any(str(one) in str(response.body) for one in (UNKNOWN_FLOW_ID, NOT_NOW_ID)):
        return ok(Check.HOOK_PORT, "a signupd answers at HOOK_LISTEN")
    if response.status == HTTPStatus.FORBIDDEN:
        return OTHER_KEY
    return STRANGER


def judge(answer: PasswordAnswer, port: Finding, settings: Settings) -> Finding:
    """Judge the answer to a registration that the password hook has to refuse.

    Args:
        answer: Kratos' answer.
        port: What was found at HOOK_LISTEN.
        settings: For the cures.
    """
    if answer in REFUSED_BY_US:
        return ok(CHECK, "Kratos calls the password hook, and a signupd refused")
    if answer is PasswordAnswer.CREATED:
        return error(
            CHECK,
            "Kratos stored an account without asking the password hook",
            "Anybody can register past signupd. Kratos asks a hook first only if it is "
            f"under {AFTER}.password.hooks (not under after.hooks), with "
            "response.parse: true.",
            hook_lines("password", settings),
        )
    if answer is PasswordAnswer.METHOD_OFF:
        return method_off("password")
    if answer not in (PasswordAnswer.HOOK_AWAY, PasswordAnswer.UNCLEAR):
        return warning(
            CHECK,
            "the password hook was not checked",
            "Kratos refused the traits or the password before it called any hook.",
            "Give the traits that the identity schema requires with --traits.",
        )
    if port is NOBODY:
        return warning(
            CHECK,
            "Kratos calls a password hook, but whether it is ours was not checked",
            "Kratos stored nothing, and no server runs to answer the hook.",
            "Start `signupd serve` and run this check again.",
        )
    return error(
        CHECK,
        "Kratos does not reach the password hook of the running server, or sends "
        "another key",
        "Kratos makes no account without the hook's answer.",
        hook_lines("password", settings),
    )

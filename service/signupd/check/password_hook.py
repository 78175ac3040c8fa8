"""Whether Kratos asks our password hook, and who answers it."""

import re
from functools import partial
from http import HTTPStatus
from itertools import takewhile
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
from signupd.check.kratos_file import AFTER, PATHS
from signupd.check.registration import TRAITS, method_off
from signupd.errors import KratosUnreached, SignupdError
from signupd.keyfile import key_ring
from signupd.kratos.answers import NOT_NOW_ID, UNKNOWN_FLOW_ID, PasswordAnswer
from signupd.kratos.hook_proof import FAULTS, REFUSED_BY_US, probe
from signupd.kratos.http import HttpClient
from signupd.notation import dialled
from signupd.ports.hooks import KEY_HEADER, PASSWORD_PATH
from signupd.sealing import hook_signature

PORT_SECONDS: Final = 5.0
_SERVE: Final = "Start `signupd serve` and run this check again."
# Why it matters what a password hook was seen to do, or what may have led to it.
_WRONG: Final = {
    PasswordAnswer.CREATED: "Anybody can register past signupd",
    PasswordAnswer.HOOK_LATE: "Anybody can register past signupd",
    PasswordAnswer.HOOK_FOREIGN: "Sign-ups of this server end at SetPassword",
    PasswordAnswer.HOOK_SWAPPED: "Kratos makes no account",
    PasswordAnswer.HOOK_REFUSED: "StartSignup fails for its proof, as this check does",
    PasswordAnswer.UNCLEAR: "Another schema than IDENTITY_SCHEMA_ID may be in use",
}


async def password_hook(subject: Subject) -> list[Finding]:
    """See who answers at HOOK_LISTEN, and have Kratos call its password hook.

    The registration for that costs Kratos one password hash and leaves no account.
    """
    port = await _hook_port(subject)
    try:
        keys = key_ring(subject.settings, make=False)
    except SignupdError:  # a check beside another machine's server may lack them
        sign = None
    else:
        sign = partial(hook_signature, keys)
    answer = await probe(subject.kratos, subject.log, subject.traits, sign)
    return [port, _judged(answer, port, _cure(answer, subject))]


def _cure(answer: PasswordAnswer, subject: Subject) -> str:
    """Write what to change, by what the hook was seen to do and what a file shows."""
    hooks = [] if subject.file is None else subject.file.hooks(f"{AFTER}.password")
    before = list(takewhile(lambda hook: PASSWORD_PATH not in hook.url, hooks))
    numbers = [str(n) for n, hook in enumerate(before, 1) if hook.interrupts]
    place = f"of {AFTER}.password.hooks"
    earlier = f"entry {' and '.join(numbers)} {place}" if numbers else ""
    match answer:
        case PasswordAnswer.HOOK_REFUSED:
            return f"Let {earlier or 'it'} pass addresses under probe.invalid."
        case PasswordAnswer.UNCLEAR:
            return "See the findings about the schema."
        case PasswordAnswer.HOOK_LATE:
            return hook_change("password", {"response": {"parse": True}})
        case PasswordAnswer.HOOK_SWAPPED:
            return "\nand\n".join(
                hook_lines(hook, subject.settings, wrong=wrong)
                for hook, wrong in (("password", "code"), ("code", "password"))
            )
        case PasswordAnswer.HOOK_AWAY:
            ours = hooks[len(before)].url if len(before) < len(hooks) else ""
            return _cure_of_silence(subject, earlier, ours)
    return hook_lines("password", subject.settings)


def _cure_of_silence(subject: Subject, earlier: str, ours: str) -> str:
    """Write what may keep Kratos from an answer: an earlier hook, ours, or its bar."""
    bar, file = "clients.http.disallow_private_ip_ranges", subject.file
    if file and file.value(bar):
        hooks = [one for path in PATHS for one in file.hooks(f"{AFTER}.{path}")]
        urls = [_shown(one.url) for one in hooks if one.url]
        return lines("clients.http.private_ip_exception_urls", urls)
    wanted = [f"{earlier} works"] if earlier else []
    if ours:
        wanted.append(
            f"{_shown(ours)} leads to HOOK_LISTEN of a server that Kratos trusts"
        )
    add = hook_lines("password", subject.settings)
    return f"See to it that {', and that '.join(wanted)}; or:\n{add}" if wanted else add


def _shown(url: str) -> str:
    """Write a hook's URL without a user and a query, which may be secrets."""
    return re.sub("//[^/]*@", "//", url).partition("?")[0]


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
    if answer in _WRONG:
        what, *setting = FAULTS[answer].split(": ", 1)
        return error(check, what, f"{': '.join([_WRONG[answer], *setting])}.", cure)
    if answer is not PasswordAnswer.HOOK_AWAY:
        what = "the password hook was not checked"
        why = "Kratos refused the traits or the password before it called our hook."
        return warning(check, what, why, TRAITS)
    if port.severity is Severity.WARNING:
        what = "Kratos calls a password hook, but whether it is ours was not checked"
        why = "Kratos stored nothing, and no server runs to answer the hook."
        return warning(check, what, why, _SERVE)
    what = (
        "Kratos does not reach the server's password hook, sends another key, or does "
        "not trust its certificate; or its body's file is missing or no jsonnet, or a "
        "hook with response.parse before it fails"
    )
    why = "Kratos makes no account without their answers; its log says which one lacks."
    return error(check, what, why, cure)

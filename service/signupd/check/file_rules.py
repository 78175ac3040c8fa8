"""The rules for Kratos' configuration file, and for what only it shows."""

import math
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from signupd.check.findings import Check, Finding, error, lines, ok, warning
from signupd.check.hook_rules import hook_findings
from signupd.check.kratos_file import PROFILE, KratosFile
from signupd.settings import Settings

BCRYPT_BYTES: Final = 72  # Kratos refuses longer passwords
# By default Kratos' courier sends 10 mails, then waits for a second.
SLOW_MAILS_PER_SECOND: Final = 10.0

_CODE_LIFESPAN: Final = "selfservice.methods.code.config.lifespan"
_SUBMISSIONS: Final = "selfservice.methods.code.config.max_submissions"
_FLOW_LIFESPAN: Final = "selfservice.flows.registration.lifespan"
_MIN_LENGTH: Final = "selfservice.methods.password.config.min_password_length"
_WORKER: Final = "courier.worker"
_SETTINGS: Final = "selfservice.flows.settings.after"
_RECOVERY: Final = "selfservice.flows.recovery"
_REVOKE: Final = "revoke_active_sessions"


def file_findings(file: KratosFile, settings: Settings) -> list[Finding]:
    """Apply all rules."""
    return [
        *hook_findings(file, settings),
        profile_finding(Check.PROFILE_METHOD, file, on=bool(file.value(PROFILE))),
        _old_sessions(file),
        *_lifespans(file, settings),
        _submissions(file, settings),
        *_passwords(file, settings),
        _courier(file),
    ]


def profile_finding(check: Check, file: KratosFile | None, *, on: bool) -> Finding:
    """Judge the settings method ``profile``, which changes traits, if it is on."""
    place = f"{_SETTINGS}.profile"
    if not on:
        return ok(check, "users cannot move their account onto another address")
    if file is not None and file.may_refuse(place):
        return ok(check, f"a hook under {place} may refuse another address")
    what = "users can move their account onto any free address"
    why = (
        "They need not prove that it is theirs. Its owner cannot sign up any more, "
        "and recovers an account that another person made."
    )
    hook = f"a web_hook with response.parse: true under {place}.hooks"
    cure = (
        f"{lines(PROFILE, value=False)}\n"
        f"or {hook} that refuses another address (this check sees it in the file)."
    )
    return error(check, what, why, cure)


def _warned(check: Check, what: str, why: str, cure: str, *, broken: bool) -> Finding:
    """Make a warning where a rule is broken; else report the same as ok."""
    return warning(check, what, why, cure) if broken else ok(check, what)


def _old_sessions(file: KratosFile) -> Finding:
    """See whether a new password, and a recovery, end the sessions from before."""
    places = [f"{_SETTINGS}.password"]
    if file.value(f"{_RECOVERY}.enabled"):
        places.append(f"{_RECOVERY}.after")
    kept = [
        f"{place}.hooks"
        for place in places
        if _REVOKE not in {hook.kind for hook in file.hooks(place)}
    ]
    if not kept:
        return ok(Check.OLD_SESSIONS, f"{_REVOKE} is where it has to be")
    what = f"{_REVOKE} is missing under {' and '.join(kept)}"
    why = "Sessions of others go on after the owner has set a new password."
    cure = "\nand\n".join(lines(one, [{"hook": _REVOKE}]) for one in kept)
    return warning(Check.OLD_SESSIONS, what, why, cure)


def _lifespans(file: KratosFile, settings: Settings) -> Iterator[Finding]:
    ttl = _duration(math.ceil(settings.code_ttl))
    why = "The server waits for a code longer than Kratos accepts it."
    for check, noun, path in (
        (Check.CODE_LIFESPAN, "codes", _CODE_LIFESPAN),
        (Check.FLOW_LIFESPAN, "flows", _FLOW_LIFESPAN),
    ):
        lifespan = file.seconds(path)
        broken = lifespan < settings.code_ttl
        what = f"{noun} live {file.value(path)}, and CODE_TTL is {ttl}"
        cure = _either(path, ttl, "CODE_TTL", _duration(math.floor(lifespan)))
        yield _warned(check, what, why, cure, broken=broken)


def _submissions(file: KratosFile, settings: Settings) -> Finding:
    theirs, ours = file.number(_SUBMISSIONS), settings.code_attempts
    what = f"Kratos takes {theirs} codes from a mail, and CODE_ATTEMPTS is {ours}"
    why = (
        "After them Kratos refuses the right code too, and the answer is CODE_EXPIRED."
    )
    cure = _either(_SUBMISSIONS, ours, "CODE_ATTEMPTS", theirs)
    check, broken = Check.CODE_SUBMISSIONS, theirs < ours
    return _warned(check, what, why, cure, broken=broken)


def _passwords(file: KratosFile, settings: Settings) -> Iterator[Finding]:
    costly = "Kratos refuses passwords that signupd accepts: each costs an attempt."
    algorithm, longest = file.value("hashers.algorithm"), settings.password_max_bytes
    what = f"the hasher is {algorithm}, and PASSWORD_MAX_BYTES is {longest}"
    why = f"bcrypt reads {BCRYPT_BYTES} bytes. {costly}"
    cure = _either("hashers.algorithm", "argon2", "PASSWORD_MAX_BYTES", BCRYPT_BYTES)
    broken = algorithm == "bcrypt" and longest > BCRYPT_BYTES
    yield _warned(Check.HASHER, what, why, cure, broken=broken)
    theirs, ours = file.number(_MIN_LENGTH), settings.password_min_length
    what = f"Kratos wants {theirs} characters, and PASSWORD_MIN_LENGTH is {ours}"
    cure = _either(_MIN_LENGTH, ours, "PASSWORD_MIN_LENGTH", theirs)
    yield _warned(Check.PASSWORD_LENGTH, what, costly, cure, broken=theirs > ours)


def _courier(file: KratosFile) -> Finding:
    wait = file.seconds(f"{_WORKER}.pull_wait")
    rate = file.number(f"{_WORKER}.pull_count") / wait if wait else math.inf
    what = f"the courier sends up to {rate:g} mails a second"
    why = f"A code arrives up to {wait:g} s later, or much later if many sign up."
    cure = lines(_WORKER, {"pull_count": 100, "pull_wait": "100ms"})
    broken = rate <= SLOW_MAILS_PER_SECOND
    return _warned(Check.COURIER, what, why, cure, broken=broken)


def _either(path: str, value: Any, name: str, ours: Any) -> str:
    """Write a cure that changes either Kratos' setting or, if ours can be so, ours."""
    cure = lines(path, value)
    try:
        Settings.model_validate({name.lower(): ours})
    except ValidationError:
        return cure
    return f"{cure}\nor SIGNUPD_{name}={ours}"


def _duration(seconds: int) -> str:
    """Write a duration as Kratos, and our settings, read it."""
    return f"{seconds}s" if seconds % 60 else f"{seconds // 60}m"

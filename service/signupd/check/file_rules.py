"""The rules for Kratos' configuration file, and for what only it shows."""

import math
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from signupd.check.findings import (
    Check,
    Finding,
    error,
    hook_change,
    hook_lines,
    lines,
    ok,
    warning,
)
from signupd.check.kratos_file import AFTER, PATHS, PROFILE, Hook, KratosFile
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
_PURPOSES: Final = {
    "code": "Without its answer Kratos stores accounts that have no password.",
    "password": "Without its answer Kratos stores an account for anybody who asks.",
}


def file_findings(file: KratosFile, settings: Settings) -> list[Finding]:
    """Apply all rules."""
    ours = {method: _ours(file, f"{AFTER}.{method}", method) for method in PATHS}
    return [
        *(_hook(file, settings, method, ours[method]) for method in PATHS),
        _hook_order(file, ours["password"]),
        _hook_urls(settings, ours),
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


def _ours(file: KratosFile, place: str, method: str) -> Hook | None:
    """Find our hook by the end of its path: a proxy may add to the beginning."""
    hooks, path = file.hooks(place), PATHS[method]
    found = [one for one in hooks if _path(one.url).rstrip("/").endswith(path)]
    return found[-1] if found else None


def _path(url: str) -> str:
    return urlsplit(url).path


def _warned(check: Check, what: str, why: str, cure: str, *, broken: bool) -> Finding:
    """Make a warning where a rule is broken; else report the same as ok."""
    return warning(check, what, why, cure) if broken else ok(check, what)


def _hook(
    file: KratosFile, settings: Settings, method: str, ours: Hook | None
) -> Finding:
    """Judge one of our hooks by the first rule that it breaks."""
    check, path, place = Check(f"{method}_hook"), PATHS[method], f"{AFTER}.{method}"
    purpose, add = _PURPOSES[method], hook_lines(method, settings)
    missing = f"{place}.hooks has no hook to {path}"
    (wrong,) = PATHS.keys() - {method}
    if ours is None and _ours(file, place, wrong):
        add = hook_lines(method, settings, wrong=wrong)
        return error(check, f"{missing}, but one to {PATHS[wrong]}", purpose, add)
    if ours is None and file.may_refuse(place):
        what = f"{missing}, but another that may lead to signupd"
        why = f"{purpose} A proxy in between may change its path: try it with --canary."
        return warning(check, what, why, add)
    elsewhere = [
        f"{other}.hooks"
        for other in file.places()
        if other.rpartition(".")[0] != AFTER and _ours(file, other, method)
    ]
    for broken, what, why, cure in _hook_faults(settings, method, ours, elsewhere):
        if broken:
            return error(check, what, why + purpose, cure)
    if elsewhere:
        what = f"our hook is under {place}.hooks, and under {', '.join(elsewhere)} too"
        why = (
            "Kratos does not use it there, or lets it refuse what it is not meant for."
        )
        return warning(check, what, why, _removed(path, elsewhere))
    return ok(check, f"our hook is under {place}.hooks")


def _removed(path: str, places: list[str]) -> str:
    return "\nand\n".join(
        f"In kratos.yml under {place}, remove the web_hook to {path}."
        for place in places
    )


def _hook_faults(
    settings: Settings, method: str, ours: Hook | None, elsewhere: list[str]
) -> tuple[tuple[object, str, str, str], ...]:
    """List the rules for one of our hooks: whether it is broken, what, why, cure."""
    path, place = PATHS[method], f"{AFTER}.{method}"
    add = hook_lines(method, settings)
    return (
        (
            ours is None and elsewhere,
            f"the hook to {path} is under {', '.join(elsewhere)}",
            "Kratos does not ask it there before it stores an account. ",
            f"{add}\nand\n{_removed(path, elsewhere)}",
        ),
        (ours is None, f"{place}.hooks has no hook to {path}", "", add),
        (
            # With can_interrupt Kratos waits, and stores nothing of the answer.
            ours and not (ours.parses or (ours.interrupts and method == "code")),
            f"the hook to {path} lacks response.parse: true",
            "Kratos does not wait for it, or does not store what it answers. ",
            hook_change(method, {"response": {"parse": True}}),
        ),
        (
            ours and ours.config.get("method") != "POST",
            f"the hook to {path} is not sent with POST",
            "signupd answers POST only. ",
            hook_change(method, {"method": "POST"}),
        ),
        (
            ours and ("//" in _path(ours.url) or _path(ours.url).endswith("/")),
            f"the URL of the hook to {path} has a slash too many",
            f"signupd answers {path} only. ",
            add,
        ),
        (
            ours and not ours.config.get("body"),
            f"the hook to {path} has no body",
            "Kratos cannot send it. ",
            hook_change(method, {"body": f"file://./hooks/{method}.jsonnet"}),
        ),
    )


def _hook_order(file: KratosFile, ours: Hook | None) -> Finding:
    """See whether a later hook can replace the answer of our password hook."""
    place = f"{AFTER}.password"
    hooks = file.hooks(place)
    if not ours or not any(one.parses for one in hooks[hooks.index(ours) + 1 :]):
        return ok(Check.HOOK_ORDER, "Kratos waits for no hook that comes after ours")
    what = f"another hook with response.parse comes after ours in {place}.hooks"
    why = (
        "If its answer has verifiable_addresses, or another address among the traits, "
        "the account is not verified, and after a lost answer it is not known as the "
        "sign-up's. What else it sets does no harm."
    )
    path = PATHS["password"]
    cure = f"In kratos.yml under {place}.hooks, move the web_hook to {path} to the end."
    return warning(Check.HOOK_ORDER, what, why, cure)


def _hook_urls(settings: Settings, ours: dict[str, Hook | None]) -> Finding:
    found = [(method, hook) for method, hook in ours.items() if hook]
    places = {_place(hook.url, PATHS[method]) for method, hook in found}
    keys = {_key(hook) for _, hook in found}
    plain = [place for place in places if urlsplit(place).scheme == "http"]
    if len(places) > 1 or len(keys) > 1:
        what = "the two hooks go to different places, or with different keys"
        why = "signupd answers both hooks, at HOOK_LISTEN and with one HOOK_KEY."
    elif plain and settings.hook_tls_cert is not None:
        what = "the hooks' URLs do not begin with https://"
        why = "HOOK_TLS_CERT is set, so HOOK_LISTEN takes TLS only."
    else:
        return ok(Check.HOOK_URLS, "our hooks go to one place, with one key")
    cure = "\nand\n".join(hook_lines(hook, settings) for hook in PATHS)
    return error(Check.HOOK_URLS, what, why, cure)


def _place(url: str, path: str) -> str:
    """Name the server of a hook, and the path that a proxy has in front of ours."""
    at = urlsplit(url)
    host = re.sub("(?i)(^|@)localhost(?=:|$)", r"\g<1>127.0.0.1", at.netloc)
    return f"{at.scheme}://{host}{at.path.rstrip('/').removesuffix(path).rstrip('/')}"


def _key(hook: Hook) -> str:
    """Name the key that a hook is sent with; the case of a header does not matter."""
    auth = hook.config.get("auth")
    config = auth.get("config") if isinstance(auth, dict) else None
    if not isinstance(config, dict):
        return repr(auth)
    name, value, place = (config.get(part) for part in ("name", "value", "in"))
    return repr((str(name).lower(), value, place))


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
    ttl = _duration(settings.code_ttl)
    why = "The server waits for a code longer than Kratos accepts it."
    for check, noun, path in (
        (Check.CODE_LIFESPAN, "codes", _CODE_LIFESPAN),
        (Check.FLOW_LIFESPAN, "flows", _FLOW_LIFESPAN),
    ):
        broken = file.seconds(path) < settings.code_ttl
        lifespan = _duration(file.seconds(path))
        what = f"{noun} live {lifespan}, and CODE_TTL is {ttl}"
        cure = _either(path, ttl, "CODE_TTL", lifespan)
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
    """Write a cure that changes either Kratos' setting or ours."""
    return f"{lines(path, value)}\nor SIGNUPD_{name}={ours}"


def _duration(seconds: float) -> str:
    """Write a duration as Kratos, and our settings, read it."""
    whole = math.ceil(seconds)
    return f"{whole // 60}m" if whole % 60 == 0 else f"{whole}s"

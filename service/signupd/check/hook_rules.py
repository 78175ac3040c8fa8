"""The rules for our hooks in Kratos' configuration file."""

import re
from typing import Final
from urllib.parse import urlsplit

from signupd.check.findings import (
    Check,
    Finding,
    error,
    hook_change,
    hook_lines,
    ok,
    warning,
)
from signupd.check.kratos_file import AFTER, PATHS, Hook, KratosFile
from signupd.ports.hooks import KEY_HEADER
from signupd.settings import Settings

_PURPOSES: Final = {
    "code": "Without its answer Kratos stores accounts that have no password.",
    "password": "Without its answer Kratos stores an account for anybody who asks.",
}


def hook_findings(file: KratosFile, settings: Settings) -> list[Finding]:
    """Apply all of them."""
    ours = {method: _ours(file, f"{AFTER}.{method}", method) for method in PATHS}
    both = [*_hook_order(file, ours), _hook_urls(settings, ours)]
    return [
        *(_hook(file, settings, method, ours[method]) for method in PATHS),
        # That all is well cannot be said of a hook that is not there.
        *(one for one in both if all(ours.values()) or one.cure),
    ]


def _ours(file: KratosFile, place: str, method: str) -> Hook | None:
    """Find our hook by the end of its path: a proxy may add to the beginning."""
    hooks, path = file.hooks(place), PATHS[method]
    found = [one for one in hooks if _path(one.url).rstrip("/").endswith(path)]
    # The one that decides: the first code hook refuses, the last answer is stored.
    return found[0 if method == "code" else -1] if found else None


def _path(url: str) -> str:
    return urlsplit(url).path


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


# Of each method: which hooks that Kratos waits for should not be where they are, where
# ours belongs instead, and why.
_SIDES: Final = {"code": ("before", "beginning"), "password": ("after", "end")}
_WHY: Final = {
    "code": "If that refuses or fails, VerifyCode fails with the right code. Ours "
    "refuses each of these registrations, so Kratos asks none after it.",
    "password": "If that refuses or fails, SetPassword fails. If its answer has "
    "verifiable_addresses, or another address among the traits, the account is not "
    "verified, and after a lost answer it is not known as the sign-up's. What else it "
    "sets does no harm.",
}


def _hook_order(file: KratosFile, ours: dict[str, Hook | None]) -> list[Finding]:
    """See whether Kratos waits for another hook where it had better ask ours."""
    found = []
    for method, hook in ours.items():
        place, (side, end) = f"{AFTER}.{method}", _SIDES[method]
        hooks = file.hooks(place)
        at = hooks.index(hook) if hook else len(hooks)
        others = hooks[:at] if side == "before" else hooks[at + 1 :]
        if hook and any(one.interrupts for one in others):
            what = f"another hook that can refuse comes {side} ours in {place}.hooks"
            move = f"move the web_hook to {PATHS[method]} to the {end}."
            cure = f"In kratos.yml under {place}.hooks, {move}"
            found.append(warning(Check.HOOK_ORDER, what, _WHY[method], cure))
    return found or [ok(Check.HOOK_ORDER, "our hooks stand where they belong")]


def _hook_urls(settings: Settings, ours: dict[str, Hook | None]) -> Finding:
    found = [(method, hook) for method, hook in ours.items() if hook]
    places = {_place(hook.url, PATHS[method]) for method, hook in found}
    keys = {_key(hook) for _, hook in found}
    plain = [place for place in places if urlsplit(place).scheme == "http"]
    cure = "\nand\n".join(hook_lines(hook, settings) for hook in PATHS)
    if len(places) > 1 or len(keys) > 1:
        what = "the two hooks go to different places, or with different keys"
        why = "signupd answers both hooks, at HOOK_LISTEN and with one HOOK_KEY."
    elif plain and settings.hook_tls_cert is not None:
        what = "the hooks' URLs do not begin with https://"
        why = "HOOK_TLS_CERT is set, so HOOK_LISTEN takes TLS only."
    elif settings.hook_key and repr(None) in keys:
        what = "the hooks are sent without a key"
        why = "HOOK_KEY is set: signupd refuses them, unless a proxy adds the key."
        return warning(Check.HOOK_URLS, what, why, cure)
    else:
        return ok(Check.HOOK_URLS, "our hooks go to one place, with one key")
    return error(Check.HOOK_URLS, what, why, cure)


def _place(url: str, path: str) -> str:
    """Name the server of a hook, and the path that a proxy has in front of ours."""
    at = urlsplit(url)
    host = re.sub("(?i)(^|@)localhost(?=:|$)", r"\g<1>127.0.0.1", at.netloc)
    return f"{at.scheme}://{host}{at.path.rstrip('/').removesuffix(path).rstrip('/')}"


def _key(hook: Hook) -> str:
    """Name the key that a hook is sent with; the case of a header does not matter."""
    auth, headers = hook.config.get("auth"), hook.config.get("headers")
    config = auth.get("config") if isinstance(auth, dict) else None
    if isinstance(config, dict):
        name, value, place = (config.get(part) for part in ("name", "value", "in"))
        return repr((str(name).lower(), value, place))
    named = headers.items() if isinstance(headers, dict) else ()
    keys = [one for name, one in named if str(name).lower() == KEY_HEADER.lower()]
    return repr((KEY_HEADER.lower(), keys[0], "header") if keys else auth)

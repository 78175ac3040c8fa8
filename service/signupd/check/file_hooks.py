"""How our hooks stand in Kratos' configuration file.

The code hook can be seen there or by a whole sign-up only: it is asked after a right
code, which nobody but the mailbox's owner has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signupd.check.cures import AFTER, hook_lines
from signupd.check.findings import Check, Finding, error, ok, warning
from signupd.hooks import CODE_PATH, PASSWORD_PATH

if TYPE_CHECKING:
    from signupd.check.kratos_file import Hook, KratosFile
    from signupd.settings import Settings

_PATHS: Final = {"code": CODE_PATH, "password": PASSWORD_PATH}
_WHY: Final = {
    "code": "It says no to an account at the code; without it Kratos stores one, "
    "without a password.",
    "password": "It says yes to the accounts of live sign-ups; without it Kratos "
    "stores whatever a stranger asks for.",
}


def hook_findings(file: KratosFile, settings: Settings) -> list[Finding]:
    """Judge both of our hooks, their order, and whether they go to one place."""
    ours = {method: _ours(file.hooks(method), method) for method in _PATHS}
    findings = [_place(file, method, ours[method], settings) for method in _PATHS]
    code, password = ours["code"], ours["password"]
    if password is not None:
        findings.append(_order(file.hooks("password"), password, settings))
    if code is not None and password is not None:
        findings.append(_unity(code, password, settings))
    return findings


def _ours(hooks: list[Hook], method: str) -> Hook | None:
    """Find our hook by the end of its path, for a proxy may add to the beginning."""
    found = [hook for hook in hooks if hook.path.endswith(_PATHS[method])]
    return found[-1] if found else None


def _place(
    file: KratosFile, method: str, ours: Hook | None, settings: Settings
) -> Finding:
    """Judge whether a hook of ours is there, in its place, and listened to."""
    check, place = Check(f"{method}_hook"), f"{AFTER}.{method}.hooks"
    if ours is None:
        return _missing(file, method, settings)
    if not ours.interrupts:
        what = f"the hook to {_PATHS[method]} lacks response.parse: true"
    elif ours.config.get("method") != "POST":
        what = f"the hook to {_PATHS[method]} is not sent with POST"
    else:
        return ok(check, f"our hook stands under {place}")
    return error(check, what, _WHY[method], hook_lines(method, settings))


def _missing(file: KratosFile, method: str, settings: Settings) -> Finding:
    check, place = Check(f"{method}_hook"), f"{AFTER}.{method}.hooks"
    if any(hook.interrupts for hook in file.hooks(method)):
        return warning(
            check,
            f"{place} has no hook to {_PATHS[method]}, but another that may lead to us",
            f"{_WHY[method]} A proxy in between may change its path.",
            "Try it with --canary, or put in:\n" + hook_lines(method, settings),
        )
    if _ours(file.hooks(), method) is not None:
        what = f"the hook to {_PATHS[method]} stands under {AFTER}.hooks"
        why = f"{_WHY[method]} There it is not asked before Kratos stores the account."
    else:
        what, why = f"{place} has no hook to {_PATHS[method]}", _WHY[method]
    return error(check, what, why, hook_lines(method, settings))


def _order(hooks: list[Hook], ours: Hook, settings: Settings) -> Finding:
    """Judge whether a later hook could overrule ours."""
    later = hooks[hooks.index(ours) + 1 :]
    if not any(hook.interrupts for hook in later):
        return ok(Check.HOOK_ORDER, "no hook that Kratos listens to comes after ours")
    return error(
        Check.HOOK_ORDER,
        f"another hook with response.parse comes after ours in {AFTER}.password.hooks",
        "Its answer may replace ours: then the account is stored without our mark, is "
        "taken for a stranger's and deleted.",
        "Put ours last:\n" + hook_lines("password", settings),
    )


def _unity(code: Hook, password: Hook, settings: Settings) -> Finding:
    """Judge whether both hooks go to one place: only one of them can be tried."""
    if _way(code, "code") == _way(password, "password"):
        return ok(Check.HOOK_URLS, "both hooks go to the same place, with the same key")
    return error(
        Check.HOOK_URLS,
        "the two hooks go to different places, or with different keys",
        "One signupd answers both, at HOOK_LISTEN and with one HOOK_KEY.",
        hook_lines("code", settings) + "\nand\n" + hook_lines("password", settings),
    )


def _way(hook: Hook, method: str) -> tuple[str, Any]:
    """Name where a hook goes, and by what key it is known there."""
    return hook.url.removesuffix(_PATHS[method]), hook.config.get("auth")

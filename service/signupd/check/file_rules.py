"""The rules for Kratos' configuration file, as a table."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from signupd.check.cures import AFTER, PATHS, hook_lines, lines
from signupd.check.findings import Check, Finding, Severity, ok
from signupd.check.kratos_file import Hook, KratosFile
from signupd.settings import Settings

BCRYPT_BYTES: Final = 72  # Kratos refuses longer passwords
# By default Kratos' courier sends 10 mails, then waits for a second.
SLOW_MAILS_PER_SECOND: Final = 10.0

_CODE_LIFESPAN: Final = "selfservice.methods.code.config.lifespan"
_FLOW_LIFESPAN: Final = "selfservice.flows.registration.lifespan"
_MIN_LENGTH: Final = "selfservice.methods.password.config.min_password_length"
_WORKER: Final = "courier.worker"


class Facts:
    """What the rules look at, and what their texts show.

    Args:
        file: Kratos' configuration.
        settings: Ours.
    """

    def __init__(self, file: KratosFile, settings: Settings) -> None:
        self.settings = settings
        self.code_seconds = file.seconds(_CODE_LIFESPAN)
        self.flow_seconds = file.seconds(_FLOW_LIFESPAN)
        self.code_lifespan = _duration(self.code_seconds)
        self.flow_lifespan = _duration(self.flow_seconds)
        self.code_ttl = _duration(settings.code_ttl)
        self.algorithm = str(file.value("hashers.algorithm"))
        self.max_bytes = settings.password_max_bytes
        self.their_length = file.number(_MIN_LENGTH)
        self.our_length = settings.password_min_length
        self.mail_wait = file.seconds(f"{_WORKER}.pull_wait")
        mails = file.number(f"{_WORKER}.pull_count")
        self.mail_rate = mails / self.mail_wait if self.mail_wait else math.inf
        self.common = file.hooks()
        self.hooks = {method: file.hooks(method) for method in PATHS}
        self.ours = {method: _ours(self.hooks[method], method) for method in PATHS}

    def overruled(self) -> bool:
        """Whether a later hook can replace the answer of our password hook."""
        hooks, ours = self.hooks["password"], self.ours["password"]
        later = hooks[hooks.index(ours) + 1 :] if ours else []
        return any(hook.interrupts for hook in later)

    def divided(self) -> bool:
        """Whether our hooks go to different places, or with different keys."""
        found = [(method, hook) for method, hook in self.ours.items() if hook]
        places = {hook.url.removesuffix(PATHS[method]) for method, hook in found}
        keys = {str(hook.config.get("auth")) for _, hook in found}
        return len(places) > 1 or len(keys) > 1


class Rule(NamedTuple):
    """What the file must not say. In texts ``f`` stands for the facts."""

    check: Check
    severity: Severity
    broken: Callable[[Facts], bool]
    what: str
    why: str
    cure: Callable[[Facts], str]
    well: str = ""  # said instead of ``what`` if the rule is kept

    def finding(self, facts: Facts) -> Finding:
        """Apply the rule."""
        if not self.broken(facts):
            return ok(self.check, (self.well or self.what).format(f=facts))
        what, why = self.what.format(f=facts), self.why.format(f=facts)
        return Finding(self.check, self.severity, what, why, self.cure(facts))


def file_findings(file: KratosFile, settings: Settings) -> list[Finding]:
    """Apply all rules. Of the rules of a check, the first broken one counts."""
    facts, found = Facts(file, settings), dict[Check, Finding]()
    for rule in RULES:
        earlier = found.get(rule.check)
        if earlier is None or earlier.severity is Severity.OK:
            found[rule.check] = rule.finding(facts)
    return [*found.values()]


def _ours(hooks: list[Hook], method: str) -> Hook | None:
    """Find our hook by the end of its path: a proxy may add to the beginning."""
    found = [hook for hook in hooks if urlsplit(hook.url).path.endswith(PATHS[method])]
    return found[-1] if found else None


def _duration(seconds: float) -> str:
    """Write a duration as Kratos, and our settings, read it."""
    whole = math.ceil(seconds)
    return f"{whole // 60}m" if whole % 60 == 0 else f"{whole}s"


def _hook_rules(method: str, purpose: str) -> tuple[Rule, ...]:
    """List the rules for one of our hooks."""
    path, place = PATHS[method], f"{AFTER}.{method}.hooks"

    def rule(
        broken: Callable[[Facts, Hook | None], bool],
        what: str,
        why: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Rule:
        return Rule(
            Check(f"{method}_hook"),
            severity,
            lambda f: broken(f, f.ours[method]),
            what,
            f"{purpose} {why}".rstrip(),
            lambda f: hook_lines(method, f.settings),
            f"our hook is under {place}",
        )

    return (
        rule(
            lambda f, ours: not ours and any(h.interrupts for h in f.hooks[method]),
            f"{place} has no hook to {path}, but another that may lead to signupd",
            "A proxy in between may change its path: try it with --canary.",
            Severity.WARNING,
        ),
        rule(
            lambda f, ours: not ours and bool(_ours(f.common, method)),
            f"the hook to {path} is under {AFTER}.hooks",
            "There Kratos calls it after it has stored the account.",
        ),
        rule(lambda _, ours: not ours, f"{place} has no hook to {path}"),
        rule(
            lambda _, ours: bool(ours and not ours.interrupts),
            f"the hook to {path} lacks response.parse: true",
            "Kratos does not wait for its answer.",
        ),
        rule(
            lambda _, ours: bool(ours and ours.config.get("method") != "POST"),
            f"the hook to {path} is not sent with POST",
            "signupd answers POST only.",
        ),
    )


_SHORT: Final = "The server gives people more time than Kratos accepts their code."
_COSTLY: Final = "Kratos refuses passwords that signupd accepts: each costs an attempt."
RULES: Final = (
    *_hook_rules("code", "Without it Kratos stores accounts that have no password."),
    *_hook_rules("password", "Without it Kratos stores what strangers ask for."),
    Rule(
        Check.HOOK_ORDER,
        Severity.ERROR,
        Facts.overruled,
        f"another hook with response.parse comes after ours in {AFTER}.password.hooks",
        "Its answer may replace ours. The account then lacks our mark, and the server "
        "deletes it as a stranger's. Ours has to be the last.",
        lambda f: hook_lines("password", f.settings),
        "Kratos waits for no hook that comes after ours",
    ),
    Rule(
        Check.HOOK_URLS,
        Severity.ERROR,
        Facts.divided,
        "the two hooks go to different places, or with different keys",
        "One signupd answers both, at HOOK_LISTEN and with one HOOK_KEY.",
        lambda f: "\nand\n".join(hook_lines(hook, f.settings) for hook in PATHS),
        "our hooks go to one place, with one key",
    ),
    Rule(
        Check.CODE_LIFESPAN,
        Severity.WARNING,
        lambda f: f.code_seconds < f.settings.code_ttl,
        "codes live {f.code_lifespan}, and CODE_TTL is {f.code_ttl}",
        _SHORT,
        lambda f: (
            f"{lines(_CODE_LIFESPAN, f.code_ttl)}\n"
            f"or SIGNUPD_CODE_TTL={f.code_lifespan}"
        ),
    ),
    Rule(
        Check.FLOW_LIFESPAN,
        Severity.WARNING,
        lambda f: f.flow_seconds < f.settings.code_ttl,
        "flows live {f.flow_lifespan}, and CODE_TTL is {f.code_ttl}",
        _SHORT,
        lambda f: (
            f"{lines(_FLOW_LIFESPAN, f.code_ttl)}\n"
            f"or SIGNUPD_CODE_TTL={f.flow_lifespan}"
        ),
    ),
    Rule(
        Check.HASHER,
        Severity.WARNING,
        lambda f: f.algorithm == "bcrypt" and f.max_bytes > BCRYPT_BYTES,
        "the hasher is {f.algorithm}, and PASSWORD_MAX_BYTES is {f.max_bytes}",
        f"bcrypt reads {BCRYPT_BYTES} bytes. {_COSTLY}",
        lambda _: (
            f"{lines('hashers.algorithm', 'argon2')}\n"
            f"or SIGNUPD_PASSWORD_MAX_BYTES={BCRYPT_BYTES}"
        ),
    ),
    Rule(
        Check.PASSWORD_LENGTH,
        Severity.WARNING,
        lambda f: f.their_length > f.our_length,
        "Kratos wants {f.their_length} characters in a password, and "
        "PASSWORD_MIN_LENGTH is {f.our_length}",
        _COSTLY,
        lambda f: (
            f"{lines(_MIN_LENGTH, f.our_length)}\n"
            f"or SIGNUPD_PASSWORD_MIN_LENGTH={f.their_length}"
        ),
    ),
    Rule(
        Check.COURIER,
        Severity.WARNING,
        lambda f: f.mail_rate <= SLOW_MAILS_PER_SECOND,
        "the courier sends up to {f.mail_rate:.3g} mails a second",
        "A person waits up to {f.mail_wait:g} s longer for the code, and far longer "
        "when many sign up.",
        lambda _: lines(_WORKER, {"pull_count": 100, "pull_wait": "100ms"}),
    ),
)

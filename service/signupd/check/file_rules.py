"""What else in Kratos' configuration file has to agree with our settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from signupd.check.cures import lines
from signupd.check.findings import Check, Finding, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.check.kratos_file import KratosFile
    from signupd.settings import Settings

    Rule = Callable[[KratosFile, Settings], Finding]

BCRYPT_BYTES: Final = 72  # of a password; Kratos refuses longer ones
# What Kratos' courier sends by default: 10 mails, then a second's wait.
SLOW_MAILS_PER_SECOND: Final = 10.0

_CODE_LIFESPAN: Final = "selfservice.methods.code.config.lifespan"
_FLOW_LIFESPAN: Final = "selfservice.flows.registration.lifespan"
_MIN_LENGTH: Final = "selfservice.methods.password.config.min_password_length"
_WORKER: Final = "courier.worker"


def code_lifespan(file: KratosFile, settings: Settings) -> Finding:
    """Hold the codes' lifespan against CODE_TTL."""
    return _lifespan(
        Check.CODE_LIFESPAN, _CODE_LIFESPAN, "codes live", file, settings.code_ttl
    )


def flow_lifespan(file: KratosFile, settings: Settings) -> Finding:
    """Hold the flows' lifespan, which ends their codes too, against CODE_TTL."""
    return _lifespan(
        Check.FLOW_LIFESPAN, _FLOW_LIFESPAN, "flows live", file, settings.code_ttl
    )


def hasher(file: KratosFile, settings: Settings) -> Finding:
    """Hold what the hasher reads of a password against PASSWORD_MAX_BYTES."""
    algorithm, most = str(file.value("hashers.algorithm")), settings.password_max_bytes
    if algorithm != "bcrypt" or most <= BCRYPT_BYTES:
        return ok(Check.HASHER, f"{algorithm} takes passwords of {most} bytes")
    return warning(
        Check.HASHER,
        f"bcrypt takes {BCRYPT_BYTES} bytes, and PASSWORD_MAX_BYTES is {most}",
        "Longer ones pass here and are refused by Kratos, at the cost of an attempt.",
        f"{lines('hashers.algorithm', 'argon2')}\n"
        f"or SIGNUPD_PASSWORD_MAX_BYTES={BCRYPT_BYTES}",
    )


def password_length(file: KratosFile, settings: Settings) -> Finding:
    """Hold the least length of Kratos against PASSWORD_MIN_LENGTH."""
    theirs, least = file.number(_MIN_LENGTH), settings.password_min_length
    if theirs <= least:
        return ok(
            Check.PASSWORD_LENGTH, f"Kratos takes passwords of {least} characters"
        )
    return warning(
        Check.PASSWORD_LENGTH,
        f"Kratos demands {theirs} characters, and PASSWORD_MIN_LENGTH is {least}",
        "Shorter ones pass here and are refused by Kratos, at the cost of an attempt.",
        f"{lines(_MIN_LENGTH, least)}\nor SIGNUPD_PASSWORD_MIN_LENGTH={theirs}",
    )


def courier_rate(file: KratosFile, _settings: Settings) -> Finding:
    """Judge how many mails the courier sends."""
    count = file.number(f"{_WORKER}.pull_count")
    wait = file.seconds(f"{_WORKER}.pull_wait")
    rate = count / wait if wait else math.inf
    if rate > SLOW_MAILS_PER_SECOND:
        return ok(Check.COURIER, f"the courier sends up to {rate:.0f} mails a second")
    return warning(
        Check.COURIER,
        f"the courier sends no more than {rate:.3g} mails a second",
        f"A person waits for the code, up to {wait:g} s longer than need be; when many "
        "sign up, far longer.",
        lines(_WORKER, {"pull_count": 100, "pull_wait": "100ms"}),
    )


RULES: Final[tuple[Rule, ...]] = (
    code_lifespan,
    flow_lifespan,
    hasher,
    password_length,
    courier_rate,
)


def _lifespan(
    check: Check, path: str, live: str, file: KratosFile, least_seconds: float
) -> Finding:
    theirs, wanted = _go(file.seconds(path)), _go(least_seconds)
    if file.seconds(path) >= least_seconds:
        return ok(check, f"{live} for {theirs}, CODE_TTL is {wanted}")
    return warning(
        check,
        f"{live} for {theirs}, and CODE_TTL is {wanted}",
        "People are told that they have longer than Kratos takes their code.",
        f"{lines(path, wanted)}\nor SIGNUPD_CODE_TTL={theirs}",
    )


def _go(seconds: float) -> str:
    """Write a duration as Kratos, and our settings, take it."""
    whole = math.ceil(seconds)
    return f"{whole // 60}m" if whole % 60 == 0 else f"{whole}s"

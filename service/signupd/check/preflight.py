"""The preflight: a table of probes, each of which looks at one side of Kratos."""

import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from signupd.check.file_rules import file_findings
from signupd.check.findings import Check, Finding, Severity, Subject, error, ok, warning
from signupd.check.password_hook import password_hook
from signupd.check.registration import identity_schema, registration
from signupd.errors import SignupdError
from signupd.kratos.hook_proof import probe_address

# The versions that signupd was tried on.
KNOWN_GOOD: Final = re.compile(r"v?(1\.3\.1|(25\.4|26\.2)\.[0-9]+)")
_APIS: Final = frozenset({Check.PUBLIC_API, Check.ADMIN_API})


class Probe(NamedTuple):
    """One look at Kratos, and what to say if Kratos cannot be asked."""

    look: Callable[[Subject], Awaitable[list[Finding]]]
    check: Check
    failed: str
    # Checks that must not have found an error before.
    needs: frozenset[Check] = _APIS
    cure: str = "See Kratos' log, and that of a proxy in between."


async def preflight(subject: Subject) -> list[Finding]:
    """Make every check, as far as Kratos can be reached."""
    findings: list[Finding] = []
    for probe in PROBES:
        errors = {one.check for one in findings if one.severity is Severity.ERROR}
        if errors & probe.needs:
            continue
        try:
            findings += await probe.look(subject)
        except SignupdError as fault:
            why = f"Nobody can sign up: {fault.detail}."
            findings.append(error(probe.check, probe.failed, why, probe.cure))
    if subject.file is not None:
        return _joined(findings, file_findings(subject.file, subject.settings))
    return findings + (UNSEEN[1:] if subject.with_canary else UNSEEN)


def _joined(seen: list[Finding], read: list[Finding]) -> list[Finding]:
    """Join what Kratos and its file show; a fault of both is told as the file has it.

    Whatever else the one says of a check adds nothing to an error of the other.
    """
    told = {one.check for one in read if one.severity is Severity.ERROR}
    known = {one.check for one in seen if one.severity is Severity.ERROR} - told
    kept = [one for one in seen if one.check not in told]
    return kept + [one for one in read if one.check not in known]


async def public_api(subject: Subject) -> list[Finding]:
    """See whether the public API answers."""
    await subject.kratos.public.schemas()
    return [ok(Check.PUBLIC_API, "Kratos' public API answers")]


async def admin_api(subject: Subject) -> list[Finding]:
    """See whether the admin API answers and lets us in, and which version it is."""
    await subject.kratos.admin.find_identity(probe_address())
    version = await subject.kratos.admin.version()
    answers = ok(Check.ADMIN_API, "Kratos' admin API answers and accepts signupd")
    return [answers, version_finding(version)]


def version_finding(version: str) -> Finding:
    """Judge a version, as Kratos names it; empty if it does not."""
    if KNOWN_GOOD.fullmatch(version):
        return ok(Check.VERSION, f"Kratos is {version}, on which signupd was tried")
    what = f"Kratos' version is {version or 'not known'}"
    why = "signupd was tried on 1.3.1, 25.4 and 26.2; others may answer differently."
    cure = "Run this check with --canary before people sign up."
    return warning(Check.VERSION, what, why, cure)


# Reported without Kratos' configuration file, so that silence does not look like ok.
UNSEEN: Final = [
    warning(
        Check.CODE_HOOK,
        "the code hook was not checked",
        "Kratos calls it after a right code only, which needs a mailbox.",
        "Give an address with --canary, or Kratos' configuration with --kratos-config.",
    ),
    warning(
        Check.CONFIG_FILE,
        "the order of hooks, lifespans, hasher, courier and settings were not checked",
        "Only Kratos' configuration file shows them.",
        "Give the file with --kratos-config.",
    ),
]
PROBES: Final = (
    Probe(
        public_api,
        Check.PUBLIC_API,
        "Kratos' public API does not answer as it should",
        frozenset(),
        "Start Kratos, correct SIGNUPD_KRATOS_PUBLIC_URL, or mend what Kratos says.",
    ),
    Probe(
        admin_api,
        Check.ADMIN_API,
        "Kratos' admin API does not answer as it should",
        frozenset(),
        "Start Kratos, or correct SIGNUPD_KRATOS_ADMIN_URL and "
        "SIGNUPD_KRATOS_ADMIN_TOKEN.",
    ),
    Probe(
        identity_schema,
        Check.IDENTITY_SCHEMA,
        "the identity schema of registration cannot be told",
    ),
    Probe(
        registration,
        Check.REGISTRATION,
        "Kratos does not answer a registration as it should",
        _APIS | {Check.IDENTITY_SCHEMA},
    ),
    Probe(
        password_hook,
        Check.PASSWORD_HOOK,
        "Kratos does not answer a registration with a password",
        _APIS
        | {Check.IDENTITY_SCHEMA, Check.ADDRESS_TRAIT}
        | {Check.REGISTRATION, Check.PASSWORD_METHOD},
    ),
)

"""Is Kratos there, does it let us in, and is it one that is known to work?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.check.findings import Check, Finding, Severity, error, ok, warning
from signupd.errors import SignupdError
from signupd.kratos.probe import probe_address

if TYPE_CHECKING:
    from signupd.kratos.client import Kratos
    from signupd.kratos.schema import IdentitySchema

# What this service was tried on.
KNOWN_GOOD: Final = re.compile(r"v?(1\.3\.1|26\.2\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far Kratos was reached, and the identity schemas that it showed."""

    findings: tuple[Finding, ...]
    schemas: tuple[IdentitySchema, ...] = ()

    @property
    def well(self) -> bool:
        """Whether there is somebody to ask further."""
        return all(one.severity is not Severity.ERROR for one in self.findings)


async def reach(kratos: Kratos) -> Reached:
    """Ask both APIs, and for the version."""
    findings: list[Finding] = []
    schemas: tuple[IdentitySchema, ...] = ()
    try:
        schemas = await kratos.public.schemas()
        findings.append(ok(Check.PUBLIC_API, "Kratos' public API answers"))
    except SignupdError as fault:
        findings.append(_unreached("public", fault))
    try:
        await kratos.admin.find_identity(probe_address())
        findings.append(ok(Check.ADMIN_API, "Kratos' admin API answers and lets us in"))
        findings.append(version_finding(await kratos.admin.version()))
    except SignupdError as fault:
        findings.append(_unreached("admin", fault))
    return Reached(tuple(findings), schemas)


def version_finding(version: str) -> Finding:
    """Judge a version, as Kratos names it; empty where it does not."""
    if KNOWN_GOOD.fullmatch(version):
        return ok(Check.VERSION, f"Kratos is {version}, on which signupd was tried")
    return warning(
        Check.VERSION,
        f"Kratos is {version or 'of a version that it does not tell'}",
        "signupd was tried on 1.3.1 and 26.2; others may answer in other ways.",
        "Run this check with --canary before people sign up.",
    )


def _unreached(api: str, fault: SignupdError) -> Finding:
    return error(
        Check(f"{api}_api"),
        f"Kratos' {api} API does not answer as it should",
        f"{fault.detail}. Without it nobody can sign up, and little can be checked.",
        f"Start Kratos, or correct SIGNUPD_KRATOS_{api.upper()}_URL"
        + (" and SIGNUPD_KRATOS_ADMIN_TOKEN." if api == "admin" else "."),
    )

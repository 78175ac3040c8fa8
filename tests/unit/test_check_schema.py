"""The check of identity schemas and versions."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast

import pytest
from signupd.check.findings import Finding, Severity, Subject
from signupd.check.kratos_file import KratosFile
from signupd.check.preflight import version_finding
from signupd.check.schema import identity_schema
from signupd.kratos.client import Kratos
from signupd.kratos.schema import IdentitySchema, read_schema
from signupd.settings import Settings

from tests.unit.schemas import PHONE, USER_NAME, marked, reference, with_traits

Json = dict[str, Any]


async def judged(
    *documents: Json, wanted: str | None = None, default: str | None = None
) -> list[Finding]:
    """Judge the schemas of a Kratos, which are called user, staff."""
    names = ("user", "staff")

    async def schemas() -> tuple[IdentitySchema, ...]:
        return tuple(map(read_schema, names, documents))

    public = SimpleNamespace(schemas=schemas)
    kratos = cast("Kratos", SimpleNamespace(public=public))
    file = KratosFile({"identity": {"default_schema_id": default}}) if default else None
    settings = Settings(identity_schema_id=wanted)
    log = cast("Any", None)
    return await identity_schema(
        Subject(kratos, settings, log, file, {}, with_canary=False)
    )


def faults(findings: list[Finding]) -> dict[str, str]:
    """Name the checks that found something, and how bad it is."""
    return {f.check: f.severity for f in findings if f.severity is not Severity.OK}


async def test_well() -> None:
    """The reference schema is well; what callers have to bring besides is said."""
    document = with_traits()
    document["properties"]["traits"]["required"] += ["name", "newsletter"]
    findings = await judged(document)

    assert {} == faults(findings)
    assert "name, newsletter" in findings[0].what


@pytest.mark.parametrize(
    ("document", "expected", "said"),
    [
        (with_traits(username=marked(USER_NAME)), "warning", "username (identifier"),
        (with_traits(phone=marked(PHONE)), "warning", "phone (verification by sms)"),
    ],
)
async def test_tolerated(document: Json, expected: str, said: str) -> None:
    """What callers may not set is a warning, as the server has it."""
    (found,) = [f for f in await judged(document) if f.severity is not Severity.OK]

    assert ("other_identifiers", expected) == (found.check, found.severity)
    assert said in found.what
    assert "ory.sh/kratos" in found.cure


@pytest.mark.parametrize(
    ("wanted", "default", "chosen"),
    [("staff", None, "staff"), (None, "staff", "staff"), ("user", "user", "user")],
)
async def test_one_of_several(
    wanted: str | None, default: str | None, chosen: str
) -> None:
    """Of several schemas the setting tells which one counts, or Kratos' file."""
    found = await judged(reference(), reference(), wanted=wanted, default=default)

    assert {} == faults(found)
    assert f"identity schema {chosen}" in found[0].what


@pytest.mark.parametrize(
    ("wanted", "default", "cure"),
    [
        (None, None, "SIGNUPD_IDENTITY_SCHEMA_ID"),
        (None, "default", "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("guests", None, "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("staff", "user", "default_schema_id: staff"),
    ],
)
async def test_undecided(wanted: str | None, default: str | None, cure: str) -> None:
    """Without that, or where the two differ, nothing else can be said."""
    document = deepcopy(reference())
    (found,) = await judged(document, document, wanted=wanted, default=default)

    assert ("identity_schema", Severity.ERROR) == (found.check, found.severity)
    assert cure in found.cure


async def test_only_one() -> None:
    """A single schema is the one, whatever a file with no id in it would mean."""
    assert {} == faults(await judged(reference(), default="default"))


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        *((one, "ok") for one in ("v1.3.1", "1.3.1", "v26.2.0", "v26.2.11")),
        *((one, "warning") for one in ("", "v1.3.0", "v1.3.10", "v25.4.0", "v26.20.0")),
        ("master", "warning"),
    ],
)
def test_version(version: str, severity: str) -> None:
    """The versions that signupd was tried on are well, others a warning."""
    assert severity == version_finding(version).severity

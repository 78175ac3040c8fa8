"""The preflight's judgement of identity schemas and versions."""

from __future__ import annotations

import pytest
from signupd.check.findings import Finding, Severity
from signupd.check.reach import version_finding
from signupd.check.schema import schema_findings
from signupd.kratos.schema import IdentitySchema, Trait

ADDRESS = Trait("email", frozenset({"password", "code"}), "email", "email")
USER = IdentitySchema("user", (ADDRESS,), ("email",))
STAFF = IdentitySchema("staff", (ADDRESS,), ("email",))


def faults(findings: list[Finding]) -> dict[str, Severity]:
    """Name the checks that found something, and how bad it is."""
    return {f.check: f.severity for f in findings if f.severity is not Severity.OK}


def of(*traits: Trait) -> IdentitySchema:
    """Make a schema with these traits."""
    return IdentitySchema("user", traits, ("email",))


def test_well() -> None:
    """The reference schema is all well."""
    assert {} == faults(schema_findings([USER], None, None))


def test_required_traits() -> None:
    """What else callers must bring is said; it is no fault."""
    read = IdentitySchema("user", (ADDRESS,), ("email", "name", "country"))
    (first, *others) = schema_findings([read], None, None)

    assert Severity.OK is first.severity
    assert "name, country" in first.what
    assert {} == faults(others)


@pytest.mark.parametrize(
    ("address", "lack"),
    [
        (Trait("email", frozenset({"code"}), "email", "email"), "passwords"),
        (Trait("email", frozenset({"password"}), "", "email"), "codes by e-mail"),
        (Trait("email", ADDRESS.identifies, "sms", "email"), "codes by e-mail"),
        (Trait("email", ADDRESS.identifies, "email", ""), "verifiable"),
        (Trait("email", ADDRESS.identifies, "email", "sms"), "verifiable"),
    ],
)
def test_address(address: Trait, lack: str) -> None:
    """Each thing that the address trait lacks is an error, and named."""
    (finding,) = [
        f
        for f in schema_findings([of(address)], None, None)
        if f.check == "address_trait"
    ]

    assert Severity.ERROR is finding.severity
    assert lack in finding.what
    assert '"verification": {"via": "email"}' in finding.cure


def test_no_address() -> None:
    """A schema that knows nobody by ``email`` lacks all of it."""
    found = schema_findings(
        [of(Trait("mail", ADDRESS.identifies, "email", "email"))], None, None
    )

    assert {
        "address_trait": Severity.ERROR,
        "other_identifiers": Severity.ERROR,
    } == faults(found)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Trait("second", frozenset({"code"}), "email"), "second (identifier for code)"),
        (Trait("user", frozenset({"password"})), "user (identifier for password)"),
        (Trait("phone", verified_via="sms"), "phone (verification)"),
        (Trait("spare[]", recovered_via="email"), "spare[] (recovery)"),
    ],
)
def test_others(other: Trait, said: str) -> None:
    """Whatever else Kratos knows, reaches or lets in a person by is an error."""
    (finding,) = [
        f
        for f in schema_findings([of(ADDRESS, other)], None, None)
        if f.severity is not Severity.OK
    ]

    assert ("other_identifiers", Severity.ERROR) == (finding.check, finding.severity)
    assert said in finding.what
    assert ("code" in other.identifies) == ("mail the code" in finding.why)


def test_out_of_sight() -> None:
    """What a schema refers to elsewhere is a warning: it was not looked at."""
    read = IdentitySchema("user", (ADDRESS,), ("email",), ("https://example.com/x",))

    assert {"identity_schema": Severity.WARNING} == faults(
        schema_findings([read], None, None)
    )


@pytest.mark.parametrize(
    ("wanted", "default", "chosen"),
    [("staff", None, "staff"), (None, "staff", "staff"), ("user", "user", "user")],
)
def test_one_of_several(wanted: str | None, default: str | None, chosen: str) -> None:
    """With several schemas the setting tells which one counts, or Kratos' file."""
    found = schema_findings([USER, STAFF], wanted, default)

    assert {} == faults(found)
    assert chosen in found[0].what


@pytest.mark.parametrize(
    ("wanted", "default", "cure"),
    [
        (None, None, "SIGNUPD_IDENTITY_SCHEMA_ID"),
        (None, "default", "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("guests", None, "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("staff", "user", "default_schema_id: staff"),
    ],
)
def test_undecided(wanted: str | None, default: str | None, cure: str) -> None:
    """Without that, or where the two differ, nothing else can be said."""
    (finding,) = schema_findings([USER, STAFF], wanted, default)

    assert ("identity_schema", Severity.ERROR) == (finding.check, finding.severity)
    assert cure in finding.cure


def test_only_one() -> None:
    """A single schema is the one, whatever a file with no id in it would mean."""
    assert {} == faults(schema_findings([USER], None, "default"))


@pytest.mark.parametrize("version", ["v1.3.1", "1.3.1", "v26.2.0", "v26.2.11"])
def test_known_versions(version: str) -> None:
    """The versions that signupd was tried on are well."""
    assert Severity.OK is version_finding(version).severity


@pytest.mark.parametrize(
    "version", ["", "v1.3.0", "v1.3.10", "v25.4.0", "v26.20.0", "master"]
)
def test_unknown_versions(version: str) -> None:
    """Others are a warning."""
    assert Severity.WARNING is version_finding(version).severity

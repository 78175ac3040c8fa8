"""The check of what Kratos registers with: its schema, its methods, its version.

What a real Kratos shows of them is in ``tests/e2e/test_check.py``.
"""

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from signupd.check.findings import Finding, Severity, Subject
from signupd.check.kratos_file import AFTER, KratosFile
from signupd.check.preflight import version_finding
from signupd.check.registration import identity_schema, registration
from signupd.errors import KratosIncompatible, Violation
from signupd.kratos.admin import Kratos
from signupd.kratos.public import FlowKind, Offer
from signupd.kratos.schema import IdentitySchema, read_schema
from signupd.settings import Settings

from tests.doubles.log import LogDouble
from tests.e2e.checking import cured
from tests.unit.schemas import PHONE, RECOVERY, marked, reference, with_traits

Json = dict[str, Any]

WHOLE = Offer(frozenset({"code", "password"}), whole=True)
PASSKEY = Offer(WHOLE.methods | {"passkey"}, whole=True)


def subject(
    public: Any,
    wanted: str | None = None,
    file: KratosFile | None = None,
    traits: Json | None = None,
) -> Subject:
    """Give a Kratos with such a public API."""
    kratos = cast("Kratos", SimpleNamespace(public=public))
    settings = Settings(identity_schema_id=wanted, hook_listen="127.0.0.1:9999")
    log = LogDouble().logger
    return Subject(kratos, settings, log, file, traits or {}, with_canary=False)


async def judged(
    *documents: Json,
    wanted: str | None = None,
    default: str | None = None,
    refused: bool = False,
    traits: Json | None = None,
) -> list[Finding]:
    """Judge the schemas of a Kratos, which are called user, staff."""

    async def schemas() -> tuple[IdentitySchema, ...]:
        return tuple(map(read_schema, ("user", "staff"), documents))

    file = KratosFile({"identity": {"default_schema_id": default}}) if default else None

    async def chooses_schema() -> bool:
        if refused:
            raise KratosIncompatible("Kratos does not register with it")
        return False

    public = SimpleNamespace(schemas=schemas, chooses_schema=chooses_schema)
    return await identity_schema(subject(public, wanted, file, traits))


async def others(
    browser: Offer | None, file: KratosFile | None = None
) -> list[Finding]:
    """Judge what is offered to programs and to browsers; keep what is not well."""

    async def offer(kind: FlowKind, _: object) -> Offer:
        if kind is FlowKind.API:
            return WHOLE
        if browser is None:
            raise KratosIncompatible
        return browser

    findings = await registration(subject(SimpleNamespace(offer=offer), file=file))
    return [one for one in findings if one.severity is not Severity.OK]


async def test_required_traits() -> None:
    """What callers have to bring besides the address is said."""
    document = with_traits()
    document["properties"]["traits"]["required"] += ["name", "newsletter"]
    findings = await judged(document)

    assert {"ok"} == {one.severity for one in findings}
    assert "name, newsletter" in findings[0].what


async def test_traits_refused() -> None:
    """What --traits gives is judged as StartSignup judges it, and as Kratos does."""
    document = with_traits(phone=marked(PHONE))
    given = {"phone": "1", "email": "a@b.example"}
    both = [await judged(document, traits={name: given[name]}) for name in given]
    refused = Offer(
        frozenset(),
        whole=False,
        refused=(Violation("email", "is bad"), Violation("traits.age", "is missing")),
    )

    async def offer(kind: FlowKind, traits: object) -> Offer:
        return refused

    public = SimpleNamespace(offer=offer)
    (said,) = await registration(subject(public, traits={"name": "Ann"}))
    told = [one for findings in both for one in findings if one.severity == "error"]

    assert ["traits.phone is an identifier", "traits.email is set by"] == [
        re.search("gives: (.*?(identifier|by))", one.what)[1]  # type: ignore[index]
        for one in told
    ]
    assert said.what.endswith("gives: traits.age is missing")
    assert {"error"} == {said.severity, *(one.severity for one in told)}


async def test_addresses_elsewhere() -> None:
    """Addresses of another schema that identify nobody are warned of, by their path."""
    other = with_traits(contact=marked(RECOVERY), phone=marked(PHONE))
    findings = await judged(reference(), other, wanted="user", default="user")
    (found,) = [one for one in findings if one.severity is Severity.WARNING]

    assert "traits.contact of staff" in found.what
    assert "phone" not in found.what
    assert "ALREADY_REGISTERED" in found.why


@pytest.mark.parametrize(
    ("count", "wanted", "default", "chosen"),
    [
        (2, "user", "user", "user"),
        # Whatever a file with no id in it would mean.
        (1, None, "default", "user"),
    ],
)
async def test_which_schema(
    count: int, wanted: str | None, default: str | None, chosen: str
) -> None:
    """Of several schemas the setting tells which one counts."""
    findings = await judged(*[reference()] * count, wanted=wanted, default=default)

    assert {"ok"} == {one.severity for one in findings}
    assert f"identity schema {chosen}" in findings[0].what


async def test_default_unseen() -> None:
    """A default that was not seen, and that Kratos registers with, is a warning."""
    findings = await judged(reference(), reference(), wanted="staff")
    (found,) = [one for one in findings if one.severity is Severity.WARNING]

    assert "registers with staff was not checked" in found.what
    assert "--kratos-config" in found.cure


@pytest.mark.parametrize(
    ("wanted", "default", "cure"),
    [
        (None, "staff", "SIGNUPD_IDENTITY_SCHEMA_ID=staff"),
        (None, None, "SIGNUPD_IDENTITY_SCHEMA_ID to one of these."),
        (None, "default", "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("guests", None, "SIGNUPD_IDENTITY_SCHEMA_ID"),
        ("staff", "user", "default_schema_id: staff"),
    ],
)
async def test_undecided(wanted: str | None, default: str | None, cure: str) -> None:
    """Without that, or where the two differ, nothing else can be said."""
    (found,) = await judged(reference(), reference(), wanted=wanted, default=default)

    assert ("identity_schema", Severity.ERROR) == (found.check, found.severity)
    assert cure in found.cure


@pytest.mark.parametrize("default", [None, "user"])
async def test_not_selectable(default: str | None) -> None:
    """A schema that Kratos does not let signupd choose is said, with its line."""
    documents = reference(), reference()
    (found,) = await judged(*documents, wanted="staff", default=default, refused=True)

    assert ("identity_schema", Severity.ERROR) == (found.check, found.severity)
    assert "the id staff, set:\nselfservice_selectable: true" in found.cure


async def test_browsers_unseen() -> None:
    """Methods that Kratos does not show are no claim that there are none."""
    (found,) = await others(None)

    assert ("other_methods", "warning") == (found.check, found.severity)


async def test_captcha() -> None:
    """A captcha is an error of its own: signupd cannot solve it."""
    (found,) = await others(Offer(WHOLE.methods | {"captcha"}, whole=True))

    assert (Severity.ERROR, "other_methods") == (found.severity, found.check)
    assert "asks for a captcha" in found.what


async def test_another_method() -> None:
    """Another method can be switched off, or get a hook of its own that refuses."""
    (found,) = await others(PASSKEY)
    off, hooked = found.cure.split("or, so that nobody can register by it:\n")
    config: Json = {}
    cured(config, hooked)
    file = KratosFile(config)
    (hook,) = file.hooks(f"{AFTER}.passkey")

    method = "selfservice.methods.passkey"
    assert f"In kratos.yml under {method}, set:\nenabled: false\n" == off
    assert "http://127.0.0.1:9999/kratos/code" == hook.url
    assert [] == await others(PASSKEY, file)


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        *((one, "ok") for one in ("v1.3.1", "1.3.1", "v25.4.0", "v26.2.0", "v26.2.11")),
        *((one, "warning") for one in ("", "v1.3.0", "v1.3.10", "v26.20.0", "v27.1.0")),
        ("master", "warning"),
    ],
)
def test_version(version: str, severity: str) -> None:
    """The versions that signupd was tried on are well, others a warning."""
    assert severity == version_finding(version).severity


@pytest.mark.parametrize("browser", [WHOLE, None])
@pytest.mark.parametrize(
    ("methods", "found"),
    [
        ({"passkey": {"enabled": True}}, ["registration by passkey is on"]),
        (
            {"webauthn": {"enabled": True, "config": {"passwordless": True}}},
            ["registration by webauthn is on"],
        ),
        (
            {"oidc": {"enabled": True, "config": {"providers": [{"id": "x"}]}}},
            ["registration by oidc is on"],
        ),
        ({"oidc": {"enabled": True}}, []),
        # A second factor registers nobody.
        ({"webauthn": {"enabled": True}}, []),
        ({"passkey": {"enabled": False}}, []),
        ({}, []),
    ],
)
async def test_methods_in_the_file(
    browser: Offer | None, methods: Json, found: list[str]
) -> None:
    """Other ways to register are read in the file, whether Kratos shows them or not."""
    file = KratosFile({"selfservice": {"methods": methods}})

    assert found == [one.what for one in await others(browser, file)]

"""The check of the ways to register that Kratos offers."""

from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from signupd.check.findings import Finding, Severity, Subject
from signupd.check.kratos_file import KratosFile
from signupd.check.methods import registration
from signupd.errors import KratosIncompatible
from signupd.kratos.client import Kratos
from signupd.kratos.offer import FlowKind, Offer
from signupd.settings import Settings

from tests.doubles.log import LogDouble

OURS = frozenset({"code", "password"})
WHOLE = Offer(OURS, whole=True)
CLOSED = Offer(frozenset(), whole=False)
PASSKEY = Offer(OURS | {"passkey"}, whole=True)
SETTINGS = Settings(hook_listen="127.0.0.1:9999")


async def faults(
    api: Offer | None, browser: Offer | None, file: KratosFile | None = None
) -> list[Finding]:
    """Judge what is offered; keep what is not well."""

    async def offer(kind: FlowKind, _: object) -> Offer | None:
        if kind is FlowKind.BROWSER and browser is None:
            raise KratosIncompatible
        return api if kind is FlowKind.API else browser

    kratos = cast("Kratos", SimpleNamespace(public=SimpleNamespace(offer=offer)))
    log = LogDouble().logger
    subject = Subject(kratos, SETTINGS, log, file, {}, with_canary=False)
    findings = await registration(subject)
    return [one for one in findings if one.severity is not Severity.OK]


@pytest.mark.parametrize(
    ("api", "browser", "expected"),
    [
        (WHOLE, WHOLE, {}),
        (None, None, {"registration": "error"}),
        (Offer(OURS - {"code"}, whole=True), WHOLE, {"code_method": "error"}),
        (Offer(OURS - {"password"}, whole=True), WHOLE, {"password_method": "error"}),
        (WHOLE, PASSKEY, {"other_methods": "warning"}),
        (WHOLE, None, {"other_methods": "warning"}),
        (
            CLOSED,
            CLOSED,
            dict.fromkeys(
                ("code_method", "password_method", "other_methods"), "warning"
            ),
        ),
    ],
)
async def test_offers(
    api: Offer | None, browser: Offer | None, expected: dict[str, str]
) -> None:
    """Our two methods have to be on, others are a warning, the unseen is no claim."""
    found = await faults(api, browser)

    assert expected == {one.check: one.severity for one in found}
    assert all(one.why and one.cure for one in found)


@pytest.mark.parametrize("method", sorted(OURS))
async def test_method_off(method: str) -> None:
    """The cure of a method that is off is the lines that switch it on."""
    (found,) = await faults(Offer(OURS - {method}, whole=True), WHOLE)
    methods = yaml.safe_load(found.cure)["selfservice"]["methods"]

    assert methods[method]["enabled"]


async def test_another_method() -> None:
    """Another method can be switched off, or get a hook of its own that refuses."""
    (found,) = await faults(WHOLE, PASSKEY)
    off, hooked = found.cure.split("or, so that nobody can register by it:\n")
    after = yaml.safe_load(hooked)["selfservice"]["flows"]["registration"]["after"]
    methods = yaml.safe_load(off)["selfservice"]["methods"]
    url = after["passkey"]["hooks"][0]["config"]["url"]
    file = KratosFile(yaml.safe_load(hooked))

    assert {"passkey": {"enabled": False}} == methods
    assert "http://127.0.0.1:9999/kratos/code" == url
    assert [] == await faults(WHOLE, PASSKEY, file)

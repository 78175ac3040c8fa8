"""The preflight's judgement of the ways to register that Kratos offers."""

from __future__ import annotations

import pytest
import yaml
from signupd.check.findings import Finding, Severity
from signupd.check.methods import Offers, method_findings
from signupd.kratos.offer import Offer
from signupd.settings import Settings

OURS = frozenset({"code", "password"})
WHOLE = Offer(OURS, whole=True)
SETTINGS = Settings(hook_listen="127.0.0.1:9999")


def judged(seen: Offers, hooked: frozenset[str] = frozenset()) -> list[Finding]:
    """Judge what is offered; keep what is not well."""
    findings = method_findings(seen, SETTINGS, hooked)
    return [one for one in findings if one.severity is not Severity.OK]


def test_well() -> None:
    """Our two methods and no others: all well."""
    assert [] == judged(Offers(WHOLE, WHOLE))


def test_off() -> None:
    """Registration that is off is one error, and the only finding."""
    (finding,) = judged(Offers(None, None))

    assert ("registration", Severity.ERROR) == (finding.check, finding.severity)
    assert "enabled: true" in finding.cure


@pytest.mark.parametrize("method", sorted(OURS))
def test_method_off(method: str) -> None:
    """One of ours that is off is an error, its cure the lines that switch it on."""
    offer = Offer(OURS - {method}, whole=True)
    (finding,) = judged(Offers(offer, WHOLE))
    methods = yaml.safe_load(finding.cure)["selfservice"]["methods"]

    assert (f"{method}_method", Severity.ERROR) == (finding.check, finding.severity)
    assert methods[method]["enabled"]


def test_behind_the_first_step() -> None:
    """Where the second step stayed closed nothing is claimed of our methods."""
    closed = Offer(frozenset(), whole=False)
    checks = [finding.check for finding in judged(Offers(closed, closed))]

    assert ["code_method", "password_method", "other_methods"] == checks
    assert {Severity.WARNING} == {f.severity for f in judged(Offers(closed, closed))}


@pytest.mark.parametrize("method", ["oidc", "passkey", "webauthn", "saml"])
def test_past_us(method: str) -> None:
    """A way past us is a warning; it can be closed, or given a hook that refuses."""
    (finding,) = judged(Offers(WHOLE, Offer(OURS | {method}, whole=True)))
    off, hooked = finding.cure.split("or, so that nobody can register by it:\n")
    after = yaml.safe_load(hooked)["selfservice"]["flows"]["registration"]["after"]

    assert ("other_methods", Severity.WARNING) == (finding.check, finding.severity)
    assert {method: {"enabled": False}} == yaml.safe_load(off)["selfservice"]["methods"]
    assert [method] == [*after]
    assert (
        "http://127.0.0.1:9999/kratos/code"
        == after[method]["hooks"][0]["config"]["url"]
    )


def test_with_a_hook_of_its_own() -> None:
    """One that has a hook which may refuse is the operator's business."""
    seen = Offers(WHOLE, Offer(OURS | {"oidc"}, whole=True))

    assert [] == judged(seen, frozenset({"oidc"}))


def test_browsers_unseen() -> None:
    """Where browsers got no flow, passkeys are not claimed to be off."""
    (finding,) = judged(Offers(WHOLE, None))

    assert ("other_methods", Severity.WARNING) == (finding.check, finding.severity)

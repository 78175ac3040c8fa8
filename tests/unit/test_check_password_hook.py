"""The preflight's judgement of the probe of the password hook."""

from __future__ import annotations

import pytest
from signupd.check.findings import Severity
from signupd.check.hook_port import Heard
from signupd.check.password_hook import judge
from signupd.kratos.outcomes import PasswordAnswer as Answer
from signupd.kratos.probe import Probed
from signupd.settings import Settings

FLOW, ADDRESS = "flow-1", "probe-1@probe.invalid"
PATH = "/kratos/password"
OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR

SILENCE = Heard()
ASKED = Heard({PATH}, asked={(FLOW, ADDRESS): 100.25})
ASKED_OF_OTHERS = Heard({PATH}, asked={("flow-2", "ann@example.com"): 100.25})
EMPTY = Heard({PATH})
KEYLESS = Heard({PATH}, keyless=True)
ELSEWHERE = Heard({"/kratos/code"})
# Somebody else's sign-up does not get into the judgement.
OTHERS_TOO = Heard(
    {PATH, "/kratos/code"}, asked={**ASKED_OF_OTHERS.asked, **ASKED.asked}
)


@pytest.mark.parametrize(
    ("answer", "heard", "severity", "said"),
    [
        (Answer.HOOK_NOT_NOW, ASKED, OK, "250 ms"),
        (Answer.HOOK_NOT_NOW, OTHERS_TOO, OK, "250 ms"),
        (Answer.HOOK_UNKNOWN_FLOW, None, OK, "a running signupd refused"),
        (Answer.HOOK_NOT_NOW, None, OK, "a running signupd refused"),
        (Answer.HOOK_UNKNOWN_FLOW, SILENCE, OK, "a running signupd refused"),
        (Answer.HOOK_UNKNOWN_FLOW, EMPTY, ERROR, "not about the flow"),
        (Answer.HOOK_NOT_NOW, ASKED_OF_OTHERS, ERROR, "not about the flow"),
        (Answer.UNCLEAR, KEYLESS, ERROR, "key"),
        (Answer.UNCLEAR, SILENCE, ERROR, "does not reach"),
        (Answer.UNCLEAR, None, ERROR, "does not reach"),
        (Answer.UNCLEAR, ELSEWHERE, ERROR, "asks at /kratos/code"),
        (Answer.UNCLEAR, ASKED, ERROR, "failed otherwise"),
        (Answer.CREATED, SILENCE, ERROR, "without asking"),
        (Answer.CREATED, None, ERROR, "without asking"),
        (Answer.CREATED, ASKED, ERROR, "after it has stored"),
        (Answer.TRAITS_REFUSED, SILENCE, WARNING, "could not be tried"),
        (Answer.REFUSED, SILENCE, WARNING, "could not be tried"),
    ],
)
def test_judgement(
    answer: Answer, heard: Heard | None, severity: Severity, said: str
) -> None:
    """What Kratos answered and what was heard make one finding."""
    stored = answer is Answer.CREATED
    found = judge(Probed(answer, FLOW, ADDRESS, stored), heard, Settings(), 100.0)

    assert ("password_hook", severity) == (found.check, found.severity)
    assert said in found.what
    assert (severity is OK) == (found.cure == "")


@pytest.mark.parametrize("heard", [SILENCE, ASKED, KEYLESS, None])
def test_stored(heard: Heard | None) -> None:
    """An account that was found afterwards is the fault, whatever was answered."""
    found = judge(
        Probed(Answer.UNCLEAR, FLOW, ADDRESS, stored=True), heard, Settings(), 0
    )

    assert ERROR is found.severity
    assert "stored" in found.what
    assert "parse: true" in found.cure


def test_method_off() -> None:
    """Where Kratos registers nobody by password, that is the fault."""
    probed = Probed(Answer.METHOD_OFF, FLOW, ADDRESS, stored=False)
    found = judge(probed, SILENCE, Settings(), 0)

    assert ("password_method", ERROR) == (found.check, found.severity)


def test_every_answer_is_judged() -> None:
    """There is no answer of Kratos without a judgement."""
    found = {
        judge(Probed(answer, FLOW, ADDRESS, stored=False), SILENCE, Settings(), 0).check
        for answer in Answer
    }

    assert {"password_hook", "password_method"} == found

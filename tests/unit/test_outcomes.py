"""Kratos' answers as values: each message id, and what is no answer."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from signupd.errors import KratosIncompatible, KratosUnavailable, Violation
from signupd.kratos.outcomes import (
    CodeAnswer,
    Flow,
    Message,
    PasswordAnswer,
    PasswordResult,
    PasswordRule,
    code_answer,
    password_result,
    read_flow,
    trait_violations,
)

IDENTITY_ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
USED = "The code was already used. Please request another code."
TOO_OFTEN = "The request was submitted too often. Please request another code."


def flow(*messages: Message, state: str = "sent_email") -> Flow:
    """Make a flow with messages."""
    return Flow("flow-1", state, messages)


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (Message("traits.email", 9999001, "proved"), CodeAnswer.PROVED),
        (Message("", 4040003, "invalid"), CodeAnswer.INCORRECT),
        (Message("", 4000001, TOO_OFTEN), CodeAnswer.TOO_OFTEN),
        (Message("", 4000001, USED), CodeAnswer.USED),
        (Message("", 4000007, "exists"), CodeAnswer.HOOK_MISSING),
        (Message("", 4000001, "something else"), CodeAnswer.UNCLEAR),
        (Message("", 4000036, "other traits"), CodeAnswer.UNCLEAR),
        (Message("", 4010003, "no strategy"), CodeAnswer.UNCLEAR),
        (Message("", 4000002, USED), CodeAnswer.UNCLEAR),
        (Message("", 1040005, "sent"), CodeAnswer.UNCLEAR),
    ],
)
def test_code_answers(message: Message, answer: CodeAnswer) -> None:
    """Each message says what became of a code; the unknown says nothing."""
    assert answer is code_answer(flow(message))


def test_code_answer_of_a_flow_that_passed() -> None:
    """A flow that has passed was given a right code before."""
    passed = "passed_challenge"

    assert CodeAnswer.USED is code_answer(flow(state=passed))
    assert CodeAnswer.USED is code_answer(flow(Message("", 4010003, "x"), state=passed))
    proved = Message("traits.email", 9999001, "proved")
    assert CodeAnswer.PROVED is code_answer(flow(proved, state=passed))
    taken = Message("", 4000007, "exists")
    assert CodeAnswer.HOOK_MISSING is code_answer(flow(taken, state=passed))
    assert CodeAnswer.UNCLEAR is code_answer(flow())


@pytest.mark.parametrize(
    ("message", "result"),
    [
        (Message("password", 4000031, "x"), PasswordRule.TOO_SIMILAR),
        (Message("password", 4000032, "x"), PasswordRule.TOO_SHORT),
        (Message("password", 4000033, "x"), PasswordRule.TOO_LONG),
        (Message("password", 4000034, "x"), PasswordRule.BREACHED),
        (Message("password", 4000002, "x"), PasswordRule.REFUSED),
        (Message("password", 4999999, "x"), PasswordRule.REFUSED),
        (Message("", 4000034, "x"), PasswordRule.BREACHED),
        (Message("traits.email", 9999002, "x"), PasswordAnswer.HOOK_UNKNOWN_FLOW),
        (Message("traits.email", 9999003, "x"), PasswordAnswer.HOOK_NOT_NOW),
        (Message("traits.name", 4000002, "x"), PasswordAnswer.TRAITS_REFUSED),
        (Message("traits", 4000001, "x"), PasswordAnswer.TRAITS_REFUSED),
        (Message("", 4000007, "x"), PasswordAnswer.UNCLEAR),
        (Message("", 4000009, "x"), PasswordAnswer.UNCLEAR),
        (Message("", 4010003, "x"), PasswordAnswer.UNCLEAR),
        (Message("", 4999999, "x"), PasswordAnswer.UNCLEAR),
    ],
)
def test_password_results(
    message: Message, result: PasswordAnswer | PasswordRule
) -> None:
    """Each message says why no account was made; what is not known says nothing."""
    expected = (
        PasswordResult(PasswordAnswer.REFUSED, rules=(result,))
        if isinstance(result, PasswordRule)
        else PasswordResult(result)
    )

    assert expected == password_result(flow(message, state="choose_method"))


def test_several_rules() -> None:
    """All rules are told, each once, in Kratos' order."""
    broken = [Message("password", n, "x") for n in (4000034, 4000032, 4000034)]
    result = password_result(flow(*broken))

    assert (PasswordRule.BREACHED, PasswordRule.TOO_SHORT) == result.rules


def test_breach_check_down() -> None:
    """A password that Kratos could not have checked was not judged."""
    with pytest.raises(KratosUnavailable):
        password_result(flow(Message("password", 4000005, "unreachable")))


@pytest.mark.parametrize(
    ("message", "violation"),
    [
        (Message("traits.name", 4000002, "x"), Violation("traits.name", "is missing")),
        (
            Message("traits.name", 4000003, "x"),
            Violation("traits.name", "is too short"),
        ),
        (Message("traits.name", 4000017, "x"), Violation("traits.name", "is too long")),
        (
            Message("traits.a.b", 4000026, "x"),
            Violation("traits.a.b", "has the wrong type"),
        ),
        (
            Message("traits.email", 4000001, '"ann" is not valid "email"'),
            Violation("email", "does not fit the identity schema"),
        ),
        (
            Message("traits", 4000001, "x"),
            Violation("traits", "does not fit the identity schema"),
        ),
    ],
)
def test_trait_violations(message: Message, violation: Violation) -> None:
    """A fault of a trait becomes a sentence of ours on the field."""
    assert (violation,) == trait_violations(flow(message))


def body(**changed: Any) -> dict[str, Any]:
    """Make a flow as JSON, as 1.3.1 writes it."""
    node = {
        "type": "input",
        "group": "default",
        "attributes": {"name": "traits.email", "value": "ann@example.com"},
        "messages": [{"id": 2, "text": "on a node", "type": "error"}],
        "meta": {},
    }
    link = {"attributes": {"href": "x"}, "messages": None}
    ui = {"nodes": [node, link], "messages": [{"id": 1, "text": "on it"}]}
    return {"id": "flow-1", "state": "sent_email", "ui": ui, **changed}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        3,
        {},
        body(ui=None),
        body(ui={}),
        body(ui={"nodes": None}),
        body(ui={"nodes": [{}]}),
        body(ui={"nodes": [{"attributes": [], "messages": [{"id": 1, "text": "x"}]}]}),
        body(ui={"nodes": [], "messages": [{"text": "x"}]}),
        body(ui={"nodes": [], "messages": [{"id": "x", "text": "x"}]}),
        {"id": "x", "ui": {"nodes": []}},
        {"state": "x", "ui": {"nodes": []}},
    ],
)
def test_no_flow(answer: Any) -> None:
    """What is no flow is told as a Kratos that speaks otherwise."""
    with pytest.raises(KratosIncompatible):
        read_flow(answer)

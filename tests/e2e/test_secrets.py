"""What no answer, no log line and no readable column may hold."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from tests.e2e.errors import refusal
from tests.e2e.holdings import registration_flow_ids
from tests.e2e.stack import (
    GOOD_PASSWORD,
    Log,
    Stack,
    new_address,
    similar_to,
    wrong_codes,
)

NAME = "Wilhelmina Featherstonehaugh"
LOCALE = "de-x-canary"


@dataclass(frozen=True, slots=True)
class Canary:
    """A sign-up in which everything happened.

    Attributes:
        person: What the person has typed, by what it is: nobody may hear of it again.
        tokens: The continuation tokens; they belong into answers and nowhere else.
        flows: Kratos' flows.
        answers: All answers and errors, as text.
    """

    person: dict[str, str]
    tokens: set[str]
    flows: set[str]
    answers: str


@pytest.fixture(scope="module")
def canary(stack: Stack) -> Canary:
    """Walk a sign-up with all that can go wrong on the way."""
    address, before = new_address(), registration_flow_ids(stack.kratos)
    answers: list[Any] = []
    caller, refusals = stack.caller, []
    refusals.append(refusal(caller.start, f" {address}"))
    refusals.append(refusal(caller.start, address, traits={"name": NAME * 20}))
    started = caller.start(address, traits={"name": NAME}, locale=LOCALE)
    token, code = started.continuation_token, stack.code(address)
    (wrong,) = wrong_codes(code, 1)
    refusals.append(refusal(caller.verify, token, wrong))
    refusals.append(refusal(caller.verify, f"{token[:-1]}!", code))
    answers += [started, caller.get(token)]
    verified = caller.verify(token, code)
    similar, password_token = similar_to(address), verified.continuation_token
    refusals += [
        refusal(caller.set_password, password_token, one) for one in ("tiny#7", similar)
    ]
    answers += [verified, caller.verify(token, code), caller.get(password_token)]
    answers += [caller.set_password(password_token, GOOD_PASSWORD) for _ in range(2)]
    refusals.append(refusal(caller.set_password, password_token, f"{GOOD_PASSWORD}!"))
    texts = [MessageToJson(one) for one in answers] + [repr(one) for one in refusals]
    return Canary(
        person={
            "address": address,
            "local part": address.partition("@")[0],
            "name": NAME,
            "code": code,
            "wrong code": wrong,
            "password": GOOD_PASSWORD,
            "refused password": similar,
            "short password": "tiny#7",
        },
        tokens={one.continuation_token for one in answers} - {""},
        flows=registration_flow_ids(stack.kratos) - before,
        answers="\n".join(texts),
    )


def test_answers(canary: Canary) -> None:
    """No answer and no error repeats what was typed, or tells of Kratos."""
    assert [] == _found(canary.person.values(), canary.answers)
    assert 4 <= len(canary.flows)
    assert [] == _found(canary.flows, canary.answers)
    assert [] == _found(["ory_", "flow", "127.0.0.1"], canary.answers.lower())


def test_log(stack: Stack, canary: Canary) -> None:
    """Nor does the log, at any level; it does not hold tokens either."""
    log = "\n".join(_without_time(line) for line in Log(stack.server).lines())

    assert "signup_completed" in log
    assert [] == _found(canary.person.values(), log)
    assert [] == _found(canary.tokens, log)
    assert [] == _found(canary.flows, log)
    assert [] == _found(["ory_", "ann-", "@example.com"], log)


def test_ledger(stack: Stack, canary: Canary) -> None:
    """Nor can any of it be read in the ledger's files."""
    files = sorted(stack.server.directory.glob("signupd.db*"))
    content = b"".join(path.read_bytes() for path in files).decode("latin-1")

    assert files
    assert [] == _found(canary.person.values(), content)
    assert [] == _found(canary.tokens, content)
    assert [] == _found(canary.flows, content)
    assert [] == _found([LOCALE, "ann-", "@example.com", "ory_"], content)


def _found(secrets: Iterable[str], text: str) -> list[str]:
    return [secret for secret in secrets if secret in text]


def _without_time(line: dict[str, Any]) -> str:
    """Leave out the time, whose digits might be those of a code."""
    return json.dumps({**line, "timestamp": ""}, ensure_ascii=False)

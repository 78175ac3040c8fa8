"""Registration flows of the double of Kratos: what a submission does to a flow.

Ids and order are those of Kratos 1.3.1, and so are the texts that tell two meanings of
one id apart; tests/integration/test_kratos_agreement holds them against the real one.
"""

import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.kratos_books import Identity, Setup

Json = dict[str, Any]

# What the double's Kratos takes on a flow before it refuses even the right code.
MAX_SUBMISSIONS = 5

CHOOSE_METHOD = "choose_method"
SENT_EMAIL = "sent_email"
PASSED_CHALLENGE = "passed_challenge"

TOO_OFTEN = "The request was submitted too often. Please request another code."
USED = "The code was already used. Please request another code."


@dataclass(frozen=True, slots=True)
class Message:
    """A message, on a node or (``node`` empty) on the flow itself."""

    id: int
    node: str = ""
    text: str = ""
    type: str = "error"

    def body(self) -> Json:
        """Show it as JSON."""
        return {"id": self.id, "text": self.text, "type": self.type}


class CodeLapsed(Exception):
    """The right code, too late."""


@dataclass(slots=True)
class Flow:
    """One registration flow, and the code that was mailed by it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: str = CHOOSE_METHOD
    traits: Json = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    code: str = ""
    code_used: bool = False
    code_lapsed: bool = False
    submissions: int = 0
    expired: bool = False

    def new_code(self, traits: Json) -> str:
        """Make the code to be mailed; the state changes with ``mailed`` only."""
        self.traits, self.code = dict(traits), f"{secrets.randbelow(10**6):06}"
        self.code_used = False
        return self.code

    def mailed(self, *, told: bool) -> None:
        """Note that the mail is on its way; ``told`` is whether the flow says so."""
        self.state = SENT_EMAIL
        self.messages = [Message(1040005, type="info")] if told else []

    def judge(self, traits: Json, code: str) -> Message | None:
        """Hold a code against the one mailed, and use it up.

        Returns:
            What is wrong with it; None for the right one.

        Raises:
            CodeLapsed: It is the right one, too late.
        """
        if self.state == PASSED_CHALLENGE:
            return Message(4010003)
        expected, self.traits = self.traits, dict(traits)
        if expected != traits:
            return Message(4000036)
        self.submissions += 1
        if self.submissions > MAX_SUBMISSIONS:
            return Message(4000001, text=TOO_OFTEN)
        if code != self.code:
            return Message(4040003)
        if self.code_lapsed:
            raise CodeLapsed
        if self.code_used:
            return Message(4000001, text=USED)
        self.code_used = True
        return None

    def body(self) -> Json:
        """Show the flow as JSON."""
        names = {f"traits.{name}" for name in self.traits} | {"traits.email"}
        names |= {message.node for message in self.messages if message.node}
        on_flow = [message.body() for message in self.messages if not message.node]
        return {
            "id": self.id,
            "type": "api",
            "state": self.state,
            "ui": {
                "method": "POST",
                "nodes": [self._node(name) for name in sorted(names)],
                **({"messages": on_flow} if on_flow else {}),
            },
        }

    def _node(self, name: str) -> Json:
        return {
            "type": "input",
            "group": "default",
            "attributes": {"name": name, "node_type": "input"},
            "messages": [m.body() for m in self.messages if m.node == name],
            "meta": {},
        }


def trait_faults(traits: Json, required: frozenset[str]) -> list[Message]:
    """Hold traits against the reference schema: email, name and newsletter."""
    given: Json = dict(traits)
    faults = [
        Message(4000002, f"traits.{name}") for name in sorted(required - given.keys())
    ]
    kinds: dict[str, type] = {"email": str, "name": str, "newsletter": bool}
    for name, value in given.items():
        node, fits = f"traits.{name}", isinstance(value, kinds.get(name, object))
        if name not in kinds:
            faults.append(Message(4000001, "traits"))
        elif not fits:
            faults.append(Message(4000026, node))
        elif name == "email" and "@" not in value:
            faults.append(Message(4000001, node))
        elif name == "name" and len(value) > 200:
            faults.append(Message(4000017, node))
    return faults


def password_fault(account: Identity, setup: Setup) -> Message | None:
    """Hold a password against Kratos' policy; the first broken rule counts."""
    password, address = account.password or "", account.address
    rules = {
        4000002: not password,
        4000032: len(password) < setup.min_password_length,
        4000033: len(password.encode()) > 72,
        4000031: password.lower() in address or address in password.lower(),
        4000034: password in setup.breached,
        4000005: setup.breaches_away,
    }
    for message_id, broken in rules.items():
        if broken:
            return Message(message_id, "password")
    return None

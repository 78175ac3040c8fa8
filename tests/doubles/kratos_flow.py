"""Registration flows of the double of Kratos: what a submission does to a flow.

Ids, texts and order are those of Kratos 1.3.1; tests/integration/test_kratos_agreement
holds them against the real one.
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
TAKEN = (
    "An account with the same identifier (email, phone, username, ...) exists already."
)
NO_STRATEGY = (
    "Could not find a strategy to sign you up with. Did you fill out the form "
    "correctly?"
)
OTHER_TRAITS = (
    "The provided traits do not match the traits previously associated with this flow."
)
CODE_SENT = (
    "An email containing a code has been sent to the email address you provided. If "
    "you have not received an email, check the spelling of the address and retry the "
    "registration."
)
CODE_WRONG = (
    "The registration code is invalid or has already been used. Please try again."
)
TOO_SIMILAR = (
    "The password can not be used because it is too similar to the identifier."
)
BREACHED = "The password has been found in data breaches and must no longer be used."
BREACHES_AWAY = "The password can not be used because GET https://... giving up"


@dataclass(frozen=True, slots=True)
class Message:
    """A message, on a node or (``node`` empty) on the flow itself."""

    id: int
    text: str
    node: str = ""
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
        self.messages = [Message(1040005, CODE_SENT, type="info")] if told else []

    def judge(self, traits: Json, code: str) -> Message | None:
        """Hold a code against the one mailed, and use it up.

        Returns:
            What is wrong with it; None for the right one.

        Raises:
            CodeLapsed: It is the right one, too late.
        """
        if self.state == PASSED_CHALLENGE:
            return Message(4010003, NO_STRATEGY)
        expected, self.traits = self.traits, dict(traits)
        if expected != traits:
            return Message(4000036, OTHER_TRAITS)
        self.submissions += 1
        if self.submissions > MAX_SUBMISSIONS:
            return Message(4000001, TOO_OFTEN)
        if code != self.code:
            return Message(4040003, CODE_WRONG)
        if self.code_lapsed:
            raise CodeLapsed
        if self.code_used:
            return Message(4000001, USED)
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
        Message(4000002, f"Property {name} is missing.", f"traits.{name}")
        for name in sorted(required - given.keys())
    ]
    kinds: dict[str, type] = {"email": str, "name": str, "newsletter": bool}
    words = {str: "string", bool: "boolean", int: "number", float: "number"}
    for name, value in given.items():
        node, fits = f"traits.{name}", isinstance(value, kinds.get(name, object))
        if name not in kinds:
            text = f'additionalProperties "{name}" not allowed'
            faults.append(Message(4000001, text, "traits"))
        elif not fits:
            got = words.get(type(value), "object")
            text = f"expected {words[kinds[name]]}, but got {got}"
            faults.append(Message(4000026, text, node))
        elif name == "email" and "@" not in value:
            faults.append(Message(4000001, f'"{value}" is not valid "email"', node))
        elif name == "name" and len(value) > 200:
            text = f"length must be <= 200, but got {len(value)}"
            faults.append(Message(4000017, text, node))
    return faults


def password_fault(account: Identity, setup: Setup) -> Message | None:
    """Hold a password against Kratos' policy; the first broken rule counts."""
    password, address = account.password or "", account.address
    length, size = len(password), len(password.encode())
    if not password:
        return Message(4000002, "Property password is missing.", "password")
    if length < setup.min_password_length:
        least = f"at least {setup.min_password_length} characters long"
        text = f"The password must be {least}, but got {length}."
        return Message(4000032, text, "password")
    if size > 72:
        text = f"The password must be at most 72 characters long, but got {size}."
        return Message(4000033, text, "password")
    if password.lower() in address or address in password.lower():
        return Message(4000031, TOO_SIMILAR, "password")
    if password in setup.breached:
        return Message(4000034, BREACHED, "password")
    away = Message(4000005, BREACHES_AWAY, "password")
    return away if setup.breaches_away else None

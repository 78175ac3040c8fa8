"""What Kratos answered, as values, and the one table from its message ids to them.

The ids are public in Kratos (its package ``text``); what each of them means here was
tried on running servers, versions 1.3.1 and 26.2.0. Nothing of Kratos' own words
leaves this room.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible, KratosUnavailable, Violation

if TYPE_CHECKING:
    import uuid

# Ours: what our hooks have Kratos pass on.
PROVED_ID: Final = 9999001
UNKNOWN_FLOW_ID: Final = 9999002
NOT_NOW_ID: Final = 9999003

# Kratos'.
CODE_SENT_ID: Final = 1040005
GENERIC_ID: Final = 4000001
ACCOUNT_EXISTS_ID: Final = 4000007
CODE_INCORRECT_ID: Final = 4040003
FLOW_DISABLED: Final = "self_service_flow_disabled"

# Two meanings share id 4000001 at the code step and differ by their text alone; the
# e2e tests pin both, so a Kratos that words them anew is noticed.
_TOO_OFTEN_TEXT: Final = "submitted too often"
_USED_TEXT: Final = "already used"

MARK: Final = "signupd"


class CodeAnswer(enum.Enum):
    """What Kratos made of a code."""

    PROVED = enum.auto()  # right, and our hook stopped Kratos from storing anything
    INCORRECT = enum.auto()
    TOO_OFTEN = enum.auto()  # the flow takes no further codes, not even the right one
    LAPSED = enum.auto()  # the flow or its code is past its lifespan
    USED = enum.auto()  # some code was right on this flow before
    HOOK_MISSING = enum.auto()  # right, and Kratos went on to store an account
    UNCLEAR = enum.auto()  # the flow has to be asked


class FlowState(enum.StrEnum):
    """How far a registration flow has come, in Kratos' words."""

    CHOOSE_METHOD = "choose_method"
    SENT_EMAIL = "sent_email"
    PASSED_CHALLENGE = "passed_challenge"
    GONE = "gone"


class Delivery(enum.Enum):
    """What Kratos' courier says of a mail."""

    QUEUED = enum.auto()
    SENT = enum.auto()
    FAILED = enum.auto()


class PasswordRule(enum.StrEnum):
    """The rules that Kratos refuses a password by."""

    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    TOO_SIMILAR = "TOO_SIMILAR"
    BREACHED = "BREACHED"
    REFUSED = "REFUSED"


PASSWORD_RULES: Final = {
    4000031: PasswordRule.TOO_SIMILAR,
    4000032: PasswordRule.TOO_SHORT,
    4000033: PasswordRule.TOO_LONG,
    4000034: PasswordRule.BREACHED,
}
# Kratos could not ask haveibeenpwned and may not go on without: its trouble, not the
# password's.
BREACH_CHECK_DOWN_ID: Final = 4000005
# A fault of the password node with another id (newer Kratos have more of them) is a
# refusal too; on any other node it is none.
PASSWORD_NODE: Final = "password"  # noqa: S105 - a form field's name

# Kratos 1.3.1 sends most schema faults as the generic id with text, 26.2 under ids of
# their own. Callers read one constant sentence each.
TRAIT_FAULTS: Final = {
    4000002: "is missing",
    4000003: "is too short",
    4000017: "is too long",
    4000026: "has the wrong type",
}
TRAIT_FAULT_OTHER: Final = "does not fit the identity schema"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a flow. ``node`` is empty if it is on the flow itself."""

    node: str
    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A registration flow as Kratos shows it."""

    id: str
    state: str
    messages: tuple[Message, ...]

    def ids(self) -> frozenset[int]:
        """Name the ids of all its messages."""
        return frozenset(message.id for message in self.messages)


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The answer to a code; ``identity_id`` of the account that a missing hook let be.

    ``identity_id`` is set with HOOK_MISSING only, and not even then when the address
    was taken.
    """

    answer: CodeAnswer
    identity_id: uuid.UUID | None = None


class PasswordAnswer(enum.Enum):
    """What Kratos made of a password registration."""

    CREATED = enum.auto()  # an account is stored; whose, its mark tells
    REFUSED = enum.auto()  # by a password rule; nothing stored
    HOOK_UNKNOWN_FLOW = enum.auto()  # our hook, or another server's, said no
    HOOK_NOT_NOW = enum.auto()  # our hook said: not at this moment
    TRAITS_REFUSED = enum.auto()  # a trait does not fit; the hook was not asked
    METHOD_OFF = enum.auto()  # Kratos does not register by password
    UNCLEAR = enum.auto()  # look the address up


@dataclass(frozen=True, slots=True)
class PasswordResult:
    """The answer to a password registration."""

    answer: PasswordAnswer
    identity_id: uuid.UUID | None = None
    rules: tuple[PasswordRule, ...] = ()


def error_id(body: Any) -> str:
    """Read the id of an error from the JSON of an answer; empty if it has none."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("id", "")) if isinstance(error, dict) else ""


def is_flow(body: Any) -> bool:
    """Return whether JSON is a flow, and not an error for instance."""
    return isinstance(body, dict) and "ui" in body


def read_flow(body: Any) -> Flow:
    """Read a flow from the JSON of an answer.

    Raises:
        KratosIncompatible: It is none.
    """
    try:
        ui = body["ui"]
        messages = [
            Message("", int(message["id"]), str(message["text"]))
            for message in ui.get("messages") or ()
        ]
        messages += [
            Message(
                str(node["attributes"].get("name", "")), int(m["id"]), str(m["text"])
            )
            for node in ui["nodes"]
            for m in node["messages"] or ()
        ]
        return Flow(str(body["id"]), str(body["state"]), tuple(messages))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KratosIncompatible("an answer of Kratos is not a flow") from error


def trait_violations(flow: Flow) -> tuple[Violation, ...]:
    """Name the traits that Kratos finds fault with, each in a constant sentence."""
    faults = [m for m in flow.messages if m.node.split(".")[0] == "traits"]
    return tuple(
        Violation(
            "email" if fault.node == "traits.email" else fault.node,
            TRAIT_FAULTS.get(fault.id, TRAIT_FAULT_OTHER),
        )
        for fault in faults
    )


def code_answer(flow: Flow) -> CodeAnswer:
    """Return from a flow what became of the code just submitted to it."""
    ids = flow.ids()
    if PROVED_ID in ids:
        return CodeAnswer.PROVED
    if CODE_INCORRECT_ID in ids:
        return CodeAnswer.INCORRECT
    if ACCOUNT_EXISTS_ID in ids:
        return CodeAnswer.HOOK_MISSING
    texts = " ".join(m.text for m in flow.messages if m.id == GENERIC_ID)
    if _TOO_OFTEN_TEXT in texts:
        return CodeAnswer.TOO_OFTEN
    if _USED_TEXT in texts or flow.state == FlowState.PASSED_CHALLENGE:
        return CodeAnswer.USED
    return CodeAnswer.UNCLEAR


def password_result(flow: Flow) -> PasswordResult:
    """Return from a flow why its password registration made no account.

    Raises:
        KratosUnavailable: Kratos could not judge the password.
    """
    ids = flow.ids()
    if BREACH_CHECK_DOWN_ID in ids:
        raise KratosUnavailable("Kratos does not reach its haveibeenpwned_host")
    if UNKNOWN_FLOW_ID in ids:
        return PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW)
    if NOT_NOW_ID in ids:
        return PasswordResult(PasswordAnswer.HOOK_NOT_NOW)
    rules = [
        PASSWORD_RULES.get(message.id, PasswordRule.REFUSED)
        for message in flow.messages
        if message.node == PASSWORD_NODE or message.id in PASSWORD_RULES
    ]
    if rules:
        return PasswordResult(PasswordAnswer.REFUSED, rules=tuple(dict.fromkeys(rules)))
    if trait_violations(flow):
        return PasswordResult(PasswordAnswer.TRAITS_REFUSED)
    return PasswordResult(PasswordAnswer.UNCLEAR)

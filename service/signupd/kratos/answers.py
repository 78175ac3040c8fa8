"""What Kratos answered, as values, and the tables from its message ids to them.

The ids are public in Kratos (its package ``text``). What each of them means here was
tried on running servers, versions 1.3.1 and 26.2.0. None of Kratos' own texts leaves
this package, except the reason of an error in plain words, for the log.
"""

import enum
import re
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from signupd.errors import KratosUnavailable
from signupd.kratos.failures import error_field, hook_failed, hook_was_late
from signupd.kratos.flow import Flow, read_flow, trait_violations

# Ours: what our hooks have Kratos pass on.
PROVED_ID: Final = 9999001
UNKNOWN_FLOW_ID: Final = 9999002
NOT_NOW_ID: Final = 9999003

# Kratos'.
_KRATOS_IDS: Final = range(1_000_000, 6_000_000)
CODE_SENT_ID: Final = 1040005
CAPTCHA_ID: Final = 4000038
FLOW_DISABLED: Final = "self_service_flow_disabled"


class CodeAnswer(enum.Enum):
    """What Kratos made of a code."""

    PROVED = enum.auto()  # right, and our hook stopped Kratos from storing anything
    INCORRECT = enum.auto()
    TOO_OFTEN = enum.auto()  # the flow takes no further codes, not even the right one
    LAPSED = enum.auto()  # the flow or its code is past its lifespan
    USED = enum.auto()  # right, and taken before
    PASSED = enum.auto()  # the flow took a code before, for whatever address
    TRAITS_REFUSED = enum.auto()  # not looked at: a trait does not fit the schema
    HOOK_DEAD = enum.auto()  # right, but Kratos got no answer of our code hook
    HOOK_REFUSED = enum.auto()  # right, but a hook before ours said no
    HOOK_MISSING = enum.auto()  # right, and Kratos went on to store an account
    HOOK_LATE = enum.auto()  # right, and Kratos asked a hook after it stored an account
    UNCLEAR = enum.auto()


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


class PasswordAnswer(enum.Enum):
    """What Kratos made of a password registration."""

    CREATED = enum.auto()  # an account is stored; its mark says by which sign-up
    REFUSED = enum.auto()  # by a password rule; nothing stored
    HOOK_UNKNOWN_FLOW = enum.auto()  # our hook, or another server's, said no
    HOOK_NOT_NOW = enum.auto()  # our hook said: not at this moment
    HOOK_FOREIGN = enum.auto()  # so did a hook that is not of this server's ledger
    HOOK_SWAPPED = enum.auto()  # our code hook was asked instead, and said no
    HOOK_REFUSED = enum.auto()  # another hook than ours said no
    HOOK_LATE = enum.auto()  # a hook was asked after an account was stored
    TRAITS_REFUSED = enum.auto()  # a trait does not fit; the hook was not asked
    TAKEN = enum.auto()  # by an identifier, verification or recovery address of anybody
    METHOD_OFF = enum.auto()  # Kratos does not register by password
    HOOK_AWAY = enum.auto()  # no flow: the hook, or what Kratos needs, is not there
    UNCLEAR = enum.auto()  # look the address up


# The first entry that a flow has a message for, by id and by a part of its text. Two
# meanings share id 4000001 and differ by their text alone; the tests against a real
# Kratos pin both.
_TAKEN_ID: Final = 4000007
_TAKEN_HINTED_ID: Final = 4000028  # with flows.registration.login_hints
_CODE_ANSWERS: Final = (
    (PROVED_ID, "", CodeAnswer.PROVED),
    # Our password hook was asked instead, and a hook is asked after a right code alone.
    (UNKNOWN_FLOW_ID, "", CodeAnswer.HOOK_DEAD),
    (NOT_NOW_ID, "", CodeAnswer.HOOK_DEAD),
    (4040003, "", CodeAnswer.INCORRECT),
    (_TAKEN_ID, "", CodeAnswer.HOOK_MISSING),
    (_TAKEN_HINTED_ID, "", CodeAnswer.HOOK_MISSING),
    (4000001, "submitted too often", CodeAnswer.TOO_OFTEN),
    (4000001, "already used", CodeAnswer.USED),
    (4000036, "", CodeAnswer.LAPSED),  # another has used the flow, with other traits
)
# The text of the error that Kratos answers with if it does not reach the code hook.
_CODE_HOOK_DEAD: Final = re.compile(r"POST \S+/kratos/code giving up ")
_PASSWORD_ANSWERS: Final = {
    UNKNOWN_FLOW_ID: PasswordAnswer.HOOK_UNKNOWN_FLOW,
    NOT_NOW_ID: PasswordAnswer.HOOK_NOT_NOW,
    PROVED_ID: PasswordAnswer.HOOK_SWAPPED,
    _TAKEN_ID: PasswordAnswer.TAKEN,
    _TAKEN_HINTED_ID: PasswordAnswer.TAKEN,
}
# By the reasons that the contract has for them.
_PASSWORD_RULES: Final = {
    4000031: "TOO_SIMILAR",
    4000032: "TOO_SHORT",
    4000033: "TOO_LONG",
    4000034: "BREACHED",
}
# Kratos could not ask haveibeenpwned and may not go on without it. That is not a fault
# of the password.
_BREACH_CHECK_DOWN_ID: Final = 4000005
# Any other message at this node is a refusal too (newer Kratos have more of them).
_PASSWORD_NODE: Final = "password"  # noqa: S105 - a form field's name


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The answer to a code."""

    answer: CodeAnswer
    # With HOOK_MISSING, what Kratos stored; nothing if the address was taken.
    identity_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class PasswordResult:
    """The answer to a password registration."""

    answer: PasswordAnswer
    # With CREATED, the account, and whether it has a verified address.
    identity_id: uuid.UUID | None = None
    verified: bool = False
    rules: tuple[str, ...] = ()  # with REFUSED, those that the password breaks
    said: str = field(default="", compare=False)  # by our hook that refused


def demand_kratos(status: int, body: Any, part: str = "") -> None:
    """Demand an answer of Kratos, which is a JSON object, with this part if any.

    Raises:
        KratosUnavailable: Something in front of Kratos answered.
    """
    if not isinstance(body, dict) or (part and part not in body):
        raise KratosUnavailable(f"HTTP status {status} did not come from Kratos")


def is_gone(status: int, body: Any) -> bool:
    """Return whether Kratos says that a flow is not there, or not any more.

    Raises:
        KratosUnavailable: Something in front of Kratos answered.
    """
    gone = status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
    demand_kratos(status, body, "error" if gone else "")
    return gone


def _demand_hook_failure(status: int, body: Any) -> None:
    """Demand that an answer without a flow tells of a hook.

    Raises:
        KratosUnavailable: It does not; a proxy that adds JSON errors may have sent it.
    """
    if not hook_failed(body):
        raise KratosUnavailable(
            f"Kratos, or a proxy before it, answered with HTTP status {status}"
        )


def code_result(status: int, body: Any, flow_id: str) -> CodeResult:
    """Read the answer to a code that was submitted to a flow.

    Raises:
        KratosUnavailable: It is none.
    """
    if is_gone(status, body):
        return CodeResult(CodeAnswer.LAPSED)
    if status == HTTPStatus.OK:
        return CodeResult(CodeAnswer.HOOK_MISSING, _stored_id(body))
    if flow := read_flow(body, flow_id):
        return CodeResult(_code_answer(flow))
    _demand_hook_failure(status, body)
    if hook_was_late(status, body):
        return CodeResult(CodeAnswer.HOOK_LATE)
    dead = _CODE_HOOK_DEAD.match(error_field(body, "message"))
    return CodeResult(CodeAnswer.HOOK_DEAD if dead else CodeAnswer.UNCLEAR)


def _code_answer(flow: Flow) -> CodeAnswer:
    for message_id, text, answer in _CODE_ANSWERS:
        if flow.says(message_id, text):
            return answer
    if _is_of_a_hook(flow):
        return CodeAnswer.HOOK_REFUSED
    if flow.state == FlowState.PASSED_CHALLENGE:
        return CodeAnswer.PASSED
    faulty = trait_violations(flow)
    return CodeAnswer.TRAITS_REFUSED if faulty else CodeAnswer.UNCLEAR


def password_result(status: int, body: Any, flow_id: str) -> PasswordResult:
    """Read the answer to a password registration on a flow.

    Raises:
        KratosUnavailable: It is none, or Kratos could not judge the password.
    """
    if is_gone(status, body) and status == HTTPStatus.NOT_FOUND:
        return PasswordResult(PasswordAnswer.METHOD_OFF)
    if status == HTTPStatus.OK:
        stored = _stored_id(body)
        addresses = body["identity"].get("verifiable_addresses")
        verified = isinstance(addresses, list) and any(
            isinstance(one, dict) and one.get("verified") is True for one in addresses
        )
        return PasswordResult(PasswordAnswer.CREATED, stored, verified)
    flow = read_flow(body, flow_id)
    if flow is None:
        _demand_hook_failure(status, body)
        late = hook_was_late(status, body)
        return PasswordResult(
            PasswordAnswer.HOOK_LATE if late else PasswordAnswer.HOOK_AWAY
        )
    if flow.says(_BREACH_CHECK_DOWN_ID):
        raise KratosUnavailable("Kratos does not reach its haveibeenpwned_host")
    for message_id, answer in _PASSWORD_ANSWERS.items():
        if flow.says(message_id):
            said = next(one.text for one in flow.messages if one.id == message_id)
            return PasswordResult(answer, said=said)
    rules = dict.fromkeys(
        _PASSWORD_RULES.get(message.id, "REFUSED")
        for message in flow.messages
        if message.node == _PASSWORD_NODE or message.id in _PASSWORD_RULES
    )
    if rules:
        return PasswordResult(PasswordAnswer.REFUSED, rules=tuple(rules))
    faulty = trait_violations(flow)
    answer = PasswordAnswer.TRAITS_REFUSED if faulty else PasswordAnswer.UNCLEAR
    return PasswordResult(
        PasswordAnswer.HOOK_REFUSED if _is_of_a_hook(flow) else answer
    )


def _is_of_a_hook(flow: Flow) -> bool:
    """Return whether a hook wrote one of the messages: Kratos has other numbers.

    Those of our own hooks were looked for before.
    """
    return any(message.id not in _KRATOS_IDS for message in flow.messages)


def _stored_id(body: Any) -> uuid.UUID:
    """Read the id of the account that Kratos stored.

    Raises:
        KratosUnavailable: The answer names none.
    """
    try:
        return uuid.UUID(body["identity"]["id"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KratosUnavailable("Kratos named no account in its 200") from error

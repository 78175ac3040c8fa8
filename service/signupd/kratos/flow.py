"""A registration flow as Kratos shows it, and what it says of traits."""

from dataclasses import dataclass
from typing import Any, Final

from signupd.errors import KratosUnavailable, Violation

# Kratos 1.3.1 sends most schema faults as the generic id with text, 26.2 under ids of
# their own. Callers read one constant sentence each.
_TRAIT_FAULTS: Final = {
    4000002: "is missing",
    4000003: "is too short",
    4000017: "is too long",
    4000026: "has the wrong type",
}
_TRAIT_FAULT_OTHER: Final = "does not fit the identity schema"


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

    def says(self, message_id: int, text: str = "") -> bool:
        """Return whether it has a message with this id, and this text in it."""
        return any(m.id == message_id and text in m.text for m in self.messages)


def read_flow(body: Any, flow_id: str | None = None) -> Flow | None:
    """Read a flow from the JSON of an answer; None if it is not one.

    Raises:
        KratosUnavailable: It is not the flow of the request, but the answer to another.
    """
    try:
        flow_itself = {"attributes": {}, "messages": body["ui"].get("messages")}
        messages = tuple(
            Message(
                str(node["attributes"].get("name", "")),
                int(message["id"]),
                str(message["text"]),
            )
            for node in (flow_itself, *body["ui"]["nodes"])
            for message in node["messages"] or ()
        )
        flow = Flow(str(body["id"]), str(body["state"]), messages)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if flow_id not in (None, flow.id):
        raise KratosUnavailable("Kratos answered with another flow")
    return flow


def trait_violations(flow: Flow) -> tuple[Violation, ...]:
    """Name the traits that Kratos finds fault with, each in a constant sentence."""
    faults = (
        Violation(
            "email" if fault.node == "traits.email" else fault.node,
            _TRAIT_FAULTS.get(fault.id, _TRAIT_FAULT_OTHER),
        )
        for fault in flow.messages
        if fault.node.split(".")[0] == "traits"
    )
    return tuple(dict.fromkeys(faults))

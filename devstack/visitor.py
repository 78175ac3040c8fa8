"""A stranger at Kratos' public API, who does not know of our service."""

from dataclasses import dataclass
from typing import Any

import httpx

# Kratos waits 30 s for a hook, and three times.
TIMEOUT_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registration step was answered with.

    Attributes:
        status: The HTTP status. 200 is a registration; 400 is how Kratos says
            everything else, "the code was sent" included.
        state: The flow's state, such as `sent_email`; empty when there is no flow.
        messages: The ids of all messages, on the flow and on its fields.
        identity_id: The identity that was made; empty when none was.
        flow_id: The flow; empty when the answer has none.
    """

    status: int
    state: str
    messages: tuple[int, ...]
    identity_id: str
    flow_id: str


class Visitor(httpx.Client):
    """Registers and signs in through Kratos' API flows.

    Args:
        public_url: Without a slash at the end.
        agent: What it calls itself.
    """

    def __init__(self, public_url: str, agent: str = "visitor") -> None:
        super().__init__(
            base_url=public_url,
            headers={"User-Agent": agent},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def login(self, address: str, password: str) -> bool:
        """Try to sign in by password. Mind that it makes a session."""
        body = {"method": "password", "identifier": address, "password": password}
        return self._submit("login", body).is_success

    def register(self, body: dict[str, Any], flow_id: str = "") -> Answer:
        """Submit a registration, in a new flow when none is given."""
        return _answer(self._submit("registration", body, flow_id))

    def send_code(self, traits: dict[str, Any], locale: str = "en") -> Answer:
        """Have a code mailed."""
        payload = {"locale": locale}
        body = {"method": "code", "traits": traits, "transient_payload": payload}
        return self.register(body)

    def submit_code(self, flow_id: str, traits: dict[str, Any], code: str) -> Answer:
        """Hand in the code of a mail."""
        body = {"method": "code", "traits": traits, "code": code}
        return self.register(body, flow_id)

    def register_by_password(self, traits: dict[str, Any], password: str) -> Answer:
        """Try to register with a password."""
        body = {"method": "password", "traits": traits, "password": password}
        return self.register(body)

    def _submit(
        self, kind: str, body: dict[str, Any], flow_id: str = ""
    ) -> httpx.Response:
        if not flow_id:
            opened = self.get(f"/self-service/{kind}/api")
            flow_id = opened.raise_for_status().json()["id"]
        path = f"/self-service/{kind}"
        return self.post(path, params={"flow": flow_id}, json=body)


def _answer(response: httpx.Response) -> Answer:
    body = response.json()
    interface = body.get("ui") or {}
    messages = list(interface.get("messages") or [])
    for node in interface.get("nodes") or []:
        messages += node.get("messages") or []
    return Answer(
        status=response.status_code,
        state=body.get("state") or "",
        messages=tuple(one["id"] for one in messages),
        identity_id=(body.get("identity") or {}).get("id") or "",
        flow_id=body.get("id") or "",
    )

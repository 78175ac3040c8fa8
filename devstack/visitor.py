"""A stranger at Kratos' public API, who does not know of our service."""

from dataclasses import dataclass
from typing import Any, Self

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


class Visitor:
    """Registers and signs in through Kratos' API flows.

    A context manager; outside of one call `close`.

    Args:
        public_url: Without a slash at the end.
        agent: What it calls itself.
    """

    def __init__(self, public_url: str, agent: str = "visitor") -> None:
        self._http = httpx.Client(
            base_url=public_url,
            headers={"User-Agent": agent},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def login(self, address: str, password: str) -> bool:
        """Try to sign in by password. Mind that it makes a session."""
        body = {"method": "password", "identifier": address, "password": password}
        return self._submit("login", body).is_success

    def session(self, address: str, password: str) -> str:
        """Sign in by password.

        Returns:
            The session's token.
        """
        body = {"method": "password", "identifier": address, "password": password}
        answer = self._submit("login", body).raise_for_status()
        return str(answer.json()["session_token"])

    def session_is_live(self, token: str) -> bool:
        """Ask Kratos whether a session still stands."""
        path = "/sessions/whoami"
        return self._http.get(path, headers={"X-Session-Token": token}).is_success

    def change_settings(self, token: str, body: dict[str, Any]) -> int:
        """Submit a settings flow of the session's own account.

        Returns:
            The HTTP status.
        """
        headers = {"X-Session-Token": token}
        flow = self._http.get("/self-service/settings/api", headers=headers)
        flow_id = flow.raise_for_status().json()["id"]
        return self._http.post(
            "/self-service/settings",
            params={"flow": flow_id},
            headers=headers,
            json=body,
        ).status_code

    def request_recovery(self, address: str) -> str:
        """Have a recovery code mailed.

        Returns:
            The flow's id.
        """
        body = {"method": "code", "email": address}
        return str(self._submit("recovery", body).raise_for_status().json()["id"])

    def recover(self, flow_id: str, code: str) -> None:
        """Hand in the code of a recovery mail."""
        self._submit("recovery", {"method": "code", "code": code}, flow_id)

    def register(self, body: dict[str, Any], flow_id: str = "") -> Answer:
        """Submit a registration.

        Args:
            body: With its `method`, as Kratos wants it.
            flow_id: A new flow when empty.

        Returns:
            What came back.
        """
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
            opened = self._http.get(f"/self-service/{kind}/api")
            flow_id = opened.raise_for_status().json()["id"]
        path = f"/self-service/{kind}"
        return self._http.post(path, params={"flow": flow_id}, json=body)


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

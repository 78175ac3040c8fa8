"""What Kratos' admin API says, for the demo and the tests to look at."""

from dataclasses import dataclass
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity, as far as a test asks.

    Attributes:
        id: A UUID.
        state: `active` or `inactive`.
        traits: As stored.
        verified: Whether every address is verified, and there is one.
        has_password: Whether a hash is stored. A password credential alone proves
            nothing: Kratos makes an empty one for every identity.
        metadata_admin: The mark of the service, among others.
    """

    id: str
    state: str
    traits: dict[str, Any]
    verified: bool
    has_password: bool
    metadata_admin: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CourierMessage:
    """One mail, as Kratos' courier keeps it.

    Attributes:
        template: Such as `registration_code_valid`.
        status: `queued`, `processing`, `sent` or `abandoned`.
        send_count: How often it was tried.
    """

    template: str
    status: str
    send_count: int


class Admin:
    """Looks at a Kratos through its admin API.

    A context manager; outside of one call `close`.

    Args:
        admin_url: Without a slash at the end.
    """

    def __init__(self, admin_url: str) -> None:
        self._http = httpx.Client(
            base_url=admin_url, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def identities(self, address: str) -> list[Identity]:
        """Find the identities that sign in with an address, in any case."""
        listed = self._get("/admin/identities", credentials_identifier=address)
        return [self.identity(one["id"]) for one in listed]

    def identity(self, identity_id: str) -> Identity:
        """Read one identity."""
        path = f"/admin/identities/{identity_id}"
        found = self._get(path, include_credential="password")
        addresses = found.get("verifiable_addresses") or []
        password = found["credentials"].get("password") or {}
        return Identity(
            id=found["id"],
            state=found["state"],
            traits=found["traits"],
            verified=bool(addresses) and all(one["verified"] for one in addresses),
            has_password=bool((password.get("config") or {}).get("hashed_password")),
            metadata_admin=found.get("metadata_admin") or {},
        )

    def session_count(self, identity_id: str) -> int:
        """Count the active sessions of an identity."""
        path = f"/admin/identities/{identity_id}/sessions"
        return len(self._get(path, active="true"))

    def courier_messages(self, address: str) -> list[CourierMessage]:
        """List the mails to an address, newest first."""
        return [
            CourierMessage(one["template_type"], one["status"], one["send_count"])
            for one in self._get(
                "/admin/courier/messages", recipient=address.lower(), page_size="250"
            )
        ]

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self._http.get(path, params=parameters)
        # Kratos says 404 for an identity that has no sessions.
        if path.endswith("/sessions") and answer.status_code == httpx.codes.NOT_FOUND:
            return []
        return answer.raise_for_status().json()

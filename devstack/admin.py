"""What Kratos' admin API says, for the demo and the tests to look at."""

from dataclasses import dataclass
from typing import Any

import httpx

from devstack.mailbox import CODE

TIMEOUT_SECONDS = 10.0
IMPORT_SECONDS = 60.0


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
        address_ids: Those of its addresses; the service's mark is one.
        metadata_admin: An operator's own.
    """

    id: str
    state: str
    traits: dict[str, Any]
    verified: bool
    has_password: bool
    address_ids: list[str]
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


class Admin(httpx.Client):
    """A client of Kratos' admin API.

    Args:
        admin_url: Without a slash at the end.
    """

    def __init__(self, admin_url: str) -> None:
        super().__init__(base_url=admin_url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def identities(self, address: str) -> list[Identity]:
        """Find the identities that sign in with an address, in any case."""
        listed = self._read("/admin/identities", credentials_identifier=address)
        return [self.identity(one["id"]) for one in listed]

    def identity(self, identity_id: str) -> Identity:
        """Read one identity."""
        path = f"/admin/identities/{identity_id}"
        found = self._read(path, include_credential="password")
        addresses = found.get("verifiable_addresses") or []
        password = found["credentials"].get("password") or {}
        return Identity(
            id=found["id"],
            state=found["state"],
            traits=found["traits"],
            verified=bool(addresses) and all(one["verified"] for one in addresses),
            has_password=bool((password.get("config") or {}).get("hashed_password")),
            address_ids=[one["id"] for one in addresses],
            metadata_admin=found.get("metadata_admin") or {},
        )

    def session_count(self, identity_id: str) -> int:
        """Count the active sessions of an identity."""
        path = f"/admin/identities/{identity_id}/sessions"
        return len(self._read(path, active="true"))

    def courier_messages(self, address: str) -> list[CourierMessage]:
        """List the mails to an address, newest first."""
        return [
            CourierMessage(one["template_type"], one["status"], one["send_count"])
            for one in self._read(
                "/admin/courier/messages", recipient=address.lower(), page_size="250"
            )
        ]

    def code_for(self, address: str) -> str:
        """Read the code from the newest mail in the courier.

        Returns:
            Empty where the courier hides its mails: without --dev it does.
        """
        mails = self._read("/admin/courier/messages", recipient=address)
        found = CODE.search(mails[0]["body"]) if mails else None
        return found.group(1) if found else ""

    def import_accounts(self, addresses: list[str]) -> list[str]:
        """Make accounts, a hundred at the most, with nothing but an address each.

        Returns:
            The identities' ids.
        """
        bodies = [{"schema_id": "user", "traits": {"email": one}} for one in addresses]
        batch = {"identities": [{"create": body} for body in bodies]}
        answer = self.patch("/admin/identities", json=batch, timeout=IMPORT_SECONDS)
        made = answer.raise_for_status().json()["identities"]
        return [str(one["identity"]) for one in made]

    def remove(self, identity_id: str) -> None:
        """Delete one identity."""
        self.delete(f"/admin/identities/{identity_id}").raise_for_status()

    def _read(self, path: str, **parameters: str) -> Any:
        answer = self.get(path, params=parameters)
        # Kratos says 404 for an identity that has no sessions.
        if path.endswith("/sessions") and answer.status_code == httpx.codes.NOT_FOUND:
            return []
        return answer.raise_for_status().json()

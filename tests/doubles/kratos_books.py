"""What the double of Kratos keeps: accounts, mails, flows, and how it is set up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.doubles.trouble import Cut

if TYPE_CHECKING:
    from tests.doubles.kratos_flow import Flow

Json = dict[str, Any]


@dataclass(slots=True)
class Identity:
    """One account. The password is kept as it came, for tests to look at."""

    traits: Json
    verified: bool = False
    password: str | None = None
    metadata_admin: Json | None = None
    sessions: int = 0
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def address(self) -> str:
        """The identifier, as Kratos normalises it."""
        return str(self.traits["email"]).lower()

    def patch(self, wanted: Json) -> None:
        """Take over what the password hook wants of the account."""
        for one in wanted.get("verifiable_addresses", ()):
            if one["value"] == self.address:  # in any other case the mark is lost
                self.verified = one["verified"]
        if "metadata_admin" in wanted:
            self.metadata_admin = wanted["metadata_admin"]

    def body(self, *, admin: bool) -> Json:
        """Show it as the public or the admin API does."""
        shown: Json = {
            "id": str(self.id),
            "state": "active",
            "traits": self.traits,
            "verifiable_addresses": [
                {
                    "value": self.address,
                    "via": "email",
                    "verified": self.verified,
                    "status": "completed" if self.verified else "sent",
                }
            ],
        }
        return shown | ({"metadata_admin": self.metadata_admin} if admin else {})


@dataclass(slots=True)
class Mail:
    """One mail in the courier's books."""

    recipient: str
    template: str
    code: str
    locale: str = ""
    status: str = "sent"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def body(self) -> Json:
        """Show it as the admin API does: without what it says."""
        return {
            "recipient": self.recipient,
            "template_type": self.template,
            "status": self.status,
            "body": "<redacted-unless-dev-mode>",
            "created_at": self.created_at.isoformat().replace("+00:00", "Z"),
        }


@dataclass(slots=True)
class Setup:
    """What an operator may have set up otherwise than the reference configuration.

    A hook that is not there stands for one under ``after.hooks`` too: there it is not
    even called.
    """

    hook_url: str = "http://127.0.0.1:1"  # nobody listens there
    hook_key: str = ""
    admin_token: str = ""
    registration: bool = True
    code_method: bool = True
    passwordless: bool = True
    password_method: bool = True
    code_hook: bool = True
    password_hook: bool = True
    required_traits: frozenset[str] = frozenset({"email"})
    min_password_length: int = 8
    breached: frozenset[str] = frozenset()


@dataclass(slots=True)
class Books:
    """All that the double remembers.

    Attributes:
        torn: Calls to be cut between their effect and the flow's change of state.
        calls: The calls that came, by name, in their order.
        mails: Oldest first.
    """

    setup: Setup = field(default_factory=Setup)
    flows: dict[str, Flow] = field(default_factory=dict)
    accounts: dict[uuid.UUID, Identity] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    torn: set[str] = field(default_factory=set)

    def account(self, address: str) -> Identity | None:
        """Give the account at an address, in any letter case."""
        found = [a for a in self.accounts.values() if a.address == address.lower()]
        return found[0] if found else None

    def tear(self, name: str) -> None:
        """Cut the connection here, if a test wants it."""
        if name in self.torn:
            self.torn.remove(name)
            raise Cut

"""What the double of Kratos keeps: accounts, mails, flows, and how it is set up."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from devstack.binary import KRATOS_DIRECTORY
from tests.doubles.trouble import Cut

if TYPE_CHECKING:
    from tests.doubles.kratos_flow import Flow

Json = dict[str, Any]

# What its password credentials hold; no password has it.
HASH = "$2a$12$d0ubled0ubled0ubled0uOhashhashhashhashhashhashhashhash"
# When it was stored, and when a part of it was changed.
TIMES = {"created_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:00:00Z"}
# Traits to sign in by: the reference schema's, and a user name where one has it.
IDENTIFIERS = ("email", "username")


@dataclass(slots=True)
class Identity:
    """One account. The password is kept as it came, for tests to look at.

    Attributes:
        migrating: Whether a migration hook is to be asked for the password.
        social: Whether somebody else vouches for it at the login.
    """

    traits: Json
    verified: bool = False
    password: str | None = None
    state: str = "active"
    migrating: bool = False
    social: bool = False
    metadata_admin: Json | None = None
    sessions: int = 0
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    address_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def address(self) -> str:
        """The address, as Kratos normalises it."""
        return str(self.traits["email"]).lower()

    @property
    def identifiers(self) -> list[str]:
        """What it may sign in with, as Kratos normalises it."""
        found = [self.traits[name] for name in IDENTIFIERS if name in self.traits]
        return [str(identifier).lower() for identifier in found]

    def patch(self, wanted: Json) -> None:
        """Take over what the password hook wants of the account."""
        for one in wanted.get("verifiable_addresses", ()):
            if one["value"] == self.address:  # in any other case the mark is lost
                self.verified = one["verified"]
                self.address_id = one.get("id", self.address_id)
        if "metadata_admin" in wanted:
            self.metadata_admin = wanted["metadata_admin"]

    def body(self, *, admin: bool, credential: bool = False) -> Json:
        """Show it as the public or the admin API does.

        Args:
            admin: To whom.
            credential: Whether with its password credential.
        """
        shown: Json = {
            "id": str(self.id),
            "state": self.state,
            "traits": self.traits,
            "verifiable_addresses": self._addresses(),
            **TIMES,
        }
        if admin:
            shown["metadata_admin"] = self.metadata_admin
        if credential and self.identifiers:
            shown["credentials"] = self._credentials()
        return shown

    def _addresses(self) -> list[Json] | None:
        if "email" not in self.traits:
            return None
        return [
            {
                "id": self.address_id,
                "value": self.address,
                "via": "email",
                "verified": self.verified,
                "status": "completed" if self.verified else "sent",
                **TIMES,
            }
        ]

    def _credentials(self) -> Json:
        """Show the credentials: there is one for a password in any case."""
        config: Json = {"hashed_password": HASH} if self.password else {}
        if self.migrating:
            config = {"hashed_password": "", "use_password_migration_hook": True}
        password = {"identifiers": self.identifiers, "config": config, **TIMES}
        oidc: Json = {"identifiers": ["google:1"], **TIMES}
        social: Json = {"oidc": oidc} if self.social else {}
        return {"password": password, **social}


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
    captcha: bool = False
    password_method: bool = True
    code_hook: bool = True
    password_hook: bool = True
    parsed: bool = True  # else hooks are called after an account is stored
    swapped: bool = False  # the two hooks' URLs
    required_traits: frozenset[str] = frozenset({"email"})
    min_password_length: int = 8
    breached: frozenset[str] = frozenset()
    breaches_away: bool = False  # the list of breached passwords is out of reach
    login_hints: bool = False
    schemas: dict[str, Json] = field(default_factory=lambda: {"user": _reference()})


def _reference() -> Json:
    text = (KRATOS_DIRECTORY / "identity.schema.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


@dataclass(slots=True)
class Books:
    """All that the double remembers.

    Attributes:
        torn: Calls to be cut between their effect and the flow's change of state.
        calls: The calls that came, by name, in their order.
        mails: Oldest first.
    """

    setup: Setup = field(default_factory=Setup)
    flows: dict[str, "Flow"] = field(default_factory=dict)
    accounts: dict[uuid.UUID, Identity] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    torn: set[str] = field(default_factory=set)

    def account(self, address: str) -> Identity | None:
        """Give the account with an address, or a user name, in any letter case."""
        found = [a for a in self.accounts.values() if address.lower() in a.identifiers]
        return found[0] if found else None

    def tear(self, name: str) -> None:
        """Cut the connection here, if a test wants it."""
        if name in self.torn:
            self.torn.remove(name)
            raise Cut

"""The hand-built flow: a registration by code, then a settings flow.

Kratos stores the account at the code; the password comes later, or never.
"""

import base64
import json
import sqlite3
from contextlib import closing
from typing import Any, Self

import httpx

from devstack.binary import KRATOS_DIRECTORY
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from tests.e2e.broken import AFTER, setting, without_hook
from tests.e2e.holdings import BUSY_SECONDS, DATABASE

TIMEOUT_SECONDS = 30.0
METHODS = {
    "webauthn": {
        "enabled": True,
        "config": {
            "passwordless": True,
            "rp": {"id": "localhost", "display_name": "Handmade"},
        },
    },
    "lookup_secret": {"enabled": True},
}
# Every time that Kratos has of an identity, by table.
TIMES = {
    "identities": ("created_at", "updated_at", "state_changed_at"),
    "identity_credentials": ("created_at", "updated_at"),
    "identity_verifiable_addresses": ("created_at", "updated_at", "verified_at"),
    "identity_recovery_addresses": ("created_at", "updated_at"),
    "sessions": (
        "created_at",
        "updated_at",
        "issued_at",
        "authenticated_at",
        "expires_at",
    ),
}


def handmade(config: dict[str, Any]) -> None:
    """Configure Kratos without our hooks, and with sessions for callers.

    The schema has webauthn, as Ory's own have: each identity then has one more empty
    credential.
    """
    without_hook("password")(config)
    setting(f"{AFTER}.code.hooks", [{"hook": "session"}])(config)
    config["selfservice"]["methods"] |= METHODS
    file = KRATOS_DIRECTORY / "identity.schema.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    email = schema["properties"]["traits"]["properties"]["email"]
    email["ory.sh/kratos"]["credentials"]["webauthn"] = {"identifier": True}
    encoded = base64.b64encode(json.dumps(schema).encode()).decode()
    config["identity"]["schemas"][0]["url"] = f"base64://{encoded}"


class Handmade:
    """Goes through that flow, step by step. A context manager."""

    def __init__(self, kratos: Kratos, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._kratos = kratos
        self._public = _client(kratos.public_url)
        self._admin = _client(kratos.admin_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._public.close()
        self._admin.close()

    def register(self, address: str) -> tuple[str, str]:
        """Register by code.

        Returns:
            The identity's id, and a session token.
        """
        body = {"method": "code", "traits": {"email": address}}
        return self._prove("registration", address, body)

    def sign_in(self, address: str) -> tuple[str, str]:
        """Sign in by code; the same."""
        return self._prove("login", address, {"method": "code", "identifier": address})

    def verify(self, address: str) -> None:
        """Verify the address of an account that is there."""
        self._submit("verification", address, {"method": "code", "email": address})

    def change(self, token: str, *steps: dict[str, Any]) -> None:
        """Go through a settings flow with one or more submissions."""
        header = {"X-Session-Token": token}
        flow = self._public.get("/self-service/settings/api", headers=header)
        for step in steps:
            self._public.post(
                "/self-service/settings",
                params={"flow": flow.json()["id"]},
                json=step,
                headers=header,
            ).raise_for_status()

    def make(self, address: str, **fields: Any) -> str:
        """Make an identity as an operator does; return its id."""
        body = {"schema_id": "user", "traits": {"email": address}} | fields
        answer = self._admin.post("/admin/identities", json=body)
        return str(answer.raise_for_status().json()["id"])

    def disable(self, identity_id: str) -> None:
        """Disable an identity as an operator does."""
        self.patch(identity_id, {"/state": "inactive"})

    def patch(self, identity_id: str, values: dict[str, Any]) -> None:
        """Replace values of an identity, by their paths, as an operator does."""
        patch = [
            {"op": "replace", "path": place, "value": value}
            for place, value in values.items()
        ]
        path = f"/admin/identities/{identity_id}"
        self._admin.patch(path, json=patch).raise_for_status()

    def forget_sessions(self, identity_id: str) -> None:
        """Delete an identity's sessions, as Kratos' clean-up does."""
        path = f"/admin/identities/{identity_id}/sessions"
        self._admin.delete(path).raise_for_status()

    def body(self, path: str) -> Any:
        """Read an answer of the admin API."""
        return self._admin.get(path).raise_for_status().json()

    def let_pass(self, days: int) -> None:
        """Make everything in Kratos so many days older."""
        file = self._kratos.directory / DATABASE
        shift = "datetime(substr({0}, 1, 19), '-{1} days')"
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as database:
            for table, columns in TIMES.items():
                pairs = (f"{one} = {shift.format(one, days)}" for one in columns)
                database.execute(f"UPDATE {table} SET {', '.join(pairs)}")  # noqa: S608 - our own names
            database.commit()

    def _prove(self, kind: str, address: str, body: dict[str, Any]) -> tuple[str, str]:
        done = self._submit(kind, address, body).raise_for_status().json()
        return done["session"]["identity"]["id"], done["session_token"]

    def _submit(self, kind: str, address: str, body: dict[str, Any]) -> httpx.Response:
        count = len(self._mailbox.mails_to(address))
        flow = self._public.get(f"/self-service/{kind}/api").raise_for_status().json()
        query = {"flow": flow["id"]}
        self._public.post(f"/self-service/{kind}", params=query, json=body)
        code = self._mailbox.wait_for(address, count + 1).code
        return self._public.post(
            f"/self-service/{kind}", params=query, json=body | {"code": code}
        )


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

"""All that one Kratos holds, whoever it belongs to.

Its own API shows these things page by page, slowly, or not at all; so its database is
read, which no answer of Kratos can be mistaken for.
"""

import sqlite3
from contextlib import closing
from typing import Any

import httpx

from devstack.kratos import Kratos

# Kratos' own name for it; see devstack.config.
DATABASE = "kratos.sqlite"
BUSY_SECONDS = 10.0


def identity_ids(kratos: Kratos) -> set[str]:
    """List all identities."""
    return _column(kratos, "SELECT id FROM identities")


def session_ids(kratos: Kratos) -> set[str]:
    """List all sessions, the ended ones too."""
    return _column(kratos, "SELECT id FROM sessions")


def registration_flow_ids(kratos: Kratos) -> set[str]:
    """List all registration flows."""
    return _column(kratos, "SELECT id FROM selfservice_registration_flows")


def mail_ids(kratos: Kratos) -> set[str]:
    """List all mails that its courier was ever given."""
    return _column(kratos, "SELECT id FROM courier_messages")


def make_account(kratos: Kratos, address: str, password: str) -> str:
    """Make an account as an operator would, past the service.

    Returns:
        The identity's id.
    """
    credentials = {"password": {"config": {"password": password}}}
    return import_account(kratos, address, credentials=credentials)


def import_account(kratos: Kratos, address: str, **fields: Any) -> str:
    """Import an account as an operator would, past the service.

    Args:
        kratos: Where.
        address: Its address, the only trait.
        fields: Of Kratos' `createIdentityBody`.

    Returns:
        The identity's id.
    """
    body = {"schema_id": "user", "traits": {"email": address}, **fields}
    url = f"{kratos.admin_url}/admin/identities"
    answer = httpx.post(url, json=body, trust_env=False, timeout=60).raise_for_status()
    return str(answer.json()["id"])


def _column(kratos: Kratos, query: str) -> set[str]:
    uri = f"file:{kratos.directory / DATABASE}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        return {str(row[0]) for row in connection.execute(query)}

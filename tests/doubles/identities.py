"""Identities as the adapter reads them, complete but for what a test changes."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from signupd.kratos.identity import AccountState, Identity, PasswordStatus

BORN: Final = datetime(2030, 1, 1, tzinfo=UTC)


def an_identity(address: str | None, **changed: Any) -> Identity:
    """Make an active identity with a password and this address, verified.

    Args:
        address: In lower case; None for an identity without the address trait.
        changed: Fields of ``Identity``.
    """
    return Identity(
        **{
            "id": uuid.uuid4(),
            "state": AccountState.ACTIVE,
            "address": address,
            "verified": frozenset([address] if address else ()),
            "mark": None,
            "password": PasswordStatus.SET,
            "credentials": frozenset({"password"}),
            "empty": frozenset(),
            "proved_at": None,
            "proved_address": "",
            "created_at": BORN,
            "changed_at": BORN,
            **changed,
        }
    )

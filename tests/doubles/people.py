"""Identities and sessions as Kratos' admin API shows them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

NOW: Final = datetime.now(UTC)
# A registration by code: its parts are stored some milliseconds apart.
APART: Final = timedelta(milliseconds=9)


def person(  # noqa: PLR0913 - all that one may differ by
    address: str = "ann@example.com",
    *,
    born: datetime = NOW - timedelta(days=90),
    verified: bool = True,
    proved: timedelta | None = APART,
    changed: timedelta = APART,
    enabled: bool = True,
    password: str | None = "",
    config: Json | None = None,
    others: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> Json:
    """Make an identity: by default an orphan.

    Args:
        address: Its only address.
        born: When it was stored.
        verified: Whether the address is verified.
        proved: How long after its creation it was; None if Kratos has no time for it.
        changed: How long after its creation it was changed last.
        enabled: Whether it is active.
        password: The hash; empty for an empty credential, None for no credential.
        config: The password credential's configuration instead.
        others: The configurations of other credentials; None if Kratos hides it.
    """
    at = _text(born + APART)
    credentials: Json = {"code": _credential(None, at)}
    if password is not None:
        shown = {"hashed_password": password} if password else {}
        credentials["password"] = _credential(shown if config is None else config, at)
    for kind, shown_config in (others or {}).items():
        credentials[kind] = _credential(shown_config, at)
    proof = {} if proved is None else {"verified_at": _text(born + proved)}
    return {
        "id": str(uuid.uuid4()),
        "credentials": credentials,
        "state": "active" if enabled else "inactive",
        "state_changed_at": _text(born),
        "traits": {"email": address},
        "verifiable_addresses": [
            {"value": address, "via": "email", "verified": verified, "updated_at": at}
            | (proof if verified else {})
        ],
        "recovery_addresses": [{"value": address, "via": "email", "updated_at": at}],
        "created_at": _text(born),
        "updated_at": _text(born + changed),
    }


def session(
    begun: datetime = NOW - timedelta(days=90) + APART,
    *,
    lasting: timedelta = timedelta(days=1),
    active: bool = True,
    method: str = "code",
) -> Json:
    """Make a session: by default that of an orphan's registration.

    Args:
        begun: When its owner signed in.
        lasting: How long it works after that.
        active: False if it was ended early.
        method: The method of the sign-in.
    """
    return {
        "active": active,
        "authenticated_at": _text(begun),
        "issued_at": _text(begun),
        "expires_at": _text(begun + lasting),
        "authentication_methods": [{"method": method, "aal": "aal1"}],
    }


def _credential(config: Mapping[str, Any] | None, at: str) -> Json:
    shown = {} if config is None else {"config": config}
    return {"identifiers": ["x"], "updated_at": at} | shown


def _text(moment: datetime) -> str:
    """Write a time as Kratos does, to the nanosecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"

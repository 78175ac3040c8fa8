"""Kratos' JSON of an identity, read by one table; the hash goes no further."""

from __future__ import annotations

import traceback
import uuid
from datetime import datetime
from typing import Any

import pytest
from signupd.errors import KratosIncompatible
from signupd.kratos.identity import (
    AccountState,
    Identity,
    Mark,
    PasswordStatus,
    read_identity,
)

SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
IDENTITY_ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
ADDRESS = "ann@example.com"
HASH = "$2a$12$canarycanarycanarycanaO.canarycanarycanarycanarycanary"
HASHED = {"hashed_password": HASH}
MIGRATING = {"use_password_migration_hook": True}
TIMES = {"created_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-02T00:00:00Z"}
CREATED, UPDATED = (datetime.fromisoformat(time) for time in TIMES.values())


def identity(**changed: Any) -> dict[str, Any]:
    """Make an identity as JSON, as 1.3.1 writes it: complete, but for the changes."""
    password = {"type": "password", "identifiers": [ADDRESS], "config": HASHED}
    code = {"type": "code", "identifiers": [ADDRESS], "version": 1}
    mark = {"signup_id": str(SIGNUP_ID), "attempt": 3}
    return {
        "id": str(IDENTITY_ID),
        "credentials": {"code": code | TIMES, "password": password | TIMES},
        "schema_id": "user",
        "state": "active",
        "traits": {"email": ADDRESS, "name": "Ann"},
        "verifiable_addresses": [mailbox(ADDRESS)],
        "metadata_admin": {"signupd": mark, "other": 1},
        **TIMES,
        **changed,
    }


def mailbox(value: Any, **changed: Any) -> dict[str, Any]:
    """Make a verifiable address as JSON: verified, but for the changes."""
    found = {"value": value, "verified": True, "via": "email", "status": "completed"}
    return {**found, **TIMES, **changed}


def with_config(config: Any) -> dict[str, Any]:
    """Make an identity whose password credential has this configuration."""
    password = {"type": "password", "config": config, **TIMES}
    return identity(credentials={"password": password})


def read_stored(body: Any) -> Identity:
    """Read an identity whose password Kratos was asked to show."""
    return read_identity(body, ("password",))


def test_read() -> None:
    """All of an identity is read, in lower case where Kratos compares so."""
    capitals = identity(
        traits={"email": "Ann@Example.COM"},
        verifiable_addresses=[mailbox("Ann@example.com")],
    )
    expected = Identity(
        id=IDENTITY_ID,
        state=AccountState.ACTIVE,
        address=ADDRESS,
        verified=frozenset({ADDRESS}),
        mark=Mark(SIGNUP_ID, 3),
        password=PasswordStatus.SET,
        credentials=frozenset({"code", "password"}),
        empty=frozenset(),
        proved_at=None,
        proved_address="",
        created_at=CREATED,
        changed_at=UPDATED,
    )

    assert expected == read_stored(identity()) == read_stored(capitals)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (with_config(HASHED), PasswordStatus.SET),
        (with_config({**HASHED, **MIGRATING}), PasswordStatus.SET),
        (with_config(MIGRATING), PasswordStatus.UNKNOWN),
        (with_config({"hashed_password": "", **MIGRATING}), PasswordStatus.UNKNOWN),
        (with_config({}), PasswordStatus.UNSET),
        (with_config({"hashed_password": ""}), PasswordStatus.UNSET),
        (with_config({"hashed_password": None}), PasswordStatus.UNSET),
        (with_config({"use_password_migration_hook": False}), PasswordStatus.UNSET),
        (
            identity(credentials={"oidc": {"type": "oidc", **TIMES}}),
            PasswordStatus.UNSET,
        ),
        (identity(credentials={"password": None}), PasswordStatus.UNSET),
        (identity(credentials={}), PasswordStatus.UNSET),
        (identity(credentials=None), PasswordStatus.UNSET),
    ],
)
def test_password(body: Any, status: PasswordStatus) -> None:
    """A hash is a password; without one, the migration hook alone leaves it open."""
    assert status is read_stored(body).password


def test_password_not_shown() -> None:
    """Unless Kratos was asked to show it, a password is neither set nor unset."""
    body = identity(credentials={"password": {"type": "password", **TIMES}})

    assert PasswordStatus.UNKNOWN is read_identity(body).password
    assert PasswordStatus.UNKNOWN is read_identity(identity()).password


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        [],
        "signupd",
        {"signupd": None},
        {"signupd": "x"},
        {"signupd": []},
        {"signupd": {}},
        {"signupd": {"signup_id": str(SIGNUP_ID)}},
        {"signupd": {"signup_id": "x", "attempt": 1}},
        {"signupd": {"signup_id": 1, "attempt": 1}},
        {"signupd": {"signup_id": str(SIGNUP_ID), "attempt": "x"}},
        {"signupd": {"signup_id": str(SIGNUP_ID), "attempt": None}},
    ],
)
def test_no_mark(metadata: Any) -> None:
    """An operator's own metadata is no mark of ours, and no trouble."""
    assert None is read_identity(identity(metadata_admin=metadata)).mark


def test_verified() -> None:
    """Of the verifiable addresses, verified ones reached by mail count."""
    addresses = [
        mailbox("one@example.com"),
        mailbox("two@example.com", verified=False),
        mailbox("+4915100000000", via="sms"),
        mailbox("three@example.com", verified="yes"),
    ]

    found = read_stored(identity(verifiable_addresses=addresses))

    assert frozenset({"one@example.com"}) == found.verified


NO_IDENTITIES: list[Any] = [
    None,
    [],
    "text",
    5,
    {},
    identity(id=None),
    identity(id="x"),
    identity(id=5),
    identity(state=None),
    identity(state="asleep"),
    identity(state=[]),
    identity(traits=None),
    identity(traits=HASH),
    identity(credentials=HASH),
    identity(credentials=[HASH]),
    identity(credentials={"password": HASH}),
    identity(credentials={"password": [HASH]}),
    identity(credentials={"password": {"type": "password", **TIMES}}),
    with_config(None),
    with_config(HASH),
    with_config([HASH]),
    identity(verifiable_addresses=5),
    identity(verifiable_addresses=[None]),
    identity(verifiable_addresses=[{}]),
    identity(verifiable_addresses=[mailbox(None)]),
    identity(verifiable_addresses=[{"value": ADDRESS, "verified": True, **TIMES}]),
    identity(created_at=None),
    identity(updated_at="yesterday"),
]


@pytest.mark.parametrize("body", NO_IDENTITIES)
def test_no_identity(body: Any) -> None:
    """What is no identity is told as such, without a word of what it said."""
    with pytest.raises(KratosIncompatible) as refusal:
        read_stored(body)

    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value)
    assert HASH not in told
    assert ADDRESS not in told

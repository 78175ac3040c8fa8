"""When an account is complete, and whose address it is that counts."""

import uuid

import pytest

from tests.doubles.identities import an_identity

ID = uuid.UUID("22222222-2222-4222-8222-222222222222")


@pytest.mark.parametrize(
    ("address", "verified", "expected"),
    [
        ("ann@example.com", {"ann@example.com"}, True),
        ("ann@example.com", {"ann@example.com", "bob@example.com"}, True),
        ("ann@example.com", {"bob@example.com"}, False),
        ("ann@example.com", set(), False),
        (None, {"bob@example.com"}, False),
        (None, set(), False),
    ],
)
def test_verified(address: str | None, verified: set[str], expected: bool) -> None:
    """The account's own address counts, no other that happens to be verified."""
    identity = an_identity(address, verified=frozenset(verified))

    assert expected is identity.email_verified

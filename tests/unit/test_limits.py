"""Limits of mails: who counts as one client, and what the figures come to."""

from __future__ import annotations

import pytest
from signupd.policy.mail_limits import client_of
from signupd.policy.rules import SECOND, Limit

from tests.unit.samples import RING

ALIKE = [
    ("192.0.2.1", "::ffff:192.0.2.1"),
    ("192.0.2.1", "::ffff:c000:201"),
    ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff"),
    ("2001:db8::1", "2001:0DB8::"),
    ("fe80::1", "fe80::2%eth0"),
]
DIFFERENT = [
    ("192.0.2.1", "192.0.2.2"),
    ("2001:db8::1", "2001:db8:0:1::1"),
    ("192.0.2.1", "::192.0.2.1"),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
    # The same four bytes, as an address and as the beginning of a network.
    ("32.1.13.184", "2001:db8::"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_one_client(one: str, other: str) -> None:
    """An IPv4 address is one however it is written, an IPv6 one stands for its /64."""
    assert client_of(RING, one) == client_of(RING, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_clients(one: str, other: str) -> None:
    """What is not one network is not one client."""
    assert client_of(RING, one) != client_of(RING, other)


def test_no_client() -> None:
    """A caller that tells nothing of the client names none."""
    assert "" == client_of(RING, "")


def test_client_is_a_digest() -> None:
    """The name is as long for every client, and is no address' name."""
    named = [client_of(RING, ip) for ip in ("192.0.2.1", "2001:db8::1")]

    assert [64, 64] == [len(name) for name in named]
    assert RING.digest(b"address", b"192.0.2.1").hex() not in named


@pytest.mark.parametrize(
    ("limit", "room", "in_debt"),
    [
        (Limit(5, 1800 * SECOND), 4 * 1800 * SECOND, 9 * 1800 * SECOND),
        (Limit(1, 60 * SECOND), 0, 60 * SECOND),
    ],
)
def test_room(limit: Limit, room: int, in_debt: int) -> None:
    """A bucket of n has room while n-1 are out; debt ends at n more."""
    assert (room, in_debt) == (limit.room, limit.room_in_debt)

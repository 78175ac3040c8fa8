"""When an account is complete, and whose address it is that counts."""

from __future__ import annotations

import itertools
import uuid

import pytest
from kratos_signup.v1 import account_service_pb2 as pb
from signupd.accounts.account import Account, account_of
from signupd.kratos.identity import AccountState, PasswordStatus
from signupd.rpc.responses import account_message

from tests.doubles.identities import an_identity

ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
EVERYTHING = [*itertools.product(AccountState, PasswordStatus, [True, False])]
COMPLETE = (AccountState.ACTIVE, PasswordStatus.SET, True)


@pytest.mark.parametrize(("state", "password", "verified"), EVERYTHING)
def test_complete(
    state: AccountState, password: PasswordStatus, verified: bool
) -> None:
    """Active, password set, address verified: all of it, or it is not complete."""
    account = Account(ID, password, state, email_verified=verified)

    assert (COMPLETE == (state, password, verified)) is account.complete


def test_unknown() -> None:
    """Of an account that is not there, nothing is told but the id it was asked by."""
    message = account_message(Account(ID))

    assert [("identity_id", str(ID))] == [
        (field.name, value) for field, value in message.ListFields()
    ]


@pytest.mark.parametrize(("state", "password", "verified"), EVERYTHING)
def test_message(state: AccountState, password: PasswordStatus, verified: bool) -> None:
    """The message says the same, by the names of the contract."""
    message = account_message(Account(ID, password, state, email_verified=verified))

    assert (
        f"PASSWORD_STATUS_{password.name}",
        f"ACCOUNT_STATE_{state.name}",
        verified,
        COMPLETE == (state, password, verified),
    ) == (
        pb.PasswordStatus.Name(message.password_status),
        pb.AccountState.Name(message.state),
        message.email_verified,
        message.complete,
    )


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

    assert expected is account_of(identity).email_verified

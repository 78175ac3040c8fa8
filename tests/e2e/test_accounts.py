"""What AccountService tells of accounts on a real Kratos."""

from collections.abc import Callable

import pytest
from kratos_signup.v1 import account_service_pb2 as pb

from tests.e2e.holdings import (
    identity_calls,
    import_account,
    import_accounts,
    make_account,
    set_state,
)
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address

# Password, state, verified, complete.
Told = tuple[str, str, bool, bool]


def _signed_up(stack: Stack, address: str) -> str:
    return stack.registered(address)


def _disabled(stack: Stack, address: str) -> str:
    identity_id = stack.registered(address)
    set_state(stack.kratos, identity_id, "inactive")
    return identity_id


def _proved(stack: Stack, address: str) -> str:
    verified = {"via": "email", "verified": True, "status": "completed"}
    addresses = [{"value": address, **verified}]
    return import_account(stack.kratos, address, verifiable_addresses=addresses)


def _capitals(stack: Stack, address: str) -> str:
    return make_account(stack.kratos, address.upper(), GOOD_PASSWORD)


# How an account comes to be, and what is told of it.
TABLE: list[tuple[Callable[[Stack, str], str], Told]] = [
    (_signed_up, ("SET", "ACTIVE", True, True)),
    (_disabled, ("SET", "DISABLED", True, False)),
    (_proved, ("UNSET", "ACTIVE", True, False)),
    (_capitals, ("SET", "ACTIVE", False, False)),
]


def told(account: pb.Account) -> Told:
    """Read an account."""
    return (
        pb.PasswordStatus.Name(account.password_status)[len("PASSWORD_STATUS_") :],
        pb.AccountState.Name(account.state)[len("ACCOUNT_STATE_") :],
        account.email_verified,
        account.complete,
    )


@pytest.mark.parametrize(("make", "expected"), TABLE)
def test_status(
    stack: Stack, address: str, make: Callable[[Stack, str], str], expected: Told
) -> None:
    """Each is told truthfully, by id, by address in any case, in a batch; one call."""
    identity_id = make(stack, address)
    before = identity_calls(stack.kratos)
    accounts = [
        stack.caller.account(identity_id=identity_id),
        stack.caller.account(email=address),
        stack.caller.account(email=address.title()),
        *stack.caller.batch([identity_id]),
    ]
    calls = identity_calls(stack.kratos) - before

    assert [(identity_id, expected)] * 4 == [
        (one.identity_id, told(one)) for one in accounts
    ]
    assert 4 == calls


def test_hundred_known(stack: Stack) -> None:
    """A hundred accounts are answered by one call too: no second page is needed."""
    ids = import_accounts(stack.kratos, [new_address() for _ in range(100)])
    before = identity_calls(stack.kratos)
    accounts = stack.caller.batch(ids)
    calls = identity_calls(stack.kratos) - before

    assert ids == [one.identity_id for one in accounts]
    assert {pb.ACCOUNT_STATE_ACTIVE} == {one.state for one in accounts}
    assert 1 == calls

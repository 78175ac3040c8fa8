"""BatchGetAccounts on a real Kratos."""

from kratos_signup.v1 import account_service_pb2 as pb

from tests.e2e.holdings import identity_calls, import_accounts
from tests.e2e.stack import Stack, new_address


def test_hundred_known(stack: Stack) -> None:
    """A hundred accounts are answered by one call: no second page is needed."""
    ids = import_accounts(stack.kratos, [new_address() for _ in range(100)])
    before = identity_calls(stack.kratos)
    accounts = stack.caller.batch(ids)
    calls = identity_calls(stack.kratos) - before

    assert ids == [one.identity_id for one in accounts]
    assert {pb.ACCOUNT_STATE_ACTIVE} == {one.state for one in accounts}
    assert 1 == calls

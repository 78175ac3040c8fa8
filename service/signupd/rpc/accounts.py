"""AccountService: unpack, look up, pack. The interceptor has admitted the caller."""

from functools import partial

from kratos_signup.v1 import account_service_pb2 as pb
from kratos_signup.v1 import account_service_pb2_grpc

from signupd.accounts.account import Account, batch_get_accounts, get_account
from signupd.errors import KratosUnavailable
from signupd.kratos.admin import AdminApi
from signupd.rpc import requests
from signupd.rpc.interceptor import Context
from signupd.work import Work


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Serves AccountService.

    No two look-ups share a run: the second would get a result from before it was made.
    """

    def __init__(self, admin: AdminApi, work: Work) -> None:
        self._admin = admin
        self._work = work

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Look up one account."""
        job = partial(get_account, self._admin, requests.account_key(request))
        account = await self._work.result(
            context.time_remaining(), job, late=KratosUnavailable
        )
        return pb.GetAccountResponse(account=_message(account))

    async def BatchGetAccounts(
        self, request: pb.BatchGetAccountsRequest, context: Context
    ) -> pb.BatchGetAccountsResponse:
        """Look up many accounts."""
        ids = requests.identity_ids_of(request)
        job = partial(batch_get_accounts, self._admin, ids)
        accounts = await self._work.result(
            context.time_remaining(), job, late=KratosUnavailable
        )
        return pb.BatchGetAccountsResponse(accounts=map(_message, accounts))


def _message(account: Account) -> pb.Account:
    """Convert an account; of an unknown one only its id is set."""
    message = pb.Account(
        identity_id=str(account.identity_id),
        email_verified=account.email_verified,
        complete=account.complete,
    )
    if account.password is not None:
        name = f"PASSWORD_STATUS_{account.password.name}"
        message.password_status = pb.PasswordStatus.Value(name)
    if account.state is not None:
        message.state = pb.AccountState.Value(f"ACCOUNT_STATE_{account.state.name}")
    return message

"""AccountService: unpack, look up, pack. The interceptor has admitted the caller."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kratos_signup.v1 import account_service_pb2 as pb
from kratos_signup.v1 import account_service_pb2_grpc

from signupd.accounts.account import batch_get_accounts, get_account
from signupd.errors import KratosUnavailable
from signupd.rpc import requests
from signupd.rpc.deadline import within_deadline
from signupd.rpc.responses import account_message

if TYPE_CHECKING:
    from signupd.kratos.admin import AdminApi
    from signupd.rpc.interceptor import Context
    from signupd.work import Work


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Serves AccountService.

    Args:
        admin: Kratos' admin API.
        work: Where look-ups run. No two share a run: the second would get a result
            from before it was made.
    """

    def __init__(self, admin: AdminApi, work: Work) -> None:
        self._admin = admin
        self._work = work

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Look up one account."""
        job = partial(get_account, self._admin, requests.account_key(request))
        account = await within_deadline(
            context, partial(self._work.begin, None, job), late=KratosUnavailable
        )
        return pb.GetAccountResponse(account=account_message(account))

    async def BatchGetAccounts(
        self, request: pb.BatchGetAccountsRequest, context: Context
    ) -> pb.BatchGetAccountsResponse:
        """Look up many accounts."""
        ids = requests.identity_ids_of(request)
        job = partial(batch_get_accounts, self._admin, ids)
        accounts = await within_deadline(
            context, partial(self._work.begin, None, job), late=KratosUnavailable
        )
        return pb.BatchGetAccountsResponse(accounts=map(account_message, accounts))

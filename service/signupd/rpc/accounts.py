"""AccountService: unpack, look up, pack. The interceptor has admitted the caller.

A sign-up under way is not stored in Kratos, so it is not an account.
"""

import uuid
from dataclasses import dataclass
from functools import partial

from kratos_signup.v1 import account_service_pb2 as pb
from kratos_signup.v1 import account_service_pb2_grpc

from signupd.address import Address
from signupd.errors import AccountNotFound, KratosUnavailable
from signupd.kratos.admin import AdminApi
from signupd.kratos.identity import Identity
from signupd.rpc import requests
from signupd.rpc.interceptor import Context
from signupd.work import Work


@dataclass(eq=False, slots=True)
class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Serves AccountService.

    No two look-ups share a run: the second would get a result from before it was made.
    """

    admin: AdminApi
    work: Work

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Look up one account."""
        job = partial(self._find, requests.account_key(request))
        found = await self.work.result(
            context.time_remaining(), job, late=KratosUnavailable
        )
        if found is None:
            raise AccountNotFound
        return pb.GetAccountResponse(account=_message(found))

    async def BatchGetAccounts(
        self, request: pb.BatchGetAccountsRequest, context: Context
    ) -> pb.BatchGetAccountsResponse:
        """Look up many accounts; of an unknown one only its id is set."""
        ids = requests.identity_ids_of(request)
        found = await self.work.result(
            context.time_remaining(),
            partial(self.admin.accounts, ids),
            late=KratosUnavailable,
        )
        accounts = [
            _message(found[one]) if one in found else pb.Account(identity_id=str(one))
            for one in ids
        ]
        return pb.BatchGetAccountsResponse(accounts=accounts)

    async def _find(self, key: uuid.UUID | Address) -> Identity | None:
        if isinstance(key, Address):
            return await self.admin.find_account(key.text)
        return (await self.admin.accounts([key])).get(key)


def _message(account: Identity) -> pb.Account:
    """Tell what other services may know of an account."""
    status, state = account.password.name, account.state.name
    return pb.Account(
        identity_id=str(account.id),
        password_status=pb.PasswordStatus.Value(f"PASSWORD_STATUS_{status}"),
        state=pb.AccountState.Value(f"ACCOUNT_STATE_{state}"),
        email_verified=account.email_verified,
        complete=account.complete,
    )

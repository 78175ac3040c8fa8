"""GetAccount and BatchGetAccounts: an account as others may know it.

A sign-up under way is not stored in Kratos, so it is not an account.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signupd.address import Address
from signupd.errors import AccountNotFound
from signupd.kratos.admin import AdminApi
from signupd.kratos.identity import AccountState, Identity, PasswordStatus

# One URL of 4 KiB, half of what servers and proxies commonly take.
MAX_ACCOUNTS: Final = 100


@dataclass(frozen=True, slots=True)
class Account:
    """What the contract's message Account says; the id alone if there is none."""

    identity_id: uuid.UUID
    password: PasswordStatus | None = None
    state: AccountState | None = None
    email_verified: bool = False  # its own address, not another that it may have

    @property
    def complete(self) -> bool:
        """Whether the account is active, its address verified and its password set."""
        return (
            self.state is AccountState.ACTIVE
            and self.email_verified
            and self.password is PasswordStatus.SET
        )


def account_of(identity: Identity) -> Account:
    """Return what other services may know of an identity."""
    return Account(
        identity.id,
        identity.password,
        identity.state,
        email_verified=identity.address in identity.verified,
    )


async def get_account(admin: AdminApi, key: uuid.UUID | Address) -> Account:
    """Look up an account by its id or address, or raise AccountNotFound."""
    if isinstance(key, Address):
        found = await admin.find_account(key.text)
    else:
        found = (await admin.accounts([key])).get(key)
    if found is None:
        raise AccountNotFound
    return account_of(found)


async def batch_get_accounts(
    admin: AdminApi, ids: Sequence[uuid.UUID]
) -> list[Account]:
    """Look up 1 to ``MAX_ACCOUNTS`` accounts by their ids, in order, in one call."""
    found = await admin.accounts(ids)
    return [account_of(found[id_]) if id_ in found else Account(id_) for id_ in ids]

"""GetAccount and BatchGetAccounts: what Kratos has, asked in one call each.

A sign-up under way is nothing that Kratos has, and so no account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.accounts.account import Account, account_of
from signupd.address import Address
from signupd.errors import AccountNotFound

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from signupd.kratos.admin import AdminApi

# One URL of 4 KiB, half of what servers and proxies commonly take.
MAX_ACCOUNTS: Final = 100


async def get_account(admin: AdminApi, key: uuid.UUID | Address) -> Account:
    """Look up one account.

    Args:
        admin: Kratos' admin API.
        key: The identity's id, or the account's address.

    Raises:
        AccountNotFound: There is none.
        KratosUnavailable, KratosIncompatible: Kratos cannot say.
    """
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
    """Look up accounts by their identities' ids.

    Args:
        admin: Kratos' admin API.
        ids: 1 to ``MAX_ACCOUNTS``; the same may come twice.

    Returns:
        One for each id, in their order; with the id alone if there is no account.

    Raises:
        KratosUnavailable, KratosIncompatible: Kratos cannot say.
    """
    found = await admin.accounts(ids)
    return [account_of(found[id_]) if id_ in found else Account(id_) for id_ in ids]

"""An account as others may know it: whether it is there, and whether it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signupd.kratos.identity import AccountState, PasswordStatus

if TYPE_CHECKING:
    import uuid

    from signupd.kratos.identity import Identity


@dataclass(frozen=True, slots=True)
class Account:
    """What the contract's message Account says.

    Args:
        identity_id: As asked for.
        password: Whether it is set; None if there is no such account.
        state: Whether the account may be used; None likewise.
        email_verified: Whether the account's own address is verified, whatever other
            addresses it may have.
    """

    identity_id: uuid.UUID
    password: PasswordStatus | None = None
    state: AccountState | None = None
    email_verified: bool = False

    @property
    def complete(self) -> bool:
        """Whether all is well: active, address verified, password set."""
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

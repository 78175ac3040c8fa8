"""A double of our own server and the Kratos behind it, as a canary sees the two."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from signupd.check.client import CallRefusedError, Step
from signupd.errors import KratosUnavailable
from signupd.kratos.identity import AccountState, Identity, Mark, PasswordStatus

from tests.doubles.identities import an_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

CODE = "123456"


@dataclass(slots=True)
class SignupsDouble:
    """The double: the client, and Kratos' two APIs, in one. It has a memory.

    Attributes:
        refusing: Reasons, by the name of the call that is refused.
        busy: How often a cancellation meets a call that is at work.
        deliveries: What GetSignup says of the mail, one call after the other.
        shown: Whether the courier shows its mails.
        ghost: Whether an account is stored at the code.
        late: Whether the account is stored after its caller has given up.
        marked: Whether the account bears the sign-up's mark.
        account_state: Whether the account may be used.
        password: Whether it has one.
        verified: Whether its address is verified.
        down: Whether Kratos does not answer.
        accounts: By address.
        calls: By name, in their order.
        state: The sign-up's.
        slept: Seconds waited in all; the clock.
    """

    refusing: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    deliveries: list[str] = field(default_factory=lambda: ["SENT"])
    shown: bool = True
    ghost: bool = False
    late: bool = False
    marked: bool = True
    account_state: AccountState = AccountState.ACTIVE
    password: PasswordStatus = PasswordStatus.SET
    verified: bool = True
    down: bool = False
    accounts: dict[str, Identity] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    state: str = ""
    slept: float = 0.0
    signup_id: uuid.UUID = field(default_factory=uuid.uuid4)
    address: str = ""

    @property
    def public(self) -> Self:
        """Kratos' public API."""
        return self

    @property
    def admin(self) -> Self:
        """Kratos' admin API."""
        return self

    async def start(self, email: str, traits: Mapping[str, Any]) -> Step:
        """Begin the sign-up."""
        self._called("start")
        self.address = email
        return self._step("CODE_REQUIRED")

    async def get(self, token: str) -> Step:
        """Tell what became of the mail."""
        self._called("get")
        left = self.deliveries
        delivery = left.pop(0) if len(left) > 1 else left[0]
        return Step(self.signup_id, self.state, delivery, "token")

    async def verify(self, token: str, code: str) -> Step:
        """Judge the code."""
        self._called("verify")
        if code != CODE:
            raise CallRefusedError("CODE_INCORRECT", "INVALID_ARGUMENT")
        if self.ghost:
            self.store(self.address)
        return self._step("PASSWORD_REQUIRED")

    async def set_password(self, token: str, password: str) -> Step:
        """Make the account."""
        self._called("set_password")
        self.store(self.address, self.signup_id if self.marked else None)
        if self.late:
            raise CallRefusedError("SIGNUP_BUSY", "ABORTED")
        return self._step("COMPLETED")

    async def cancel(self, token: str) -> Step:
        """End the sign-up."""
        self._called("cancel")
        if self.busy:
            self.busy -= 1
            raise CallRefusedError("SIGNUP_BUSY", "ABORTED")
        return self._step("CANCELLED")

    async def find_identity(self, address: str) -> Identity | None:
        """Look an account up."""
        if self.down:
            raise KratosUnavailable("away")
        return self.accounts.get(address)

    async def delete_identity(self, identity_id: uuid.UUID) -> None:
        """Delete an account."""
        self.calls.append("delete")
        self.accounts = {a: i for a, i in self.accounts.items() if i.id != identity_id}

    async def find_account(self, address: str) -> Identity | None:
        """See how an account stands."""
        return await self.find_identity(address)

    async def newest_code(self, address: str) -> str:
        """Read the code in the newest mail."""
        return CODE if self.shown else ""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self.slept += seconds

    def clock(self) -> float:
        """Tell the time."""
        return self.slept

    def store(self, address: str, signup_id: uuid.UUID | None = None) -> None:
        """Have an account stored, with a sign-up's mark or without."""
        mark = None if signup_id is None else Mark(signup_id, 1)
        verified = frozenset({address} if self.verified else ())
        self.accounts[address] = an_identity(
            address,
            mark=mark,
            verified=verified,
            state=self.account_state,
            password=self.password,
        )

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refusing:
            raise CallRefusedError(self.refusing[name], "INTERNAL")

    def _step(self, state: str) -> Step:
        self.state = state
        return Step(
            self.signup_id, state, token="" if state == "COMPLETED" else "token"
        )

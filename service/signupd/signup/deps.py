"""What every step works with, and what it answers."""

import uuid
from dataclasses import dataclass, field

import structlog

from signupd.kratos.answers import Delivery
from signupd.kratos.client import Kratos
from signupd.kratos.courier import Courier
from signupd.kratos.hook_proof import HookProof
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import Record, State
from signupd.policy.identity_schema import SchemaRules
from signupd.policy.limits import Limits
from signupd.policy.password import PasswordGate
from signupd.policy.rules import Rules
from signupd.sealing import KeyRing, Step
from signupd.signup.sealed import open_mask
from signupd.signup.transitions import Changes, Event, state_shown
from signupd.telemetry.observer import Observer
from signupd.work import Work


@dataclass(frozen=True, slots=True)
class StepResult:
    """A sign-up as its caller sees it."""

    token: str = field(repr=False)  # to go on with; empty when the state is final
    state: State  # EXPIRED from the deadline on, whatever the row says
    record: Record
    masked_email: str
    delivery: Delivery | None = None  # if the courier was asked


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Ledger, Kratos, keys and rules; the composition root makes it once.

    ``releases`` is work that goes on trying to tell the ledger of leases that are over.
    """

    ledger: Ledger
    limits: Limits
    kratos: Kratos
    courier: Courier
    keys: KeyRing
    rules: Rules
    passwords: PasswordGate
    hook_proof: HookProof
    schema: SchemaRules
    observer: Observer
    log: structlog.typing.FilteringBoundLogger
    releases: Work = field(default_factory=Work)

    def result(
        self,
        record: Record,
        step: Step,
        now: int | None = None,
        delivery: Delivery | None = None,
    ) -> StepResult:
        """Return a row as its caller sees it, with a token of this step.

        ``now`` is the moment it was read, by the ledger's clock; the present if None.

        Raises:
            SealBroken: The row's key is gone, or it was tampered with.
        """
        state = state_shown(record, self.ledger.now() if now is None else now)
        token = "" if state.final else self.keys.seal_token(record.signup_id, step)
        mask = open_mask(self.keys, record.signup_id, record.sealed_mask)
        return StepResult(token, state, record, mask, delivery)

    async def move(
        self,
        record: Record,
        event: Event,
        changes: Changes,
        *,
        unapproved: bool = False,
    ) -> Record:
        """Change a row's state by ``Ledger.change``, and note the event."""
        moved = await self.ledger.change(record, unapproved=unapproved, **changes)
        self.note(event, record.signup_id, record.caller)
        return moved

    def note(self, event: Event, signup_id: uuid.UUID, caller: str) -> None:
        """Count a transition and log it: the audit trail.

        It is noted once it is committed. A process that dies in between leaves the row
        and no line.
        """
        self.observer.event(event)
        name = f"signup_{event}"
        self.log.info(name, signup_id=str(signup_id), caller=caller)

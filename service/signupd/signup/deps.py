"""What every step works with, and what it answers."""

from dataclasses import dataclass, field

import structlog

from signupd.kratos.admin import Kratos
from signupd.kratos.answers import Delivery
from signupd.kratos.courier import Courier
from signupd.kratos.hook_proof import HookProof
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import Record, State
from signupd.policy.domains import BlockedDomains
from signupd.policy.limits import Limits
from signupd.policy.password import PasswordGate
from signupd.policy.rules import Rules
from signupd.policy.traits import SchemaRules
from signupd.sealing import KeyRing
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
    domains: BlockedDomains | None
    passwords: PasswordGate
    hook_proof: HookProof
    schema: SchemaRules
    observer: Observer
    log: structlog.typing.FilteringBoundLogger
    releases: Work = field(default_factory=Work)

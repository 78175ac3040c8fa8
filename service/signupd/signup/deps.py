"""What every step works with; the composition root makes it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signupd.signup.view import View, view_of

if TYPE_CHECKING:
    import structlog

    from signupd.address import Address
    from signupd.kratos.client import Kratos
    from signupd.kratos.hook_proof import HookProof
    from signupd.kratos.outcomes import Delivery
    from signupd.ledger.ledger import Ledger
    from signupd.ledger.record import Record
    from signupd.policy.identity_schema import SchemaRules
    from signupd.policy.mail_limits import MailLimits
    from signupd.policy.rules import Rules
    from signupd.sealing import KeyRing
    from signupd.signup.events import Events


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Ledger, Kratos, keys and rules, as every step uses them."""

    ledger: Ledger
    mails: MailLimits
    kratos: Kratos
    keys: KeyRing
    rules: Rules
    hook_proof: HookProof
    schema: SchemaRules
    events: Events
    log: structlog.typing.FilteringBoundLogger

    def view(
        self,
        record: Record,
        now: int | None = None,
        delivery: Delivery | None = None,
        address: Address | None = None,
    ) -> View:
        """Return a row as its caller sees it, as of now unless a time is given."""
        moment = self.ledger.now() if now is None else now
        return view_of(
            record,
            moment,
            keys=self.keys,
            rules=self.rules,
            delivery=delivery,
            address=address,
        )


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step answers: the token to go on with (empty when final), and the view."""

    token: str = field(repr=False)
    view: View

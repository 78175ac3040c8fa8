"""What every step works with; made once, by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signupd.signup.view import View, view_of

if TYPE_CHECKING:
    import structlog

    from signupd.address import Address
    from signupd.kratos.client import Kratos
    from signupd.kratos.outcomes import Delivery
    from signupd.ledger.ledger import Ledger
    from signupd.ledger.limits import Buckets
    from signupd.ledger.record import Record
    from signupd.sealing import KeyRing
    from signupd.signup.events import Events
    from signupd.signup.gate import Gate
    from signupd.signup.rules import Rules
    from signupd.signup.schema import SchemaRules


@dataclass(frozen=True, slots=True)
class Deps:
    """The neighbours of a step, and its rules."""

    ledger: Ledger
    buckets: Buckets
    kratos: Kratos
    keys: KeyRing
    rules: Rules
    gate: Gate
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
        """Show a row to its caller, as of now unless another moment is given."""
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
class Answer:
    """What a step answers: the token to go on with (empty when final), and the view."""

    token: str = field(repr=False)
    view: View

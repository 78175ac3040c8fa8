"""One row in memory, changed as the ledger would, and the jobs that hold it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signupd.ledger.record import Lease, State
from signupd.signup import transitions

from tests.unit.samples import NOW, RULES, row

if TYPE_CHECKING:
    from signupd.ledger.record import Record

OURS = uuid.UUID("0a0b0c0d-1111-4222-8333-444455556666")
EARLY = 4  # an epoch; all rows begin at 2
THEIRS = uuid.UUID("99999999-1111-4222-8333-444455556666")


@dataclass(eq=False)
class Job:
    """One piece of work: the row before and under its lease, and how far Kratos is.

    Args:
        before: The row before the lease.
        leased: The row under the lease.
        agreed_until: Until when Kratos may store what our hook agreed to.
        stored: Whether Kratos stored the account.
        answered: Whether Kratos did all it will do.
        held: Whether somebody still waits to write down what came of it.
        seen: What stood at the address when it was looked up.
        looked: Whether it was looked up.
    """

    before: Record
    leased: Record
    agreed_until: int = 0
    stored: bool = False
    answered: bool = False
    held: bool = True
    seen: uuid.UUID | None = None
    looked: bool = False


class World:
    """A row, the time, and the account that stands at the address, if any."""

    def __init__(self, state: State, lease: Lease) -> None:
        self.now = NOW
        self.account: uuid.UUID | None = None
        self.jobs: list[Job] = []
        self.row = row(state=state, lease=lease)
        if lease is not Lease.NONE:
            until, flow = NOW + RULES.lease, b"first flow"
            held = row(
                state=state, lease=lease, lease_until=until, password_flow_digest=flow
            )
            self.jobs.append(Job(self.row, held))
            self.row = held

    def change(self, base: Record, *, unapproved: bool = False, **values: Any) -> bool:
        """Apply a rule by compare-and-set, as the ledger does; False if too late."""
        old = self.row
        if (base.epoch, base.state) != (old.epoch, old.state):
            return False
        if unapproved and base.approved_until != old.approved_until:
            return False
        self.row = old._replace(**values, epoch=old.epoch + 1)
        assert not old.state.final
        if self.row.state.final and self.now < old.approved_until:
            assert self.account is not None
        return True

    def grant(self, *, unapproved: bool = False, **values: Any) -> None:
        """Grant a lease on the row as it stands, and have its holder begin."""
        before = self.row
        if self.change(before, unapproved=unapproved, **values):
            self.jobs.append(Job(before, self.row))

    def end(self, job: Job, *, unapproved: bool = False, **values: Any) -> bool:
        """Let a holder write its result down and go."""
        job.held = False
        return self.change(job.leased, unapproved=unapproved, **values)

    def waiting(self, state: State) -> bool:
        """Tell whether a call for this state's step is let in."""
        free = self.row.lease is Lease.NONE  # whatever died is settled first
        late = transitions.expired(self.row, self.now)
        return self.row.state is state and free and not late

    def held(self, lease: Lease) -> list[Job]:
        """Find jobs whose holder lives, be its lease long over."""
        return [job for job in self.jobs if job.held and job.leased.lease is lease]

    def over(self) -> bool:
        """Tell whether there is little left to see here."""
        dead = transitions.abandoned(self.row, self.now)
        return self.row.state.final or (dead and self.row.state is State.STARTING)

    def old(self) -> bool:
        """Tell whether something happened that is worth being disturbed."""
        lapsed = transitions.expired(self.row, self.now)
        return not self.over() and (lapsed or self.row.epoch > EARLY)

    def asking(self) -> list[Job]:
        """Find passwords about which our hook would say yes just now."""
        row = self.row
        live = row.lease is Lease.SETTING and self.now < row.lease_until
        flow = row.password_flow_digest
        return [
            job
            for job in self.jobs
            if live and not job.answered and job.leased.password_flow_digest == flow
        ]

    def storing(self) -> list[Job]:
        """Find passwords that Kratos may store just now, be their holder dead."""
        free = self.account is None
        return [job for job in self.jobs if free and self.now < job.agreed_until]

    def after_proof(self) -> dict[str, Any]:
        """Tell what a proof comes to, an account being there or not."""
        if self.account is not None:
            return transitions.already_registered(self.now)
        return transitions.proved(self.now, RULES)

    def after_account(self, account: uuid.UUID) -> dict[str, Any]:
        """Tell what an account at the address comes to, by its mark."""
        if account == OURS:
            return transitions.completed(self.now, OURS, b"passwords")
        return transitions.already_registered(self.now)

    def cancel(self, read: Record) -> None:
        """Cancel by the row as it was read."""
        shown = transitions.state_shown(read, self.now)
        free = read.lease is Lease.NONE  # whatever died is settled first
        if free and not shown.final and shown is not State.STARTING:
            self.change(read, unapproved=True, **transitions.cancelled(self.now))

    def sweep(self) -> None:
        """Write expiry down as the backlog's statement does."""
        waiting = self.row.state in (State.CODE_REQUIRED, State.PASSWORD_REQUIRED)
        late = self.row.expire_time <= self.now
        if waiting and late and self.row.lease is Lease.NONE:
            gone: dict[str, Any] = {"sealed": None, "sealed_passwords": None}
            gone["password_flow_digest"] = None
            self.change(self.row, state=State.EXPIRED, state_time=self.now, **gone)

"""The state machine at work: any order of calls, deaths, late landings and time.

The steps are retold here on one row in memory, by the very rules that they go by and
with the ledger's compare-and-set. Kratos is an account that stands at the address or
does not. What a caller, a dead server or a slow Kratos still has in hand is a job, and
any job may go on at any later time.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from signupd.ledger.record import Lease, State
from signupd.policy.rules import SECOND
from signupd.signup import transitions

from tests.unit.samples import RULES
from tests.unit.world import OURS, THEIRS, World

SPANS = (1, SECOND, RULES.approval // 2, RULES.resend_interval)
BEGINNINGS = (
    (State.STARTING, Lease.SENDING),
    (State.CODE_REQUIRED, Lease.NONE),
    (State.PASSWORD_REQUIRED, Lease.NONE),
    (State.PASSWORD_REQUIRED, Lease.SETTING),
)
SOME = st.integers(0, 9)  # which of the jobs, counted round and round


class SignupMachine(RuleBasedStateMachine):
    """One sign-up, ill-treated."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*BEGINNINGS[-1])
        self.epoch = 0

    @rule(beginning=st.sampled_from(BEGINNINGS))
    @precondition(lambda self: self.world.over())
    def begin(self, beginning: tuple[State, Lease]) -> None:
        """Go on with another sign-up, at any step."""
        self.world, self.epoch = World(*beginning), 0

    # Mails.

    @rule(some=SOME, outcome=st.sampled_from(["sent", "not sent", "lost"]))
    @precondition(lambda self: self.world.held(Lease.SENDING))
    def mail_answered(self, some: int, outcome: str) -> None:
        """Write down what Kratos says of a mail, or that it does not say."""
        world = self.world
        jobs = world.held(Lease.SENDING)
        job = jobs[some % len(jobs)]
        first = job.leased.state is State.STARTING
        if outcome == "lost":
            world.end(job, **transitions.undecided())
        elif outcome == "sent" and first:
            world.end(job, **transitions.code_sent(world.now, RULES))
        elif outcome == "sent":
            world.end(job, **transitions.code_sent_again(world.now, RULES, b"s"))
        elif not first:  # a first mail that did not go takes its row along
            world.end(job, **transitions.resend_uncounted(job.before))

    @rule()
    @precondition(
        lambda self: (
            self.world.row.state is State.STARTING
            and transitions.abandoned(self.world.row, self.world.now)
            and not transitions.expired(self.world.row, self.world.now)
            and self.world.row.sends < RULES.sends
        )
    )
    def start_again(self) -> None:
        """Carry on with a first mail that a dead call left open."""
        sends, now = self.world.row.sends + 1, self.world.now
        self.world.grant(**transitions.sending(now, RULES, b"s", sends))

    @rule()
    @precondition(
        lambda self: (
            self.world.waiting(State.CODE_REQUIRED)
            and self.world.row.code_attempts < RULES.code_attempts
            and self.world.row.sends < RULES.sends
        )
    )
    def resend(self) -> None:
        """Grant another mail, as soon as one is due."""
        row = self.world.row
        now = max(self.world.now, row.send_time + RULES.resend_interval)
        self.world.now = now
        if self.world.waiting(State.CODE_REQUIRED):
            self.world.grant(**transitions.resending(row, now, RULES, b"s"))

    # Codes.

    @rule(code=st.sampled_from([b"1", b"2", b"3"]))
    @precondition(lambda self: self.world.waiting(State.CODE_REQUIRED))
    def verify(self, code: bytes) -> None:
        """Grant a try at the code while there is one."""
        row, now = self.world.row, self.world.now
        changes = transitions.verifying(row, now, RULES, code)
        if changes["code_attempts"] <= RULES.code_attempts:
            self.world.grant(**changes)

    @rule(
        some=SOME,
        outcome=st.sampled_from(["right", "wrong", "spent", "unreached", "lost"]),
    )
    @precondition(lambda self: self.world.held(Lease.VERIFYING))
    def code_answered(self, some: int, outcome: str) -> None:
        """Write down what Kratos makes of a code, or that it does not say."""
        jobs = self.world.held(Lease.VERIFYING)
        job = jobs[some % len(jobs)]
        changes = {
            "right": self.world.after_proof(),
            "wrong": transitions.code_refused(b"refused"),
            "spent": transitions.flow_spent(b"s"),
            "unreached": transitions.code_uncounted(job.before),
            "lost": transitions.undecided(),
        }
        self.world.end(job, **changes[outcome])

    # Passwords.

    @rule()
    @precondition(lambda self: self.world.waiting(State.PASSWORD_REQUIRED))
    def set_password(self) -> None:
        """Grant a try at the password while there is one, by a flow of its own."""
        row, now = self.world.row, self.world.now
        if row.password_attempts < RULES.password_attempts:
            flow = b"flow %d" % row.epoch
            changes = transitions.setting(row, now, RULES, flow, b"passwords")
            self.world.grant(unapproved=True, **changes)

    @rule(some=SOME)
    @precondition(lambda self: self.world.asking())
    def kratos_asks(self, some: int) -> None:
        """Have our hook agree; Kratos may ask whenever it gets to it, and again."""
        world, jobs = self.world, self.world.asking()
        until = jobs[some % len(jobs)].agreed_until = world.now + RULES.approval
        world.row = world.row._replace(approved_until=until)

    @rule(some=SOME)
    @precondition(lambda self: self.world.storing())
    def kratos_stores(self, some: int) -> None:
        """Have Kratos store the account, since it was told so."""
        jobs = self.world.storing()
        job = jobs[some % len(jobs)]
        self.world.account = OURS
        job.stored = job.answered = True

    @rule(some=SOME, judged=st.booleans())
    @precondition(lambda self: self.world.held(Lease.SETTING))
    def password_answered(self, some: int, judged: bool) -> None:
        """Write down what Kratos answers: stored, refused, or our hook's no."""
        world, jobs = self.world, self.world.held(Lease.SETTING)
        job = jobs[some % len(jobs)]
        if job.stored:
            world.end(job, **transitions.completed(world.now, OURS, b"passwords"))
        elif not job.agreed_until:
            job.answered = True
            refused = transitions.password_refused(job.before)
            uncounted = transitions.password_uncounted(job.before)
            world.end(job, **(refused if judged else uncounted))

    @rule(some=SOME, known=st.booleans())
    @precondition(lambda self: self.world.held(Lease.SETTING))
    def password_answer_lost(self, some: int, known: bool) -> None:
        """Look the address up, Kratos perhaps still at work behind our back."""
        jobs = self.world.held(Lease.SETTING)
        job = jobs[some % len(jobs)]
        job.looked, job.seen = True, self.world.account
        if not known:
            self.world.end(job, **transitions.undecided())

    @rule(some=SOME)
    @precondition(lambda self: any(j.looked for j in self.world.held(Lease.SETTING)))
    def looked_up(self, some: int) -> None:
        """Write down what was found, a little later."""
        world = self.world
        jobs = [job for job in world.held(Lease.SETTING) if job.looked]
        job = jobs[some % len(jobs)]
        if job.seen is not None:
            world.end(job, **world.after_account(job.seen))
        elif not world.end(
            job, unapproved=True, **transitions.password_uncounted(job.before)
        ):
            world.end(job, **transitions.undecided())

    # Time, and others.

    @rule(span=st.sampled_from(SPANS))
    @precondition(lambda self: transitions.at_work(self.world.row, self.world.now))
    def time_passes(self, span: int) -> None:
        """Let some time pass while somebody is at work."""
        self.world.now += span

    @rule()
    @precondition(lambda self: transitions.at_work(self.world.row, self.world.now))
    def lease_runs_out(self) -> None:
        """Let the very moment come when the lease or the hook's yes is over."""
        row = self.world.row
        moments = [row.lease_until, row.approved_until]
        self.world.now = min(at for at in moments if at > self.world.now)

    @rule(known=st.booleans())
    @precondition(
        lambda self: (
            transitions.abandoned(self.world.row, self.world.now)
            and self.world.row.state is not State.STARTING
        )
    )
    def settle(self, known: bool) -> None:
        """Move a row on whose holder died, by what Kratos says."""
        world = self.world
        changes = transitions.lease_ended()
        if world.row.lease is Lease.SETTING and world.account is not None:
            changes = world.after_account(world.account)
        elif world.row.lease is Lease.VERIFYING and known:
            changes = world.after_proof()
        elif world.row.lease is Lease.SENDING and known:
            changes = transitions.code_sent_again(world.now, RULES, b"s")
        elif transitions.at_work(world.row, world.now):
            return  # our hook agreed, and Kratos may be about to store
        world.change(world.row, **changes)

    @rule(
        some=SOME,
        what=st.sampled_from(["cancel", "late cancel", "deadline", "sweep", "rival"]),
    )
    @precondition(lambda self: self.world.old())
    def somebody_else(self, some: int, what: str) -> None:
        """Cancel, perhaps by an old reading; come too late; take the address."""
        world = self.world
        match what:
            case "deadline":
                world.now = max(world.now, world.row.expire_time)
            case "rival":
                world.account = world.account or THEIRS
            case "sweep":
                world.sweep()
            case "late cancel" if world.jobs:
                world.cancel(world.jobs[some % len(world.jobs)].before)
            case _:
                world.cancel(world.row)

    # What holds at all times.

    @invariant()
    def limits_hold(self) -> None:
        """Neither tries nor mails exceed their limits, nor does the epoch go back."""
        row = self.world.row

        assert 0 <= row.code_attempts <= RULES.code_attempts
        assert 0 <= row.password_attempts <= RULES.password_attempts
        assert 1 <= row.sends <= RULES.sends
        assert self.epoch <= row.epoch
        self.epoch = row.epoch

    @invariant()
    def final_rows_hold_nothing(self) -> None:
        """A final row is nobody's work and keeps no address."""
        row = self.world.row
        if row.state.final:
            assert Lease.NONE is row.lease
            assert None is row.sealed
            assert None is row.password_flow_digest

    @invariant()
    def accounts_are_accounted_for(self) -> None:
        """While Kratos may store, or has stored unseen, the row is kept for it."""
        row, account = self.world.row, self.world.account
        if self.world.storing():
            assert transitions.at_work(row, self.world.now)
        if row.state is State.COMPLETED:
            assert OURS == account
        elif account == OURS:
            assert (State.PASSWORD_REQUIRED, Lease.SETTING) == (row.state, row.lease)


def test_nothing_leaves_it_in_limbo() -> None:
    """No order of events breaks a limit, a final state, or the fence around Kratos."""
    run_state_machine_as_test(
        SignupMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

"""The state machine's rules: their columns, and the moments they turn on."""

from __future__ import annotations

import uuid

import pytest
from signupd.ledger.record import Lease, State
from signupd.signup import transitions

from tests.unit.samples import NOW, RULES, row

ACCOUNT_ID = uuid.UUID("0a0b0c0d-1111-4222-8333-444455556666")
CODE, REFUSED, FLOW = b"code digest", b"refused digest", b"flow digest"
SEALED, PASSWORDS = b"other contents", b"sealed passwords"
FREE = {"lease": Lease.NONE, "lease_until": 0, "approved_until": 0}
EMPTY = {"sealed": None, "password_flow_digest": None, "sealed_passwords": None}
BEFORE = row(
    sealed=b"contents before",
    code_digest=b"digest before",
    sealed_passwords=b"passwords before",
    code_attempts=2,
    password_attempts=3,
    sends=4,
    send_time=NOW - 7,
)
LEASED = {"lease_until": NOW + RULES.lease}

# What each rule changes; whatever a row of the table does not name stays.
COLUMNS = {
    "code_sent": (
        transitions.code_sent(NOW, RULES),
        {
            **FREE,
            "state": State.CODE_REQUIRED,
            "state_time": NOW,
            "expire_time": NOW + RULES.code_ttl,
        },
    ),
    "sending": (
        transitions.sending(NOW, RULES, SEALED, 2),
        {
            **LEASED,
            "lease": Lease.SENDING,
            "sealed": SEALED,
            "sends": 2,
            "send_time": NOW,
        },
    ),
    "resending": (
        transitions.resending(BEFORE, NOW, RULES, SEALED),
        {
            **LEASED,
            "lease": Lease.SENDING,
            "sealed": SEALED,
            "sends": 5,
            "send_time": NOW,
        },
    ),
    "resend_uncounted": (
        transitions.resend_uncounted(BEFORE),
        {**FREE, "sealed": b"contents before", "sends": 4, "send_time": NOW - 7},
    ),
    "code_sent_again": (
        transitions.code_sent_again(NOW, RULES, SEALED),
        {
            **FREE,
            "sealed": SEALED,
            "code_digest": None,
            "expire_time": NOW + RULES.code_ttl,
        },
    ),
    "verifying, a new code": (
        transitions.verifying(BEFORE, NOW, RULES, CODE),
        {**LEASED, "lease": Lease.VERIFYING, "code_digest": CODE, "code_attempts": 3},
    ),
    "verifying, the code left undecided": (
        transitions.verifying(BEFORE, NOW, RULES, b"digest before"),
        {
            **LEASED,
            "lease": Lease.VERIFYING,
            "code_digest": b"digest before",
            "code_attempts": 2,
        },
    ),
    "code_refused": (
        transitions.code_refused(REFUSED),
        {**FREE, "code_digest": REFUSED},
    ),
    "code_uncounted": (
        transitions.code_uncounted(BEFORE),
        {**FREE, "code_digest": b"digest before", "code_attempts": 2},
    ),
    "flow_spent": (
        transitions.flow_spent(SEALED),
        {**FREE, "code_digest": None, "sealed": SEALED},
    ),
    "proved": (
        transitions.proved(NOW, RULES),
        {
            **FREE,
            "state": State.PASSWORD_REQUIRED,
            "state_time": NOW,
            "expire_time": NOW + RULES.password_ttl,
        },
    ),
    "setting": (
        transitions.setting(BEFORE, NOW, RULES, FLOW, PASSWORDS),
        {
            **LEASED,
            "lease": Lease.SETTING,
            "approved_until": 0,
            "password_flow_digest": FLOW,
            "sealed_passwords": PASSWORDS,
            "password_attempts": 4,
        },
    ),
    "password_refused": (
        transitions.password_refused(BEFORE),
        {**FREE, "password_flow_digest": None, "sealed_passwords": b"passwords before"},
    ),
    "password_uncounted": (
        transitions.password_uncounted(BEFORE),
        {
            **FREE,
            "password_flow_digest": None,
            "sealed_passwords": b"passwords before",
            "password_attempts": 3,
        },
    ),
    "completed": (
        transitions.completed(NOW, ACCOUNT_ID, PASSWORDS),
        {
            **FREE,
            **EMPTY,
            "state": State.COMPLETED,
            "identity_id": ACCOUNT_ID,
            "sealed_passwords": PASSWORDS,
            "state_time": NOW,
        },
    ),
    "already_registered": (
        transitions.already_registered(NOW),
        {**FREE, **EMPTY, "state": State.ALREADY_REGISTERED, "state_time": NOW},
    ),
    "cancelled": (
        transitions.cancelled(NOW),
        {**FREE, **EMPTY, "state": State.CANCELLED, "state_time": NOW},
    ),
    "undecided": (transitions.undecided(), {"lease_until": 0}),
    "lease_ended": (
        transitions.lease_ended(),
        {**FREE, "password_flow_digest": None},
    ),
}

# Lease, lease_until, approved_until and expire_time, the last three as seen from NOW;
# then what holds at NOW: at work, abandoned, expired.
MOMENTS = [
    # Nobody at work: the deadline alone counts, and its very moment is too late.
    (Lease.NONE, 0, 0, +1, False, False, False),
    (Lease.NONE, 0, 0, 0, False, False, True),
    (Lease.NONE, 0, 0, -1, False, False, True),
    (Lease.NONE, +1, +1, 0, False, False, True),
    # A lease lives until its very moment, and while it lives nothing lapses.
    (Lease.VERIFYING, +1, 0, +1, True, False, False),
    (Lease.VERIFYING, +1, 0, -1, True, False, False),
    (Lease.VERIFYING, 0, 0, +1, False, True, False),
    (Lease.VERIFYING, 0, 0, 0, False, True, True),
    (Lease.SENDING, +1, 0, -1, True, False, False),
    (Lease.SENDING, -1, 0, +1, False, True, False),
    # What the hook agreed to keeps the row as a lease does, beyond the lease; but then
    # an account may settle it.
    (Lease.SETTING, -1, +1, -1, True, True, False),
    (Lease.SETTING, 0, +1, -1, True, True, False),
    (Lease.SETTING, -1, 0, -1, False, True, True),
    (Lease.SETTING, +1, -1, -1, True, False, False),
    (Lease.SETTING, 0, 0, +1, False, True, False),
]


def test_every_rule_is_in_the_table() -> None:
    """The table of columns has all functions that change a row."""
    judges = {"at_work", "busy_until", "abandoned", "expired", "state_shown"}
    judges |= {"attempts_with"}
    rules = {
        name
        for name, value in vars(transitions).items()
        if getattr(value, "__module__", "") == transitions.__name__
        and not name.startswith("_")
    }

    assert rules - judges == {name.split(",")[0] for name in COLUMNS}


@pytest.mark.parametrize("rule", COLUMNS)
def test_columns(rule: str) -> None:
    """A rule changes exactly its columns, and leaves the epoch to the ledger."""
    changes, expected = COLUMNS[rule]

    assert expected == changes


@pytest.mark.parametrize("rule", COLUMNS)
def test_changes_are_the_callers_own(rule: str) -> None:
    """The changes fit a row, and altering them alters no rule."""
    changes = dict(COLUMNS[rule][0])

    assert set(changes) <= set(row()._fields)
    COLUMNS[rule][0]["lease"] = Lease.SENDING
    try:
        assert {"lease_until": 0} == transitions.undecided()
        assert Lease.NONE is transitions.lease_ended()["lease"]
    finally:
        COLUMNS[rule][0].clear()
        COLUMNS[rule][0].update(changes)


@pytest.mark.parametrize(
    ("lease", "until", "approved", "expire", "at_work", "abandoned", "expired"),
    MOMENTS,
)
@pytest.mark.parametrize("state", [State.CODE_REQUIRED, State.PASSWORD_REQUIRED])
def test_moments(  # noqa: PLR0913, PLR0917 - the table's columns
    state: State,
    lease: Lease,
    until: int,
    approved: int,
    expire: int,
    at_work: bool,
    abandoned: bool,
    expired: bool,
) -> None:
    """At the very moment a lease is over, an approval is over, a step has lapsed."""
    record = row(
        state=state,
        lease=lease,
        lease_until=NOW + until,
        approved_until=NOW + approved,
        expire_time=NOW + expire,
    )

    assert at_work is transitions.at_work(record, NOW)
    assert abandoned is transitions.abandoned(record, NOW)
    assert expired is transitions.expired(record, NOW)
    shown = State.EXPIRED if expired and lease is Lease.NONE else state
    assert shown is transitions.state_shown(record, NOW)


@pytest.mark.parametrize(
    ("until", "approved", "busy"), [(0, 0, 0), (5, 0, 5), (0, 5, 5), (4, 5, 5)]
)
def test_busy_until(until: int, approved: int, busy: int) -> None:
    """A row is busy until both its lease and the hook's agreement are over."""
    record = row(lease=Lease.SETTING, lease_until=until, approved_until=approved)

    assert busy == transitions.busy_until(record)


@pytest.mark.parametrize("state", [state for state in State if state.final])
def test_final_states_do_not_lapse(state: State) -> None:
    """What is final is shown as it is, long after the deadline too."""
    record = row(state=state, expire_time=0)

    assert not transitions.expired(record, NOW)
    assert state is transitions.state_shown(record, NOW)

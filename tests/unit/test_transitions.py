"""The moments that the state machine's rules turn on."""

import pytest
from signupd.ledger.record import Lease, State
from signupd.signup import transitions

from tests.unit.samples import NOW, row

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


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", [State.CODE_REQUIRED, State.PASSWORD_REQUIRED])
def test_moments(
    state: State, moment: tuple[Lease, int, int, int, bool, bool, bool]
) -> None:
    """At the very moment a lease is over, an approval is over, a step has lapsed."""
    lease, until, approved, expire, at_work, abandoned, expired = moment
    record = row(
        state=state,
        lease=lease,
        lease_until=NOW + until,
        approved_until=NOW + approved,
        expire_time=NOW + expire,
    )

    assert at_work is transitions.is_busy(record, NOW)
    assert abandoned is transitions.needs_recovery(record, NOW)
    assert expired is transitions.is_expired(record, NOW)
    shown = State.EXPIRED if expired and lease is Lease.NONE else state
    assert shown is transitions.state_shown(record, NOW)

"""What a sign-up shows of itself, state by state."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.kratos.outcomes import Delivery
from signupd.ledger.record import Lease, State
from signupd.policy.rules import SECOND
from signupd.rpc.responses import DELIVERIES, STATES, signup_message
from signupd.sealing import KeyRing, SealBroken
from signupd.signup.view import View, view_of

from tests.unit.rows import KEYS, NOW, RULES, SIGNUP_ID, record

IDENTITY_ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
ROW = record(
    code_attempts=2, password_attempts=3, sends=2, identity_id=IDENTITY_ID, epoch=9
)
BARE = View(SIGNUP_ID, State.EXPIRED, "a***@example.com", NOW)
EXPECTED = {
    State.CODE_REQUIRED: dataclasses.replace(
        BARE,
        state=State.CODE_REQUIRED,
        expire_time=NOW + 900 * SECOND,
        resend_time=NOW + 60 * SECOND,
        code_attempts_remaining=3,
        resends_remaining=3,
    ),
    State.PASSWORD_REQUIRED: dataclasses.replace(
        BARE,
        state=State.PASSWORD_REQUIRED,
        expire_time=NOW + 900 * SECOND,
        password_attempts_remaining=17,
        password_min_length=8,
        password_max_bytes=72,
    ),
    State.COMPLETED: dataclasses.replace(
        BARE, state=State.COMPLETED, identity_id=IDENTITY_ID
    ),
    State.ALREADY_REGISTERED: dataclasses.replace(BARE, state=State.ALREADY_REGISTERED),
    State.EXPIRED: BARE,
    State.CANCELLED: dataclasses.replace(BARE, state=State.CANCELLED),
}


def shown(now: int = NOW, **changed: Any) -> View:
    """Show the sample row, changed."""
    row = ROW._replace(**changed)
    return view_of(row, now, keys=KEYS, rules=RULES)


@pytest.mark.parametrize("state", EXPECTED)
def test_states(state: State) -> None:
    """Each state shows what applies to it, and nothing else."""
    assert EXPECTED[state] == shown(state=state)


def test_states_are_all_shown() -> None:
    """Every state but the one before the mail is shown, and has its number."""
    assert {*State} - {State.STARTING} == EXPECTED.keys() == STATES.keys()
    assert {*pb.SignupState.values()} - {0} == {*STATES.values()}
    names = {state.name for state in STATES}
    assert names == {
        pb.SignupState.Name(number).removeprefix("SIGNUP_STATE_")
        for number in STATES.values()
    }


@pytest.mark.parametrize("state", [State.CODE_REQUIRED, State.PASSWORD_REQUIRED])
def test_expired(state: State) -> None:
    """From the deadline on it is shown as expired, with all that this lacks."""
    late = NOW + 900 * SECOND

    assert EXPECTED[state] == shown(late - 1, state=state)
    assert BARE == shown(late, state=state)


def test_at_work_past_the_deadline() -> None:
    """While a call is at work it is shown as it stands."""
    late = NOW + 900 * SECOND
    view = shown(late, lease=Lease.VERIFYING, lease_until=late + 1)

    assert EXPECTED[State.CODE_REQUIRED] == view


def test_no_resend_left() -> None:
    """Without a resend left there is no time for one; no count falls below zero."""
    last, beyond = shown(sends=5), shown(sends=6, code_attempts=9)
    password = shown(state=State.PASSWORD_REQUIRED, password_attempts=21)

    assert [(0, None), (0, None)] == [
        (view.resends_remaining, view.resend_time) for view in (last, beyond)
    ]
    assert 0 == beyond.code_attempts_remaining == password.password_attempts_remaining


def test_other_key() -> None:
    """A row whose key is gone cannot be shown."""
    with pytest.raises(SealBroken):
        view_of(ROW, NOW, keys=KeyRing([b"x" * 32], b"d" * 32), rules=RULES)


def test_message() -> None:
    """A view becomes the contract's message, field by field."""
    view = dataclasses.replace(
        EXPECTED[State.CODE_REQUIRED], create_time=NOW + 1, delivery=Delivery.SENT
    )
    message = signup_message(view)

    expected = pb.Signup(
        signup_id=str(SIGNUP_ID),
        state=pb.SIGNUP_STATE_CODE_REQUIRED,
        code_attempts_remaining=3,
        resends_remaining=3,
        masked_email="a***@example.com",
        code_delivery=pb.CODE_DELIVERY_SENT,
    )
    expected.create_time.FromMicroseconds(NOW + 1)
    expected.expire_time.FromMicroseconds(NOW + 900 * SECOND)
    expected.resend_time.FromMicroseconds(NOW + 60 * SECOND)
    assert expected == message


def test_message_with_a_policy() -> None:
    """The bounds of a password are there while one is wanted."""
    message = signup_message(EXPECTED[State.PASSWORD_REQUIRED])

    assert (8, 72) == (
        message.password_policy.min_length,
        message.password_policy.max_bytes,
    )
    assert not message.HasField("resend_time")
    assert not signup_message(BARE).HasField("password_policy")


def test_message_with_an_identity() -> None:
    """The account's id is there once it is completed."""
    message = signup_message(EXPECTED[State.COMPLETED])

    assert str(IDENTITY_ID) == message.identity_id


def test_deliveries_are_all_there() -> None:
    """Each delivery has its number of the contract, by its name."""
    assert {*Delivery} == DELIVERIES.keys()
    assert {d.name: n for d, n in DELIVERIES.items()} == {
        name.removeprefix("CODE_DELIVERY_"): number
        for name, number in pb.CodeDelivery.items()
        if number
    }

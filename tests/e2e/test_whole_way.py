"""From an address to an account, and what Kratos holds at each step of it."""

from dataclasses import dataclass

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import CourierMessage, Identity
from devstack.mailbox import Mail
from devstack.waiting import wait_until
from tests.e2e.holdings import session_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address

TRAITS = {"name": "Ännchen Müller", "newsletter": True}
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Holding:
    """What Kratos holds at one moment: for the address, and of sessions at all."""

    identities: list[Identity]
    sessions: set[str]


@dataclass(frozen=True, slots=True)
class Walk:
    """One whole sign-up, each answer and what Kratos held after it.

    Attributes:
        held: In the order of the calls; the first of before them all.
    """

    address: str
    mail: Mail
    started: pb.StartSignupResponse
    sent: pb.GetSignupResponse
    verified: pb.VerifyCodeResponse
    waiting: pb.GetSignupResponse
    done: pb.SetPasswordResponse
    after: pb.GetSignupResponse
    held: list[Holding]


@pytest.fixture(scope="module")
def walk(stack: Stack) -> Walk:
    """Walk a whole sign-up, and look into Kratos after each step."""
    address, held = new_address(), []

    def look() -> None:
        identities = stack.admin.identities(address)
        held.append(Holding(identities, session_ids(stack.kratos)))

    look()
    started = stack.caller.start(address, traits=TRAITS, locale="de")
    look()
    mail = stack.mailbox.wait_for(address)
    wait_until(lambda: _sent(stack, started), "the courier says SENT")
    sent = stack.caller.get(started.continuation_token)
    look()
    verified = stack.caller.verify(started.continuation_token, mail.code)
    look()
    waiting = stack.caller.get(verified.continuation_token)
    look()
    done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    look()
    after = stack.caller.get(verified.continuation_token)
    return Walk(address, mail, started, sent, verified, waiting, done, after, held)


def test_answers(walk: Walk) -> None:
    """Each answer shows the figures of its step, and GetSignup shows the same."""
    started, verified, done = (
        one.signup for one in (walk.started, walk.verified, walk.done)
    )
    sent = pb.Signup()
    sent.CopyFrom(started)
    sent.code_delivery = pb.CODE_DELIVERY_SENT

    assert pb.SIGNUP_STATE_CODE_REQUIRED == started.state
    assert (5, 4) == (started.code_attempts_remaining, started.resends_remaining)
    assert 15 * MINUTE == pytest.approx(_lasts(started, started.expire_time), abs=5)
    assert MINUTE == pytest.approx(_lasts(started, started.resend_time), abs=5)
    assert sent == walk.sent.signup
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.state
    assert 20 == verified.password_attempts_remaining
    assert pb.PasswordPolicy(min_length=8, max_bytes=72) == verified.password_policy
    assert verified == walk.waiting.signup
    assert pb.SIGNUP_STATE_COMPLETED == done.state
    assert [done.identity_id] == [one.id for one in walk.held[-1].identities]
    assert done == walk.after.signup
    assert {"a***@example.com"} == {
        one.masked_email for one in (started, verified, done)
    }


def test_tokens(stack: Stack, walk: Walk) -> None:
    """Each step has its own tokens, the end has none; an early one still shows it."""
    answers = (walk.started, walk.sent, walk.verified, walk.waiting)
    tokens = [answer.continuation_token for answer in answers]

    assert 4 == len(set(tokens))
    assert all(len(token) <= 1024 and token.isascii() for token in tokens)
    assert ["", ""] == [one.continuation_token for one in (walk.done, walk.after)]
    assert walk.after == stack.caller.get(tokens[0])


def test_nothing_before_the_password(walk: Walk) -> None:
    """No identity is there before SetPassword, and no session at any point."""
    *before, after = walk.held

    assert [[]] * 5 == [one.identities for one in before]
    assert [after.sessions] * 5 == [one.sessions for one in before]


def test_account(stack: Stack, walk: Walk) -> None:
    """Then it is whole: active, verified, marked, with its password and traits."""
    (identity,) = walk.held[-1].identities
    mark = identity.metadata_admin["signupd"]

    assert "active" == identity.state
    assert identity.verified
    assert identity.has_password
    assert {"email": walk.address, **TRAITS} == identity.traits
    assert {"signup_id", "attempt"} == set(mark)
    assert walk.done.signup.signup_id == mark["signup_id"]
    assert stack.visitor.login(walk.address, GOOD_PASSWORD)
    assert stack.visitor.login(walk.address.upper(), GOOD_PASSWORD)
    assert not stack.visitor.login(walk.address, GOOD_PASSWORD + "!")


def test_mail(stack: Stack, walk: Walk) -> None:
    """Exactly one mail was sent, with six digits, in the caller's language."""
    queued = stack.admin.courier_messages(walk.address)

    assert [CourierMessage("registration_code_valid", "sent", 1)] == queued
    assert 1 == len(stack.mailbox.mails_to(walk.address))
    assert 6 == len(walk.mail.code)
    assert "Ihr Bestätigungscode" == walk.mail.subject
    assert walk.mail.text.startswith("Guten Tag,\n")
    assert '<html lang="de">' in walk.mail.html
    assert walk.mail.code in walk.mail.html


@pytest.mark.parametrize("locale", ["", "en-GB", "fr"])
def test_other_language(stack: Stack, address: str, locale: str) -> None:
    """A locale without a translation, or none, gets English."""
    stack.caller.start(address, locale=locale)
    mail = stack.mailbox.wait_for(address)

    assert "Your confirmation code" == mail.subject


def _sent(stack: Stack, started: pb.StartSignupResponse) -> bool:
    signup = stack.caller.get(started.continuation_token).signup
    return signup.code_delivery == pb.CODE_DELIVERY_SENT


def _lasts(signup: pb.Signup, until: Timestamp) -> float:
    """Count the seconds from the beginning of a sign-up to some moment of it."""
    micros = until.ToMicroseconds() - signup.create_time.ToMicroseconds()
    return micros / 1e6

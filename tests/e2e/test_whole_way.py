"""From an address to an account, and what Kratos holds at each step of it."""

from dataclasses import dataclass

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import CourierMessage, Identity
from devstack.mailbox import Mail
from tests.e2e.holdings import session_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wait_until

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


class TestAnswers:
    """What the caller is told."""

    def test_started(self, walk: Walk) -> None:
        """StartSignup asks for the code, and says how long and how often."""
        signup = walk.started.signup

        assert pb.SIGNUP_STATE_CODE_REQUIRED == signup.state
        assert "a***@example.com" == signup.masked_email
        assert 5 == signup.code_attempts_remaining
        assert 4 == signup.resends_remaining
        assert 15 * MINUTE == pytest.approx(_lasts(signup, signup.expire_time), abs=5)
        assert MINUTE == pytest.approx(_lasts(signup, signup.resend_time), abs=5)
        assert pb.CODE_DELIVERY_UNSPECIFIED == signup.code_delivery
        assert "" == signup.identity_id
        assert not signup.HasField("password_policy")

    def test_sent(self, walk: Walk) -> None:
        """GetSignup says the same, and that the mail has gone."""
        expected = pb.Signup()
        expected.CopyFrom(walk.started.signup)
        expected.code_delivery = pb.CODE_DELIVERY_SENT

        assert expected == walk.sent.signup

    def test_verified(self, walk: Walk) -> None:
        """VerifyCode asks for the password, and says what it must be like."""
        signup = walk.verified.signup

        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == signup.state
        assert walk.started.signup.signup_id == signup.signup_id
        assert "a***@example.com" == signup.masked_email
        assert 20 == signup.password_attempts_remaining
        assert pb.PasswordPolicy(min_length=8, max_bytes=72) == signup.password_policy
        # The password has half an hour, from the proof on.
        assert 30 * MINUTE <= _lasts(signup, signup.expire_time) < 32 * MINUTE
        assert not signup.HasField("resend_time")
        assert "" == signup.identity_id

    def test_waiting(self, walk: Walk) -> None:
        """GetSignup says the same; of the mail there is nothing to say any more."""
        assert walk.verified.signup == walk.waiting.signup

    def test_done(self, walk: Walk) -> None:
        """SetPassword ends it: the identity is named, and there is no token."""
        signup = walk.done.signup

        assert pb.SIGNUP_STATE_COMPLETED == signup.state
        assert [signup.identity_id] == [one.id for one in walk.held[-1].identities]
        assert "a***@example.com" == signup.masked_email
        assert "" == walk.done.continuation_token
        assert not signup.HasField("expire_time")
        assert not signup.HasField("password_policy")

    def test_after(self, walk: Walk) -> None:
        """GetSignup gives the last answer again, without a token."""
        assert walk.done.signup == walk.after.signup
        assert "" == walk.after.continuation_token

    def test_tokens(self, walk: Walk) -> None:
        """Each step has tokens of its own, and GetSignup gives those of its step."""
        tokens = [
            answer.continuation_token
            for answer in (walk.started, walk.sent, walk.verified, walk.waiting)
        ]

        assert 4 == len(set(tokens))
        assert all(len(token) <= 1024 and token.isascii() for token in tokens)

    def test_token_of_the_code_step(self, stack: Stack, walk: Walk) -> None:
        """The end can be looked at with a token of the first step as well."""
        for token in (walk.started.continuation_token, walk.sent.continuation_token):
            assert walk.after == stack.caller.get(token)


class TestKratos:
    """What Kratos holds."""

    def test_nothing_before_the_password(self, walk: Walk) -> None:
        """No identity and no session is there before SetPassword, at any point."""
        before, *steps, _ = walk.held

        assert 4 == len(steps)
        assert [[]] * 5 == [one.identities for one in (before, *steps)]
        assert [before.sessions] * 4 == [one.sessions for one in steps]

    def test_complete(self, walk: Walk) -> None:
        """Then the account is there: active, verified, with its password and traits."""
        (identity,) = walk.held[-1].identities

        assert "active" == identity.state
        assert identity.verified
        assert identity.has_password
        assert {"email": walk.address, **TRAITS} == identity.traits

    def test_mark(self, walk: Walk) -> None:
        """It bears the mark of the sign-up that made it."""
        (identity,) = walk.held[-1].identities
        mark = identity.metadata_admin["signupd"]

        assert {"signup_id", "attempt"} == set(mark)
        assert walk.done.signup.signup_id == mark["signup_id"]

    def test_no_session(self, walk: Walk) -> None:
        """The sign-up leaves no session."""
        assert walk.held[0].sessions == walk.held[-1].sessions

    def test_login(self, stack: Stack, walk: Walk) -> None:
        """The user can sign in with the password, and with no other."""
        assert stack.visitor.login(walk.address, GOOD_PASSWORD)
        assert stack.visitor.login(walk.address.upper(), GOOD_PASSWORD)
        assert not stack.visitor.login(walk.address, GOOD_PASSWORD + "!")


class TestMail:
    """What the user gets."""

    def test_one(self, stack: Stack, walk: Walk) -> None:
        """Exactly one mail was sent, the one with the code."""
        queued = stack.admin.courier_messages(walk.address)

        assert [CourierMessage("registration_code_valid", "sent", 1)] == queued
        assert 1 == len(stack.mailbox.mails_to(walk.address))

    def test_language(self, walk: Walk) -> None:
        """The mail is in the language of the caller's locale, both parts of it."""
        assert "Ihr Bestätigungscode" == walk.mail.subject
        assert walk.mail.text.startswith("Guten Tag,\n")
        assert '<html lang="de">' in walk.mail.html
        assert walk.mail.code in walk.mail.html

    def test_code(self, walk: Walk) -> None:
        """The code is six digits."""
        assert 6 == len(walk.mail.code)

    @pytest.mark.parametrize("locale", ["", "en-GB", "fr"])
    def test_other_language(self, stack: Stack, address: str, locale: str) -> None:
        """Whoever wants no German gets English."""
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

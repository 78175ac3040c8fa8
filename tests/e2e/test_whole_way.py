"""From an address to an account, and what Kratos holds at each step of it."""

from dataclasses import dataclass

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import CourierMessage, Identity
from devstack.mailbox import Mail
from devstack.waiting import wait_until
from tests.e2e.holdings import session_ids
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address

TRAITS = {"name": "Ännchen Müller", "newsletter": True}


@dataclass(frozen=True, slots=True)
class Holding:
    """What Kratos holds at one moment: for the address, and of sessions at all."""

    identities: list[Identity]
    sessions: set[str]


@dataclass(frozen=True, slots=True)
class Walk:
    """One whole sign-up, and what Kratos held before it and after each call."""

    address: str
    mail: Mail
    done: pb.SetPasswordResponse
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
    verified = stack.caller.verify(started.continuation_token, mail.code)
    look()
    done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    look()
    return Walk(address, mail, done, held)


def test_nothing_before_the_password(walk: Walk) -> None:
    """No identity is there before SetPassword, and no session at any point."""
    *before, after = walk.held

    assert [[]] * 3 == [one.identities for one in before]
    assert [after.sessions] * 3 == [one.sessions for one in before]


def test_account(stack: Stack, walk: Walk) -> None:
    """Then it is whole: active, verified, marked, with its password and traits."""
    (identity,) = walk.held[-1].identities
    (mark,) = identity.address_ids

    assert "active" == identity.state
    assert identity.verified
    assert identity.has_password
    assert {"email": walk.address, **TRAITS} == identity.traits
    assert walk.done.signup.signup_id[:13] == mark[:13]
    assert {} == identity.metadata_admin
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

"""The questions of docs/answers.md, each answered by a real Kratos."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.config import Mutation
from devstack.waiting import wait_until
from tests.e2e.broken import without_hook
from tests.e2e.caller import refusal
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack, attached, new_address

SENT, PASSED = "sent_email", "passed_challenge"
CODE_SENT, EXISTS = 1040005, 4000007
SET = accounts_pb.PASSWORD_STATUS_SET
UNSET = accounts_pb.PASSWORD_STATUS_UNSET


def by_hand() -> Mutation:
    """Set Kratos up as those do who have no service in front of it: without hooks."""
    mutations = [without_hook("code"), without_hook("password")]

    def mutate(config: dict[str, Any]) -> None:
        for one in mutations:
            one(config)

    return mutate


@pytest.fixture(scope="module")
def plain(site: Site) -> Iterator[Stack]:
    """Give a Kratos that asks nobody; the service in front of it refuses to serve."""
    with site.stack(by_hand()) as made:
        yield made


class TestWhenIsTheAddressTaken:
    """When is the e-mail address taken?"""

    def test_in_kratos_alone(self, plain: Stack, address: str) -> None:
        """Not at the submission: two may submit it, and the first right code has it."""
        traits = {"email": address}
        flows = [plain.visitor.send_code(traits) for _ in range(2)]
        codes = [plain.code(address, number) for number in (1, 2)]
        after_submission = plain.admin.identities(address)
        first = plain.visitor.submit_code(flows[1].flow_id, traits, codes[1])
        (taken,) = plain.admin.identities(address)
        second = plain.visitor.submit_code(flows[0].flow_id, traits, codes[0])

        assert [(SENT, (CODE_SENT,))] * 2 == [(f.state, f.messages) for f in flows]
        assert [] == after_submission
        assert first.identity_id == taken.id
        assert EXISTS in second.messages
        # From here on nobody else can have it, and it was never finished.
        assert (True, False) == (taken.verified, taken.has_password)

    def test_here(self, stack: Stack, address: str) -> None:
        """At the password, and not a call sooner: any number may be under way."""
        tokens = [stack.proved(address) for _ in range(2)]
        proved = stack.admin.identities(address)
        done = stack.caller.set_password(tokens[1], GOOD_PASSWORD)
        late = stack.caller.set_password(tokens[0], "another " + GOOD_PASSWORD)
        (taken,) = stack.admin.identities(address)

        assert [] == proved
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == late.signup.state
        assert done.signup.identity_id == taken.id
        assert (True, True) == (taken.verified, taken.has_password)


class TestCanAnUnfinishedAccountExpire:
    """Can an unfinished account expire?"""

    def test_in_kratos_alone(self, plain: Stack, address: str) -> None:
        """No: what the code made stays, and turns away the person it belongs to."""
        traits = {"email": address}
        flow = plain.visitor.send_code(traits)
        plain.visitor.submit_code(flow.flow_id, traits, plain.code(address))
        again = plain.visitor.register_by_password(traits, GOOD_PASSWORD)

        assert EXISTS in again.messages
        assert not plain.visitor.login(address, GOOD_PASSWORD)

    def test_here(self, site: Site, stack: Stack, address: str) -> None:
        """There is none: the sign-up expires, and the address was free all along."""
        # The other server answers Kratos' hooks, for its keys are the same.
        keys = json.loads((stack.server.directory / "signupd.keys").read_text())
        (token_key,), digest_key = keys["token_keys"], keys["digest_key"]
        settings = {"TOKEN_KEYS": token_key, "DIGEST_KEY": digest_key}
        server = site.server(stack.kratos, settings=settings | {"PASSWORD_TTL": "1s"})
        with server, attached(stack.mailbox, stack.kratos, server) as hasty:
            token = hasty.proved(address)
            wait_until(lambda: _expired(hasty, token), "the sign-up lapses")
        held = stack.admin.identities(address)
        again = stack.registered(address)

        assert [] == held
        assert stack.admin.identity(again).has_password


def _expired(stack: Stack, token: str) -> bool:
    return stack.caller.get(token).signup.state == pb.SIGNUP_STATE_EXPIRED


class TestCanOneSeeWhetherAUserHasAPassword:
    """Can one see whether a user has a password?"""

    def test_here(self, plain: Stack, stack: Stack) -> None:
        """Yes, of any account, however it was made; a sign-up under way is none."""
        by_hand_address, address, waiting = new_address(), new_address(), new_address()
        traits = {"email": by_hand_address}
        flow = plain.visitor.send_code(traits)
        code = plain.code(by_hand_address)
        unfinished = plain.visitor.submit_code(flow.flow_id, traits, code)
        stack.registered(address)
        stack.proved(waiting)
        left = plain.caller.account(identity_id=unfinished.identity_id)
        whole = stack.caller.account(email=address)
        refused = refusal(stack.caller.account, email=waiting)

        assert (UNSET, True, False) == _told(left)
        assert (SET, True, True) == _told(whole)
        assert "ACCOUNT_NOT_FOUND" == refused.reason


def _told(account: accounts_pb.Account) -> tuple[int, bool, bool]:
    return account.password_status, account.email_verified, account.complete

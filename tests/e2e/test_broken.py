"""A Kratos that is set up in a way that cannot work."""

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.config import Mutation
from devstack.ports import free_ports
from tests.e2e.broken import (
    AFTER,
    REGISTRATION,
    hook_at,
    hook_for_all,
    hooks_swapped,
    second_code_identifier,
    setting,
    traits,
    unparsed_hook,
    without_hook,
)
from tests.e2e.caller import refusal
from tests.e2e.frail import Frail
from tests.e2e.holdings import identity_ids, make_account
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Log, new_address
from tests.refusal import Refusal

# What is broken, and the setting that the log must name.
PASSWORD_HOOKS = f"{AFTER}.password.hooks"
BEFORE_THE_MAIL = {
    "registration off": (
        setting(f"{REGISTRATION}.enabled", value=False),
        f"{REGISTRATION}.enabled",
    ),
    "password method off": (
        setting("selfservice.methods.password.enabled", value=False),
        "selfservice.methods.password.enabled",
    ),
    "no password hook": (without_hook("password"), PASSWORD_HOOKS),
    "password hook for all": (hook_for_all("password"), PASSWORD_HOOKS),
    "password hook unparsed": (unparsed_hook("password"), "after it had stored"),
    "hooks swapped": (hooks_swapped, "asks /kratos/code before"),
    "password hook dead": (hook_at("password", *free_ports(1)), PASSWORD_HOOKS),
    "two code identifiers": (traits(second_code_identifier), "code identifiers"),
}
# By the setting that the log must name.
AT_THE_MAIL = {
    "methods.code.enabled": setting("selfservice.methods.code", {"enabled": False}),
    # Kratos mails a code even then.
    "selfservice.methods.code.passwordless_enabled": setting(
        "selfservice.methods.code.passwordless_enabled", value=False
    ),
}


@pytest.mark.parametrize(
    ("mutation", "named"), BEFORE_THE_MAIL.values(), ids=BEFORE_THE_MAIL.keys()
)
def test_before_the_mail(
    site: Site, address: str, mutation: Mutation, named: str
) -> None:
    """No mail goes, nothing is left, and the log says which setting is wrong."""
    with site.stack(mutation) as broken:
        refusals = [refusal(broken.caller.start, address) for _ in range(2)]
        health = broken.caller.health_of()
        # With it end the proofs that it tries by itself.
        stopped = broken.server.stop()

        assert_incompatible(refusals)
        assert ("SERVING", 0) == (health, stopped)
        assert named in Log(broken.server).complaints()
        assert set() == identity_ids(broken.kratos)
        assert [] == broken.admin.courier_messages(address)


def test_at_the_mail(frail: Frail, address: str) -> None:
    """StartSignup refuses; nothing is left, and the log says which setting."""
    before, log = identity_ids(frail.stack.kratos), frail.stack.log()
    refusals = []
    for mutation in AT_THE_MAIL.values():
        frail.bend(mutation)
        refusals.append(refusal(frail.stack.caller.start, address))

    assert_incompatible(refusals)
    complaints = log.complaints(len(AT_THE_MAIL))
    assert list(AT_THE_MAIL) == [one for one in AT_THE_MAIL if one in complaints]
    assert before == identity_ids(frail.stack.kratos)


def test_at_the_code(frail: Frail) -> None:
    """What Kratos stores at the code is gone at once; nobody else's account is."""
    stack, log, taken = frail.stack, frail.stack.log(), new_address()
    account = make_account(stack.kratos, taken, GOOD_PASSWORD)
    before = stack.admin.identity(account), identity_ids(stack.kratos)
    refusals, after = [], []
    for break_hook in (without_hook, hook_for_all):
        frail.bend(break_hook("code"))
        for address in (new_address(), taken):
            count = len(stack.mailbox.mails_to(address)) + 1
            token = stack.caller.start(address).continuation_token
            code = stack.code(address, count)
            refusals.append(refusal(stack.caller.verify, token, code))
            after.append((stack.admin.identity(account), identity_ids(stack.kratos)))

    assert_incompatible(refusals)
    assert 4 == log.complaints(4).count(f"{AFTER}.code.hooks")
    assert [before] * 4 == after
    assert 0 == stack.admin.session_count(account)
    assert stack.visitor.login(taken, GOOD_PASSWORD)


def test_at_the_password(frail: Frail, address: str) -> None:
    """A hook that goes missing under way, after the proof, costs nothing but time.

    What Kratos stores without asking is gone at once, and when all is well again the
    same call completes.
    """
    stack, log = frail.stack, frail.stack.log()
    token, before = stack.proved(address), identity_ids(stack.kratos)
    refusals, left = [], []
    for break_hook in (without_hook, hook_for_all):
        frail.bend(break_hook("password"))
        refusals.append(refusal(stack.caller.set_password, token, GOOD_PASSWORD))
        left.append(identity_ids(stack.kratos))
    frail.mend()
    done = stack.caller.set_password(token, GOOD_PASSWORD)

    assert_incompatible(refusals)
    assert [20] * 2 == [
        one.signup and one.signup.password_attempts_remaining for one in refusals
    ]
    # And more, where the server had time to try its proof anew.
    assert 2 <= log.complaints(2).count(f"{AFTER}.password.hooks has no web_hook")
    assert [before] * 2 == left
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert stack.admin.identity(done.signup.identity_id).verified


def test_unparsed_at_the_password(frail: Frail, address: str) -> None:
    """An account whose approval Kratos does not parse stays, and the log complains."""
    stack, log = frail.stack, frail.stack.log()
    token = stack.proved(address)
    frail.bend(unparsed_hook("password"))
    done = stack.caller.set_password(token, GOOD_PASSWORD)
    account = stack.admin.identity(done.signup.identity_id)
    later = refusal(stack.caller.start, new_address())

    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert not account.verified
    assert ["error"] == [line["level"] for line in log.said("account_unverified", 1)]
    assert_incompatible([later])


def assert_incompatible(refusals: list[Refusal]) -> None:
    """Demand that callers learn that Kratos is set up wrongly, and not how."""
    sentence = "Ory Kratos is not set up for this service; its log says why."

    assert {"KRATOS_INCOMPATIBLE"} == {one.reason for one in refusals}
    assert {grpc.StatusCode.INTERNAL} == {one.code for one in refusals}
    assert {sentence} == {one.message for one in refusals}

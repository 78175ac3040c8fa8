"""A Kratos that does not run, or does not answer."""

import os
import signal
import time
from contextlib import closing

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.ports import free_ports
from tests.e2e.errors import Refusal, refusal
from tests.e2e.frail import Frail
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, attached

KRATOS_TIMEOUT_SECONDS = 1.0
# The way there and back, on a machine that has more to do.
SLACK_SECONDS = 5.0


def test_at_the_start(site: Site, address: str) -> None:
    """The server stays up without a Kratos, and works as soon as there is one.

    One that does not run is noticed at once, one that hangs after KRATOS_TIMEOUT.
    """
    (hook_port,) = free_ports(1)
    kratos = site.kratos(hook_port)
    settings = {"KRATOS_TIMEOUT": f"{KRATOS_TIMEOUT_SECONDS:.0f}s"}
    server = site.server(kratos, hook_port, settings)
    with closing(kratos), server, attached(site.mailbox, kratos, server) as stack:
        begun = time.monotonic()
        absent = refusal(stack.caller.start, address)
        absent_seconds = time.monotonic() - begun
        health = stack.caller.health_of()
        kratos.start()
        stack.registered(address)
        assert kratos.pid is not None
        os.kill(kratos.pid, signal.SIGSTOP)
        begun = time.monotonic()
        hanging = refusal(stack.caller.start, address)
        hanging_seconds = time.monotonic() - begun
        os.kill(kratos.pid, signal.SIGCONT)
        again = stack.caller.start(address)

        assert_unavailable(absent, hanging)
        assert absent_seconds < SLACK_SECONDS
        assert KRATOS_TIMEOUT_SECONDS <= hanging_seconds
        assert hanging_seconds < KRATOS_TIMEOUT_SECONDS + SLACK_SECONDS
        assert ("SERVING", "SERVING") == (health, stack.caller.health_of())
        assert pb.SIGNUP_STATE_CODE_REQUIRED == again.signup.state


def test_under_way(frail: Frail, address: str) -> None:
    """A sign-up outlives Kratos' absence: it can be looked at, and goes on."""
    stack = frail.stack
    started = stack.caller.start(address)
    token, code = started.continuation_token, stack.code(address)
    stack.kratos.kill()
    asked = stack.caller.get(token)
    refused_code = refusal(stack.caller.verify, token, code)
    stack.kratos.start()
    verified = stack.caller.verify(token, code)
    token = verified.continuation_token
    stack.kratos.kill()
    refused_password = refusal(stack.caller.set_password, token, GOOD_PASSWORD)
    waiting = stack.caller.get(token)
    stack.kratos.start()
    done = stack.caller.set_password(token, GOOD_PASSWORD)

    assert_unavailable(refused_code, refused_password)
    # Nobody can say what became of the mail.
    assert started.signup == asked.signup
    assert verified.signup == waiting.signup
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert stack.visitor.login(address, GOOD_PASSWORD)


def assert_unavailable(*refusals: Refusal) -> None:
    """Demand that callers are told to come again, and when."""
    assert {"KRATOS_UNAVAILABLE"} == {one.reason for one in refusals}
    assert {grpc.StatusCode.UNAVAILABLE} == {one.status for one in refusals}
    assert all(one.retry_seconds for one in refusals)

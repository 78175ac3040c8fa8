"""A Kratos that does not run, or does not answer."""

import os
import signal
from contextlib import closing

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.ports import free_ports
from tests.e2e.caller import refusal
from tests.e2e.site import Site
from tests.e2e.stack import attached


def test_at_the_start(site: Site, address: str) -> None:
    """The server stays up without a Kratos, and works as soon as there is one.

    It is so with a Kratos that does not run, and with one that hangs.
    """
    (hook_port,) = free_ports(1)
    kratos = site.kratos(hook_port)
    server = site.server(kratos, hook_port, {"KRATOS_TIMEOUT": "1s"})
    with closing(kratos), server, attached(site.mailbox, kratos, server) as stack:
        absent = refusal(stack.caller.start, address)
        health = stack.caller.health_of()
        kratos.start()
        stack.registered(address)
        assert kratos.pid is not None
        os.kill(kratos.pid, signal.SIGSTOP)
        hanging = refusal(stack.caller.start, address)
        os.kill(kratos.pid, signal.SIGCONT)
        again = stack.caller.start(address)

        assert ["KRATOS_UNAVAILABLE"] * 2 == [absent.reason, hanging.reason]
        assert [grpc.StatusCode.UNAVAILABLE] * 2 == [absent.code, hanging.code]
        assert all((absent.retry_seconds, hanging.retry_seconds))
        assert ("SERVING", "SERVING") == (health, stack.caller.health_of())
        assert pb.SIGNUP_STATE_CODE_REQUIRED == again.signup.state

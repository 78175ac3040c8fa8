"""The canary's client, against a running server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from signupd.check.client import CallRefusedError
from signupd.cli.canary import CanaryClient
from signupd.client.calls import Signups
from signupd.client.channel import open_channel

from devstack.ports import free_ports
from tests.integration.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.world import World

ADDRESS = "canary@example.com"


@contextmanager
def calling(port: int) -> Iterator[CanaryClient]:
    """Call the server at a port; repeats are made at once."""
    with open_channel(f"127.0.0.1:{port}", None) as channel:
        yield CanaryClient(Signups(channel, lambda _seconds: None))


async def test_whole_way(world: World) -> None:
    """Each call is made, and its answer read."""
    replica = await world.serve()
    with calling(replica.service.port) as client:
        started = await client.start(ADDRESS, {"name": "Canary"})
        looked = await client.get(started.token)
        verified = await client.verify(started.token, world.kratos.code_for(ADDRESS))
        done = await client.set_password(verified.token, PASSWORD)

    assert ["CODE_REQUIRED", "CODE_REQUIRED", "PASSWORD_REQUIRED", "COMPLETED"] == [
        step.state for step in (started, looked, verified, done)
    ]
    assert ("UNSPECIFIED", "SENT") == (started.delivery, looked.delivery)
    assert 1 == len({started.signup_id, looked.signup_id, done.signup_id})
    assert ("", True) == (done.token, bool(verified.token))
    assert verified.token not in repr(verified)


async def test_cancel(world: World) -> None:
    """A sign-up can be cancelled."""
    replica = await world.serve()
    with calling(replica.service.port) as client:
        started = await client.start(ADDRESS, {})
        cancelled = await client.cancel(started.token)

    assert "CANCELLED" == cancelled.state


async def test_refused(world: World) -> None:
    """What refuses a call is named as the contract has it."""
    replica = await world.serve()
    port = replica.service.port
    with pytest.raises(CallRefusedError) as caught, calling(port) as client:
        await client.get("no-token")

    assert ("TOKEN_INVALID", "INVALID_ARGUMENT") == (
        caught.value.reason,
        caught.value.status,
    )


async def test_nobody_there() -> None:
    """Where nobody answers there is no reason but gRPC's own."""
    (port,) = free_ports(1)
    with pytest.raises(CallRefusedError) as caught, calling(port) as client:
        await client.start(ADDRESS, {})

    assert ("", "UNAVAILABLE") == (caught.value.reason, caught.value.status)

"""The canary's client, against a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from signupd.check.client import CallRefusedError
from signupd.cli.canary import CanaryClient, Tls

from devstack.ports import free_ports
from tests.doubles.authority import Authority, dns
from tests.integration.world import PASSWORD

if TYPE_CHECKING:
    from tests.integration.world import World

ADDRESS = "canary@example.com"
AUTHORITY = Authority()


async def test_whole_way(world: World) -> None:
    """Each call is made, and its answer read."""
    replica = await world.serve()
    async with CanaryClient(f"127.0.0.1:{replica.service.port}", None) as client:
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
    async with CanaryClient(f"0.0.0.0:{replica.service.port}", None) as client:
        started = await client.start(ADDRESS, {})
        cancelled = await client.cancel(started.token)

    assert "CANCELLED" == cancelled.state


async def test_refused(world: World) -> None:
    """What refuses a call is named as the contract has it."""
    replica = await world.serve()
    async with CanaryClient(f"127.0.0.1:{replica.service.port}", None) as client:
        with pytest.raises(CallRefusedError) as caught:
            await client.get("no-token")

    assert ("TOKEN_INVALID", "INVALID_ARGUMENT") == (
        caught.value.reason,
        caught.value.status,
    )


async def test_nobody_there() -> None:
    """Where nobody answers there is no reason but gRPC's own."""
    async with CanaryClient(f"127.0.0.1:{free_ports(1)[0]}", None) as client:
        with pytest.raises(CallRefusedError) as caught:
            await client.start(ADDRESS, {})

    assert ("", "UNAVAILABLE") == (caught.value.reason, caught.value.status)


async def test_certificates(world: World) -> None:
    """A server that demands certificates is known by one, and is shown another."""
    files = AUTHORITY.serve_from(world.directory)
    replica = await world.serve(
        tls_cert=files.cert, tls_key=files.key, tls_client_ca=files.client_ca
    )
    own = AUTHORITY.issue(dns("canary.example"))
    cert, key = world.directory / "canary.crt", world.directory / "canary.key"
    own.write(cert, key)
    ca = world.directory / "authority.crt"
    ca.write_bytes(AUTHORITY.pem)
    target = f"localhost:{replica.service.port}"
    async with CanaryClient(target, Tls(ca, cert, key)) as client:
        started = await client.start(ADDRESS, {})

    assert "CODE_REQUIRED" == started.state

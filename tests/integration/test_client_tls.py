"""The terminal's client over TLS, to the service itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from signupd.client.calls import Answer, Signups
from signupd.client.channel import Tls, open_channel
from signupd.client.refusal import Refusal

from tests.doubles.authority import Authority, uri

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.world import World

ANN = "ann@example.com"
AUTHORITY = Authority()
ME = AUTHORITY.issue(uri("spiffe://example.org/me"))


@pytest.fixture
def mine(tmp_path: Path) -> Tls:
    """Lay out the client's files."""
    folder = tmp_path / "client"
    folder.mkdir()
    files = Tls(folder / "ca.crt", folder / "me.crt", folder / "me.key")
    (folder / "ca.crt").write_bytes(AUTHORITY.pem)
    ME.write(folder / "me.crt", folder / "me.key")
    return files


async def outcome(port: int, tls: Tls | None) -> Answer | Refusal:
    """Begin a sign-up, in a thread of its own."""

    def call() -> Answer | Refusal:
        with open_channel(f"127.0.0.1:{port}", tls) as channel:
            return Signups(channel, lambda _seconds: None).start(ANN, {})

    return await asyncio.to_thread(call)


async def test_server_is_known(world: World, tmp_path: Path, mine: Tls) -> None:
    """A server is talked to by who trusts its authority, and by nobody else."""
    theirs = AUTHORITY.serve_from(tmp_path)
    replica = await world.serve(tls_cert=theirs.cert, tls_key=theirs.key)
    port = replica.service.port
    trusting, strange, plain = [
        await outcome(port, tls) for tls in (Tls(mine.ca), Tls(), None)
    ]

    assert isinstance(trusting, Answer)
    assert "a***@example.com" == trusting.signup.masked_email
    assert isinstance(strange, Refusal)
    assert isinstance(plain, Refusal)
    assert [grpc.StatusCode.UNAVAILABLE] * 2 == [strange.status, plain.status]


async def test_caller_is_known(world: World, tmp_path: Path, mine: Tls) -> None:
    """Where the server wants a certificate, ours is shown."""
    theirs = AUTHORITY.serve_from(tmp_path)
    replica = await world.serve(
        tls_cert=theirs.cert, tls_key=theirs.key, tls_client_ca=theirs.client_ca
    )
    port = replica.service.port
    known, unknown = [await outcome(port, tls) for tls in (mine, Tls(mine.ca))]

    assert isinstance(known, Answer)
    assert isinstance(unknown, Refusal)


async def test_caller_who_may_not(world: World, tmp_path: Path, mine: Tls) -> None:
    """Whose certificate is not listed is told so, by reason."""
    theirs = AUTHORITY.serve_from(tmp_path)
    replica = await world.serve(
        tls_cert=theirs.cert,
        tls_key=theirs.key,
        tls_client_ca=theirs.client_ca,
        callers='{"spiffe://example.org/other": ["SignupService"]}',
    )
    refused = await outcome(replica.service.port, mine)

    assert isinstance(refused, Refusal)
    assert "CALLER_NOT_PERMITTED" == refused.reason

"""``signupd signup`` and the channel of clients over TLS, to the service itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from signupd.cli import app
from signupd.client.channel import Tls, open_channel
from typer.testing import CliRunner

from tests.doubles.authority import Authority, uri

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.world import World

ANN = "ann@example.com"
AUTHORITY = Authority()
ME = AUTHORITY.issue(uri("spiffe://example.org/me"))
OTHERS = '{"spiffe://example.org/other": ["SignupService"]}'
# A client trusts an authority, shows a certificate, neither, or speaks plaintext; the
# server demands a certificate, or not.
CASES = [
    ("trust", False, grpc.StatusCode.OK),
    ("nothing", False, grpc.StatusCode.UNAVAILABLE),
    ("plaintext", False, grpc.StatusCode.UNAVAILABLE),
    ("certificate", True, grpc.StatusCode.OK),
    ("trust", True, grpc.StatusCode.UNAVAILABLE),
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Tls | None]:
    """Lay out a client's files."""
    folder = tmp_path / "client"
    folder.mkdir()
    mine = Tls(folder / "ca.crt", folder / "me.crt", folder / "me.key")
    (folder / "ca.crt").write_bytes(AUTHORITY.pem)
    ME.write(folder / "me.crt", folder / "me.key")
    return {
        "certificate": mine,
        "trust": Tls(mine.ca),
        "nothing": Tls(),
        "plaintext": None,
    }


async def serve(world: World, folder: Path, *, mutual: bool, callers: str = "") -> int:
    """Start a server with a certificate; give its port."""
    made = AUTHORITY.serve_from(folder)
    given: dict[str, Any] = {"callers": callers} if callers else {}
    if mutual:
        given["tls_client_ca"] = made.client_ca
    replica = await world.serve(tls_cert=made.cert, tls_key=made.key, **given)
    return replica.service.port


@pytest.mark.parametrize(("shown", "mutual", "expected"), CASES)
async def test_channel(  # noqa: PLR0913 - a case and where it is tried
    world: World,
    tmp_path: Path,
    files: dict[str, Tls | None],
    shown: str,
    *,
    mutual: bool,
    expected: grpc.StatusCode,
) -> None:
    """Only those talk who trust each other's authority, as far as it is demanded."""
    port = await serve(world, tmp_path, mutual=mutual)

    def call() -> grpc.StatusCode:
        with open_channel(f"127.0.0.1:{port}", files[shown]) as channel:
            request = pb.StartSignupRequest(email=ANN)
            _, done = SignupServiceStub(channel).StartSignup.with_call(request)
            return done.code()

    try:
        code = await asyncio.to_thread(call)
    except grpc.RpcError as error:
        code = error.code()

    assert expected is code


@pytest.mark.parametrize(
    ("callers", "said"),
    [("", "A code was mailed to a***@example.com."), (OTHERS, "CALLER_NOT_PERMITTED")],
)
async def test_command(
    world: World,
    tmp_path: Path,
    files: dict[str, Tls | None],
    callers: str,
    said: str,
) -> None:
    """The command takes the files; a certificate that may not call is told so."""
    port = await serve(world, tmp_path, mutual=True, callers=callers)
    mine = files["certificate"]
    assert mine is not None
    options = ["--ca", mine.ca, "--cert", mine.cert, "--key", mine.key]
    command = ["signup", "--target", f"127.0.0.1:{port}", "--email", ANN, *options]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*map(str, command)])

    assert said in done.stdout

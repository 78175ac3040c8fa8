"""``signupd signup`` and the channel of clients over TLS, to the service itself."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from signupd.cli import app
from signupd.client.channel import Tls, open_channel
from typer.testing import CliRunner

from tests.doubles.authority import Authority, uri
from tests.integration.world import World

ANN = "ann@example.com"
AUTHORITY = Authority()
ME = AUTHORITY.issue(uri("spiffe://example.org/me"))
Files = dict[str, Tls | None]
Case = tuple[str, bool, grpc.StatusCode]
# What the client has, whether the server demands a certificate, and the outcome.
CASES = [
    ("trust", False, grpc.StatusCode.OK),
    ("nothing", False, grpc.StatusCode.UNAVAILABLE),
    ("plaintext", False, grpc.StatusCode.UNAVAILABLE),
    ("certificate", True, grpc.StatusCode.OK),
    ("trust", True, grpc.StatusCode.UNAVAILABLE),
]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write a client's files."""
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


async def serve(world: World, folder: Path, *, mutual: bool) -> int:
    """Start a server with a certificate; return its port."""
    made = AUTHORITY.serve_from(folder)
    replica = await world.serve(
        tls_cert=made.cert,
        tls_key=made.key,
        tls_client_ca=made.client_ca if mutual else None,
    )
    return replica.service.port


@pytest.mark.parametrize("case", CASES)
async def test_channel(world: World, tmp_path: Path, files: Files, case: Case) -> None:
    """A call succeeds only if each side trusts what the other must show."""
    shown, mutual, expected = case
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


async def test_command(
    world: World, tmp_path: Path, files: dict[str, Tls | None]
) -> None:
    """The command passes the files on."""
    port = await serve(world, tmp_path, mutual=True)
    mine = files["certificate"]
    assert mine is not None
    options = ["--ca", mine.ca, "--cert", mine.cert, "--key", mine.key]
    command = ["signup", "--target", f"127.0.0.1:{port}", "--email", ANN, *options]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*map(str, command)])

    assert "A code was mailed to a***@example.com." in done.stdout


@pytest.mark.parametrize("shown", ["plaintext", "nothing", "trust"])
async def test_canary(
    world: World,
    tmp_path: Path,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    shown: str,
) -> None:
    """The canary finds a server with TLS by --target and --ca, or says to give them.

    The settings of the check need not have the server's certificate.
    """
    port = await serve(world, tmp_path, mutual=False)
    own = world.settings().model_dump(mode="json")
    for name in ("kratos_public_url", "kratos_admin_url", "kratos_ca"):
        monkeypatch.setenv(f"SIGNUPD_{name.upper()}", own[name])
    if shown == "nothing":
        made = AUTHORITY.serve_from(tmp_path)
        monkeypatch.setenv("SIGNUPD_TLS_CERT", str(made.cert))
        monkeypatch.setenv("SIGNUPD_TLS_KEY", str(made.key))
    ca = ["--ca", str(tmp_path / "client" / "ca.crt")] if shown == "trust" else []
    words = ["check", "--json", "--canary", ANN, "--target", f"127.0.0.1:{port}", *ca]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    start = found["canary_start"]

    assert ("ok" if ca else "error") == start["severity"]
    assert bool(ca) is not ("--target" in start["cure"] and "--ca" in start["cure"])
    assert ca or "gRPC says: " in start["why"]

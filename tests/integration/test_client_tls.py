"""``signupd signup`` and the canary over TLS, to the service itself."""

import asyncio
import json
from pathlib import Path

import pytest
from signupd.cli import app
from signupd.client.channel import Tls
from typer.testing import CliRunner

from tests.doubles.authority import Authority, uri
from tests.integration.world import World

ANN = "ann@example.com"
AUTHORITY = Authority()
ME = AUTHORITY.issue(uri("spiffe://example.org/me"))


@pytest.fixture
def mine(tmp_path: Path) -> Tls:
    """Write a client's files."""
    folder = tmp_path / "client"
    folder.mkdir()
    made = Tls(folder / "ca.crt", folder / "me.crt", folder / "me.key")
    (folder / "ca.crt").write_bytes(AUTHORITY.pem)
    ME.write(folder / "me.crt", folder / "me.key")
    return made


async def serve(world: World, folder: Path, *, mutual: bool) -> int:
    """Start a server with a certificate; return its port."""
    made = AUTHORITY.serve_from(folder)
    replica = await world.serve(
        tls_cert=made.cert,
        tls_key=made.key,
        tls_client_ca=made.client_ca if mutual else None,
    )
    return replica.service.port


async def test_command(world: World, tmp_path: Path, mine: Tls) -> None:
    """The command passes the files on."""
    port = await serve(world, tmp_path, mutual=True)
    options = ["--ca", mine.ca, "--cert", mine.cert, "--key", mine.key]
    command = ["signup", "--target", f"127.0.0.1:{port}", "--email", ANN, *options]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*map(str, command)])

    assert "A code was mailed to a***@example.com." in done.stdout


@pytest.mark.parametrize("shown", ["plaintext", "nothing", "trust"])
async def test_canary(
    world: World, tmp_path: Path, mine: Tls, monkeypatch: pytest.MonkeyPatch, shown: str
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
    ca = ["--ca", str(mine.ca)] if shown == "trust" else []
    words = ["check", "--json", "--canary", ANN, "--target", f"127.0.0.1:{port}", *ca]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    start = found["canary_start"]

    assert ("ok" if ca else "error") == start["severity"]
    assert bool(ca) is not ("--target" in start["cure"] and "--ca" in start["cure"])
    assert ca or "gRPC says: " in start["why"]

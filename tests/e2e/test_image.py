"""The image: built as deploy/README.md says, and run without root's rights."""

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator

import pytest

from devstack.ports import free_ports
from tests.documented import ROOT
from tests.e2e.image import Container, base_image, built_image, container_of
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Log, Stack, attached

pytestmark = pytest.mark.skipif(
    shutil.which("buildah") is None,
    reason="buildah is not installed, which builds and runs the image without a daemon",
)
# As Python sees what is installed beside it.
LIST = """
import importlib.metadata, json
print(json.dumps({one.name: one.version for one in importlib.metadata.distributions()}))
"""


@pytest.fixture(scope="module")
def stack(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a server from the image, in front of a Kratos."""
    directory = tmp_path_factory.mktemp("image")
    base = base_image(directory, os.environ)
    kratos = site.kratos(free_ports(1)[0])
    hook_port = int(kratos.hook_url.rpartition(":")[2])
    with built_image(base, directory) as image, container_of(image) as container:
        server = Container(
            container,
            public_url=kratos.public_url,
            admin_url=kratos.admin_url,
            hook_port=hook_port,
            directory=tmp_path_factory.mktemp("signupd"),
        )
        with kratos, server, attached(site.mailbox, kratos, server) as made:
            yield made


@pytest.fixture
def server(stack: Stack) -> Container:
    """Give the server, which is known to be one."""
    assert isinstance(stack.server, Container)
    return stack.server


def test_signup(stack: Stack, address: str) -> None:
    """Its server signs somebody up, on a root file system that is read-only."""
    stack.registered(address)

    assert stack.visitor.login(address, GOOD_PASSWORD)
    assert "0.1.0" == Log(stack.server).said("starting")[0]["version"]


def test_rights(server: Container) -> None:
    """It runs as a user of its own, who can write in its volume and nowhere else."""
    tried = server.inside("sh", "-c", "id -u; pwd; ls; touch /tmp/one")
    seek = "find / -xdev ! -type l -writable ! -path '/proc*' ! -path '/dev*'"
    writable = server.inside("sh", "-c", f"{seek} 2>/dev/null").stdout.split()

    user, place, *names = tried.stdout.split()
    assert "10001" == user
    assert {"signupd.db", "signupd.keys"} <= {*names}
    assert "Read-only file system" in tried.stderr
    assert [place] == writable == [*server.config["Volumes"]]
    assert "10001:10001" == server.config["User"]


def test_healthcheck(server: Container) -> None:
    """Its HEALTHCHECK is a command that tells a server that serves from none."""
    kind, *command = server.config["Healthcheck"]["Test"]
    serving = server.inside(*command)
    elsewhere = f"SIGNUPD_METRICS_LISTEN=127.0.0.1:{free_ports(1)[0]}"
    none = server.inside("env", elsewhere, *command)

    assert "CMD" == kind
    assert "ready\n" == serving.stdout
    assert "signupd: no answer at 127.0.0.1:" in none.stderr


def test_locked(server: Container) -> None:
    """Just what uv.lock names is installed, and the SBOM lists it."""
    python = server.inside("/opt/signupd/bin/python", "-I", "-c", LIST)
    installed = {_plain(n): v for n, v in json.loads(python.stdout).items()}
    text = server.inside("cat", "/opt/signupd/sbom.cdx.json").stdout
    listed = {one["name"]: one["version"] for one in json.loads(text)["components"]}
    lock = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {one["name"]: one["version"] for one in lock}

    assert "0.1.0" == installed.pop("signupd")
    assert installed.items() <= listed.items() <= locked.items()
    assert {"grpcio", "psycopg-binary"} <= installed.keys()
    assert {"pip", "uv", "hatchling", "pytest"}.isdisjoint(installed)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_stop_and_start(stack: Stack, server: Container, address: str) -> None:
    """Told to stop it drains; another start finds the ledger in the volume."""
    started = stack.caller.start(address)
    server.stop()
    log = server.log()
    server.start()
    found = stack.caller.get(started.continuation_token)

    assert '"event": "stopped"' in log
    assert started.signup.signup_id == found.signup.signup_id


def test_labels(server: Container) -> None:
    """Its labels say what it is, and its ports are those of the settings."""
    labels = server.config["Labels"]
    variables = dict(one.split("=", 1) for one in server.config["Env"])
    listens = [v for n, v in variables.items() if n.endswith("LISTEN")]

    assert "0.1.0" == labels["org.opencontainers.image.version"]
    assert "Apache-2.0" == labels["org.opencontainers.image.licenses"]
    assert {f"{one.split(':')[1]}/tcp" for one in listens} == {
        *server.config["ExposedPorts"]
    }

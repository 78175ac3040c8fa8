"""deploy/compose.yaml: read by Compose's own library, and its parts run as processes.

No engine for containers is needed: each part is started as the file says, with the
names of the containers replaced by loopback, and a sign-up goes through all of them.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
import yaml

from devstack.binary import KRATOS_DIRECTORY
from devstack.config import inherited
from devstack.ports import LOOPBACK, free_ports, is_served
from devstack.postgres import Postgres
from devstack.process import Process
from devstack.server import Signupd
from tests.documented import ROOT, blocks, shell
from tests.e2e.site import Site
from tests.gotools import go_tool

COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
FILE = ROOT / "deploy" / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


class Server(Process):
    """A server of which nothing is known but its command and a port."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], port: int
    ) -> None:
        super().__init__(name)
        self._command, self._environment, self._port = command, environment, port

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._serve(self._command, self._environment, lambda: is_served(self._port))


def test_schema() -> None:
    """Compose's library, which has the schema of the specification, takes the file."""
    program = go_tool(COMPOSE_GO)
    done = subprocess.run(  # noqa: S603 - our own file
        [program, FILE], check=False, capture_output=True, text=True, cwd=ROOT
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert {*SERVICES} == {*yaml.safe_load(done.stdout)["services"]}


class Parts:
    """The parts of the file, on this machine.

    Args:
        site: Has the Kratos.
        postgres: Runs, and is empty.
        directory: For what the parts write.
    """

    def __init__(self, site: Site, postgres: Postgres, directory: Path) -> None:
        self._binary = site.binary
        self._postgres = postgres
        self._directory = directory
        names = ("hook", "public", "admin", "rpc", "smtp", "mails")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))

    @contextmanager
    def up(self) -> Iterator[Self]:
        """Start all of them, in the order of the file."""
        with ExitStack() as resources:
            self._make_secrets()
            self._make_databases()
            resources.enter_context(self._mailpit())
            resources.enter_context(self._kratos())
            signupd = self._signupd()
            resources.callback(signupd.close)
            signupd.migrate()
            signupd.start()
            yield self

    def here(self, text: str) -> str:
        """Replace the names of containers, and of their places, in a text."""
        ports, run = self.ports, self._directory
        postgres = f"{LOOPBACK}:{self._postgres.port}"
        for name, place in {
            "http://signupd:9465": f"http://{LOOPBACK}:{ports['hook']}",
            "http://kratos:4433": f"http://{LOOPBACK}:{ports['public']}",
            "http://kratos:4434": f"http://{LOOPBACK}:{ports['admin']}",
            "postgres:5432": postgres,
            "mailpit:1025": f"{LOOPBACK}:{ports['smtp']}",
            "127.0.0.1:8025": f"{LOOPBACK}:{ports['mails']}",
            "127.0.0.1:50051": f"{LOOPBACK}:{ports['rpc']}",
            "host: 0.0.0.0": f"host: {LOOPBACK}",
            "/etc/compose": str(ROOT / "deploy" / "compose"),
            "/etc/kratos": str(KRATOS_DIRECTORY),
            "/run/made": str(run / "made"),
        }.items():
            text = text.replace(name, place)
        return text

    def _make_secrets(self) -> None:
        """Run the container that makes them, twice: the second run changes nothing."""
        service = SERVICES["secrets"]
        words = [
            self.here(one) for one in (*service["entrypoint"], *service["command"])
        ]
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        made = [self._directory / name for name in ("made", "made-for-kratos")]
        seen = []
        for _ in range(2):
            for one in made:
                one.mkdir(exist_ok=True)
            subprocess.run(words, check=True, env=inherited() | {"PATH": path})  # noqa: S603
            seen.append([f.read_text() for one in made for f in sorted(one.iterdir())])
        file = made[1] / "kratos.yml"
        text = file.read_text()
        file.write_text(self.here(text))

        assert seen[0] == seen[1]
        assert 4 == len(set(seen[0]))
        assert "MADE_" not in str(yaml.safe_load(text))

    def _make_databases(self) -> None:
        statements = COMPOSE["configs"]["databases"]["content"].split(";\n")
        url = f"{self._postgres.url}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in filter(None, statements):
                # The superuser of this PostgreSQL has that name already.
                if "ROLE signupd" not in statement:
                    connection.execute(statement)

    def _mailpit(self) -> Server:
        version = SERVICES["mailpit"]["image"].partition(":")[2]
        program = go_tool(f"github.com/axllent/mailpit@{version}")
        smtp, mails = self.ports["smtp"], self.ports["mails"]
        listen = [f"--smtp={LOOPBACK}:{smtp}", f"--listen={LOOPBACK}:{mails}"]
        return Server("Mailpit", [str(program), *listen], inherited(), mails)

    def _kratos(self) -> Server:
        environment = inherited() | {
            name: self.here(value)
            for name, value in SERVICES["kratos"]["environment"].items()
        }
        for name in ("public", "admin"):
            environment[f"SERVE_{name.upper()}_PORT"] = str(self.ports[name])
        command = {
            name: [
                str(self._binary),
                *self.here(
                    SERVICES[name]["command"].replace(
                        "/run/made", "/run/made-for-kratos"
                    )
                ).split(),
            ]
            for name in ("kratos-migrate", "kratos")
        }
        # Relative paths start at working_dir.
        subprocess.run(  # noqa: S603 - the command of the file
            command["kratos-migrate"],
            check=True,
            capture_output=True,
            cwd=KRATOS_DIRECTORY,
            env=environment,
        )
        within = ["/usr/bin/env", f"--chdir={KRATOS_DIRECTORY}", *command["kratos"]]
        return Server("Kratos", within, environment, self.ports["admin"])

    def _signupd(self) -> Signupd:
        variables = SERVICES["signupd"]["environment"]
        given = {
            name.removeprefix("SIGNUPD_"): self.here(value)
            for name, value in variables.items()
        }
        directory = self._directory / "signupd"
        directory.mkdir()
        return Signupd(
            given["KRATOS_PUBLIC_URL"],
            given["KRATOS_ADMIN_URL"],
            hook_port=self.ports["hook"],
            port=self.ports["rpc"],
            directory=directory,
            settings=given,
        )


def test_documented_signup(site: Site, grpcurl: Path, tmp_path: Path) -> None:
    """The sign-up of deploy/README.md: by grpcurl, with the code from Mailpit."""
    path = f"{grpcurl.parent}{os.pathsep}{os.environ['PATH']}"
    _, _, signup = blocks("deploy/README.md")
    assert shutil.which("curl")
    with Postgres() as postgres, Parts(site, postgres, tmp_path).up() as parts:
        done = shell(parts.here(signup), tmp_path, **inherited() | {"PATH": path})

    assert (0, "") == (done.returncode, done.stderr)
    assert re.search('"state": "SIGNUP_STATE_COMPLETED"', done.stdout)


@pytest.mark.parametrize("name", ["alerts.yml"])
def test_prometheus(name: str) -> None:
    """Prometheus is told of the rules where they are mounted."""
    config = yaml.safe_load((FILE.parent / "compose" / "prometheus.yml").read_text())
    mounts = dict(one.split(":")[:2] for one in SERVICES["prometheus"]["volumes"])
    places = [f"{target}/{name}" for target in mounts.values()]

    assert set(config["rule_files"]) <= {*places}
    assert (FILE.parent / "prometheus" / name).exists()

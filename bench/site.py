"""Where benchmarks take place: the servers, and the cores they run on."""

from __future__ import annotations

import base64
import secrets
import socket
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench import floor, instant
from bench.meter import cores, on_cores
from devstack.binary import KRATOS_DIRECTORY, kratos_binary
from devstack.config import KratosConfig, inherited
from devstack.kratos import Kratos
from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres
from devstack.process import Process
from devstack.server import Signupd
from devstack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)
BEFORE, NOW = "before", "now"
KEY_BYTES = 32
CONNECT_SECONDS = 1.0
# As kratos.yml advises.
KRATOS_POOL = "?sslmode=disable&max_conns=20&max_idle_conns=20"


class Program(Process):
    """A script of the benchmarks that serves on a loopback port.

    Args:
        file: The script.
        arguments: Its arguments; the first is the port.
    """

    def __init__(self, file: str, *arguments: str) -> None:
        super().__init__(Path(file).stem)
        self._command = [sys.executable, file, *arguments]
        self.port = int(arguments[0])

    def start(self) -> None:
        """Start the script and wait until it takes connections."""
        self._serve(self._command, inherited(), self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under load: signupd, or the floor.

    Attributes:
        target: Where it serves, `HOST:PORT`.
        process: It can be stopped and started again.
        database_pid: The ledger's server, where it has one.
        ledger_url: Of its ledger, where it has one.
    """

    target: str
    process: Process
    database_pid: int | None = None
    ledger_url: str = ""

    @property
    def pid(self) -> int:
        """The process; it runs."""
        if self.process.pid is None:
            raise AssertionError("the server does not run")
        return self.process.pid


@dataclass(frozen=True, slots=True)
class Behind:
    """A Kratos, for signupd to stand in front of.

    Attributes:
        public_url: Its public API.
        admin_url: Its admin API.
        hook: The port at which it calls its hooks.
        pid: Its process.
    """

    public_url: str
    admin_url: str
    hook: int
    pid: int


class Site:
    """What benchmarks share. A context manager.

    The servers that are measured have a core of their own. The benchmark itself, the
    load, the databases and what stands in for Kratos are on the others.

    Args:
        before: The interpreter of an environment that has another version of signupd,
            to be measured beside this one.

    Attributes:
        versions: The interpreter of each version, by BEFORE and NOW.
    """

    def __init__(self, before: str | None = None) -> None:
        self._resources = ExitStack()
        self.measured, self.rest = cores()
        other = {} if before is None else {BEFORE: before}
        self.versions: dict[str, str] = {**other, NOW: sys.executable}

    def __enter__(self) -> Self:
        self._resources.enter_context(on_cores(self.rest))
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL that waits for the disk, as in production."""
        return self._resources.enter_context(Postgres(durable=True))

    @property
    def postgres_pid(self) -> int:
        """The process that all others of PostgreSQL are children of."""
        return self.postgres.pid or 0

    @property
    def all_cores(self) -> set[int]:
        """Where everything is that has no core of its own."""
        return self.measured | self.rest

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """Let PostgreSQL, and all that is started meanwhile, run everywhere."""
        # Those that serve PostgreSQL's connections inherit its cores.
        with (
            on_cores(self.all_cores, self.postgres_pid),
            on_cores(self.all_cores),
        ):
            yield

    @contextmanager
    def floor(self) -> Iterator[Server]:
        """Run the floor's server."""
        program = Program(floor.__file__, str(free_ports(1)[0]))
        with ExitStack() as resources:
            with on_cores(self.measured):
                resources.enter_context(program)
            yield Server(target=f"{LOOPBACK}:{program.port}", process=program)

    @contextmanager
    def instant(
        self,
        database: str,
        version: str = NOW,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[Server]:
        """Run signupd in front of a Kratos that answers at once.

        Args:
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
        """
        port, hook = free_ports(2)
        url = f"http://{LOOPBACK}:{port}"
        with self.stand_in(port, hook) as kratos:
            behind = Behind(url, url, hook, kratos.pid or 0)
            with self.signupd(behind, database, version, settings) as served:
                yield served

    def stand_in(self, port: int, hook: int) -> Program:
        """Make a Kratos that answers at once, and answers the hooks of another one.

        Args:
            port: Where it serves.
            hook: The port at which it calls its own hooks.
        """
        schema = KRATOS_DIRECTORY / "identity.schema.json"
        hook_url = f"http://{LOOPBACK}:{hook}"
        return Program(instant.__file__, str(port), hook_url, str(schema))

    @contextmanager
    def kratos(self, smtp_uri: str) -> Iterator[Behind]:
        """Run a real Kratos, set up as kratos.yml has it, on PostgreSQL.

        Args:
            smtp_uri: Where its mails go.
        """
        (hook,) = free_ports(1)
        database = self.postgres.create_database(f"kratos_{secrets.token_hex(4)}")
        config = KratosConfig(
            hook_url=f"http://{LOOPBACK}:{hook}",
            smtp_uri=smtp_uri,
            dsn=f"{database}{KRATOS_POOL}",
        )
        with Kratos(kratos_binary(), config) as kratos:
            yield Behind(kratos.public_url, kratos.admin_url, hook, kratos.pid or 0)

    @contextmanager
    def signupd(
        self,
        behind: Behind,
        database: str,
        version: str = NOW,
        settings: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> Iterator[Server]:
        """Run signupd in front of a Kratos, with a ledger of its own.

        Args:
            behind: The Kratos.
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
            cores: Where it runs, if not on the core of what is measured.
        """
        server = Signupd(
            behind.public_url,
            behind.admin_url,
            hook_port=behind.hook,
            settings={**self._ledger(database), **(settings or {})},
            python=self.versions[version],
        )
        with ExitStack() as resources:
            resources.callback(server.close)
            if database == POSTGRESQL:
                server.migrate()
            with on_cores(cores or self.measured):
                server.start()
            # It sends no mail before.
            wait_until(lambda: "password_hook_proved" in server.log(), "the hook")
            yield Server(
                target=server.target,
                process=server,
                database_pid=self.postgres_pid if database == POSTGRESQL else None,
                ledger_url=server.settings["LEDGER_URL"],
            )

    def _ledger(self, database: str) -> dict[str, str]:
        """Give the settings that name a new ledger."""
        if database == SQLITE:
            return {}
        url = self.postgres.create_database(f"ledger_{secrets.token_hex(4)}")
        return {"LEDGER_URL": url, "TOKEN_KEYS": _key(), "DIGEST_KEY": _key()}


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

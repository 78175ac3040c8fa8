"""Where benchmarks take place: what they run, and on which of the machine's cores."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from signupd.ledger.schema import migrate

from bench import cpu
from bench.floor import ASYNCIO
from bench.load import Load
from bench.programs import ProgramFailedError, build, running
from devstack.binary import KRATOS_DIRECTORY, kratos_binary
from devstack.config import KratosConfig
from devstack.kratos import Kratos
from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres
from devstack.server import Signupd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)
KEY_BYTES = 32
PROOF_SECONDS = 30.0
# As kratos.yml advises.
KRATOS_POOL = "?sslmode=disable&max_conns=20&max_idle_conns=20"
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Served:
    """Servers under load: signupd's, or the floor's one.

    Attributes:
        targets: Where they serve, `HOST:PORT`.
        pids: Their processes.
        servers: signupd's.
        ledger_url: Of the ledger that signupd's share.
        database_pid: The ledger's server, where it has one.
    """

    targets: list[str]
    pids: list[int]
    servers: tuple[Signupd, ...] = ()
    ledger_url: str = ""
    database_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """A Kratos, for signupd to stand in front of.

    Attributes:
        public_url: Its public API.
        admin_url: Its admin API.
        hooks: The ports at which it asks its hooks, one for each signupd.
    """

    public_url: str
    admin_url: str
    hooks: list[int]


class Site:
    """What benchmarks share. A context manager.

    The servers that are measured have a core of their own. The benchmark itself, the
    load, the databases and what stands in for Kratos are on the others.
    """

    def __init__(self) -> None:
        self._resources = ExitStack()
        self.measured, self.rest = cpu.cores()

    def __enter__(self) -> Self:
        temporary = tempfile.TemporaryDirectory()
        self.directory = Path(self._resources.enter_context(temporary))
        build(self.directory)
        self._resources.enter_context(cpu.on_cores(self.rest))
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @cached_property
    def load(self) -> Load:
        """What sends requests."""
        return Load(self.program("load"))

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL that waits for the disk, as in earnest."""
        return self._resources.enter_context(Postgres(durable=True))

    @property
    def all_cores(self) -> set[int]:
        """Where everything is that has no core of its own."""
        return self.measured | self.rest

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """Let PostgreSQL, and all that is started meanwhile, run everywhere."""
        postgres = self.postgres.pid or 0
        before = os.sched_getaffinity(postgres)
        # Those that serve its connections inherit it.
        os.sched_setaffinity(postgres, self.all_cores)
        try:
            with cpu.on_cores(self.all_cores):
                yield
        finally:
            os.sched_setaffinity(postgres, before)

    def program(self, name: str) -> Path:
        """Name a program of go/."""
        return self.directory / name

    @contextmanager
    def floor(self, loop: str = ASYNCIO) -> Iterator[Served]:
        """Run the floor's server.

        Args:
            loop: One of its LOOPS.
        """
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "bench.floor", str(port), loop]
        with ExitStack() as resources:
            with cpu.on_cores(self.measured):
                pid = resources.enter_context(running(command, port))
            yield Served([f"{LOOPBACK}:{port}"], [pid])

    @contextmanager
    def instant(
        self,
        database: str,
        settings: Mapping[str, str] | None = None,
        servers: int = 1,
        *,
        apart: bool = True,
    ) -> Iterator[Served]:
        """Run signupd in front of a Kratos that answers at once.

        Args:
            database: One of DATABASES, for the ledger.
            settings: Further settings.
            servers: How many signupd share the ledger.
            apart: Whether they have a core of their own; else they share all cores
                with all the rest.
        """
        port, *hooks = free_ports(1 + servers)
        urls = ",".join(f"http://{LOOPBACK}:{hook}" for hook in hooks)
        listen = f"{LOOPBACK}:{port}"
        command = [
            str(self.program("kratos")),
            f"-listen={listen}",
            f"-hooks={urls}",
            f"-schema={KRATOS_DIRECTORY / 'identity.schema.json'}",
        ]
        cores = self.measured if apart else self.all_cores
        behind = Behind(f"http://{listen}", f"http://{listen}", hooks)
        with (
            running(command, port),
            self.signupd(behind, database, settings, cores) as served,
        ):
            yield served

    def kratos(self, smtp_uri: str, hook: int) -> Kratos:
        """Make a real Kratos, set up as kratos.yml has it, on PostgreSQL.

        Args:
            smtp_uri: Where its mails go.
            hook: The port at which it asks its hooks.
        """
        database = self.postgres.create_database(f"kratos_{secrets.token_hex(4)}")
        config = KratosConfig(
            hook_url=f"http://{LOOPBACK}:{hook}",
            smtp_uri=smtp_uri,
            dsn=f"{database}{KRATOS_POOL}",
        )
        return Kratos(kratos_binary(), config)

    @contextmanager
    def signupd(
        self,
        behind: Behind,
        database: str,
        settings: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> Iterator[Served]:
        """Run signupd in front of a Kratos, as many as that one knows hooks of.

        Args:
            behind: The Kratos.
            database: One of DATABASES, for the ledger.
            settings: Further settings.
            cores: Where they run, if not on the core of what is measured.
        """
        with ExitStack() as resources:
            temporary = tempfile.TemporaryDirectory(prefix="signupd-")
            directory = Path(resources.enter_context(temporary))
            ledger = _ledger(database, directory, self.postgres)
            servers = []
            for hook in behind.hooks:
                home = directory / str(hook)
                home.mkdir()
                server = Signupd(
                    behind.public_url,
                    behind.admin_url,
                    hook_port=hook,
                    directory=home,
                    settings=ledger | dict(settings or {}),
                )
                with cpu.on_cores(cores or self.measured):
                    resources.enter_context(server)
                servers.append(server)
            for server in servers:
                _wait_for_proof(server)
            yield Served(
                [server.target for server in servers],
                [server.pid for server in servers if server.pid is not None],
                tuple(servers),
                ledger["LEDGER_URL"],
                self.postgres.pid if database == POSTGRESQL else None,
            )


def _ledger(database: str, directory: Path, postgres: Postgres) -> dict[str, str]:
    """Make a ledger, and the settings that name it."""
    if database == SQLITE:
        return {"LEDGER_URL": f"sqlite:///{directory}/signupd.db"}
    url = postgres.create_database(f"ledger_{secrets.token_hex(4)}")
    asyncio.run(migrate(url))
    return {"LEDGER_URL": url, "TOKEN_KEYS": _key(), "DIGEST_KEY": _key()}


def _wait_for_proof(server: Signupd) -> None:
    """Wait until a server knows that Kratos asks it; it sends no mail before."""
    deadline = time.monotonic() + PROOF_SECONDS
    while "password_hook_proved" not in server.log():
        if time.monotonic() > deadline:
            raise ProgramFailedError(f"no proof of the hook:\n{server.log_tail()}")
        time.sleep(POLL_SECONDS)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

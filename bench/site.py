"""Where benchmarks take place: what they run, and on which of the machine's cores."""

from __future__ import annotations

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

from bench import cpu
from bench.load import Load
from bench.programs import ProgramFailedError, build, migrate, running
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
BEFORE, NOW = "before", "now"
KEY_BYTES = 32
PROOF_SECONDS = 30.0
# As kratos.yml advises.
KRATOS_POOL = "?sslmode=disable&max_conns=20&max_idle_conns=20"
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under load: signupd, or the floor.

    Attributes:
        target: Where it serves, `HOST:PORT`.
        pid: Its process.
        database_pid: The ledger's server, where it has one.
    """

    target: str
    pid: int
    database_pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Server):
    """A signupd.

    Attributes:
        signupd: It can be stopped and started again.
        ledger_url: Of its ledger.
    """

    signupd: Signupd
    ledger_url: str


@dataclass(frozen=True, slots=True)
class Behind:
    """A Kratos, for signupd to stand in front of.

    Attributes:
        public_url: Its public API.
        admin_url: Its admin API.
        hook: The port at which it asks its hooks.
    """

    public_url: str
    admin_url: str
    hook: int


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
        self.measured, self.rest = cpu.cores()
        other = {} if before is None else {BEFORE: before}
        self.versions: dict[str, str] = {**other, NOW: sys.executable}

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
    def floor(self) -> Iterator[Server]:
        """Run the floor's server."""
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "bench.floor", str(port)]
        with ExitStack() as resources:
            with cpu.on_cores(self.measured):
                pid = resources.enter_context(running(command, port))
            yield Server(target=f"{LOOPBACK}:{port}", pid=pid)

    @contextmanager
    def instant(
        self,
        database: str,
        version: str = NOW,
        settings: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> Iterator[Served]:
        """Run signupd in front of a Kratos that answers at once.

        Args:
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
            cores: Where it runs, if not on the core of what is measured.
        """
        port, hook = free_ports(2)
        listen = f"{LOOPBACK}:{port}"
        command = [
            str(self.program("kratos")),
            f"-listen={listen}",
            f"-hook=http://{LOOPBACK}:{hook}",
            f"-schema={KRATOS_DIRECTORY / 'identity.schema.json'}",
        ]
        behind = Behind(f"http://{listen}", f"http://{listen}", hook)
        with (
            running(command, port),
            self.signupd(behind, database, version, settings, cores) as served,
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
        version: str = NOW,
        settings: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> Iterator[Served]:
        """Run signupd in front of a Kratos.

        Args:
            behind: The Kratos.
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
            cores: Where it runs, if not on the core of what is measured.
        """
        python = self.versions[version]
        with ExitStack() as resources:
            temporary = tempfile.TemporaryDirectory(prefix="signupd-")
            directory = Path(resources.enter_context(temporary))
            ledger = self._ledger(database, directory, python)
            server = Signupd(
                behind.public_url,
                behind.admin_url,
                hook_port=behind.hook,
                directory=directory,
                settings={**ledger, **(settings or {})},
                python=python,
            )
            with cpu.on_cores(cores or self.measured):
                resources.enter_context(server)
            _wait_for_proof(server)
            yield Served(
                target=server.target,
                pid=server.pid or 0,
                database_pid=self.postgres.pid if database == POSTGRESQL else None,
                signupd=server,
                ledger_url=ledger["LEDGER_URL"],
            )

    def _ledger(self, database: str, directory: Path, python: str) -> dict[str, str]:
        """Make a ledger of a version; give the settings that name it."""
        if database == SQLITE:
            return {"LEDGER_URL": f"sqlite:///{directory}/signupd.db"}
        url = self.postgres.create_database(f"ledger_{secrets.token_hex(4)}")
        settings = {"LEDGER_URL": url, "TOKEN_KEYS": _key(), "DIGEST_KEY": _key()}
        migrate(python, directory, settings)
        return settings


def _wait_for_proof(server: Signupd) -> None:
    """Wait until a server knows that Kratos asks it; it sends no mail before."""
    deadline = time.monotonic() + PROOF_SECONDS
    while "password_hook_proved" not in server.log():
        if time.monotonic() > deadline:
            raise ProgramFailedError(f"no proof of the hook:\n{server.log_tail()}")
        time.sleep(POLL_SECONDS)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

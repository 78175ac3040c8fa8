"""Where benchmarks take place: the servers, and the cores they run on."""

import base64
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Self

from bench import instant
from bench.meter import cores, on_cores
from devstack.binary import KRATOS_DIRECTORY, kratos_binary
from devstack.config import KratosConfig, inherited
from devstack.kratos import Kratos
from devstack.ports import LOOPBACK, free_ports, is_served
from devstack.postgres import Postgres
from devstack.process import Process
from devstack.server import Signupd
from devstack.waiting import wait_until

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)
BEFORE, NOW = "before", "now"
KEY_BYTES = 32
# As kratos.yml advises.
KRATOS_POOL = "?sslmode=disable&max_conns=20&max_idle_conns=20"


class StandIn(Process):
    """A Kratos that answers at once, and answers the hooks of another one.

    Args:
        port: Where it serves both its APIs.
        hook_port: Where it calls its own hooks.
    """

    def __init__(self, port: int, hook_port: int) -> None:
        super().__init__("stand-in")
        self.hook_url = f"http://{LOOPBACK}:{hook_port}"
        self.public_url = self.admin_url = f"http://{LOOPBACK}:{port}"
        schema = str(KRATOS_DIRECTORY / "identity.schema.json")
        script = [sys.executable, instant.__file__]
        self._command = [*script, str(port), self.hook_url, schema]
        self._port = port

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._serve(self._command, inherited(), lambda: is_served(self._port))


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
    def all_cores(self) -> set[int]:
        """Where everything is that has no core of its own."""
        return self.measured | self.rest

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """Let PostgreSQL, and all that is started meanwhile, run everywhere."""
        # Those that serve PostgreSQL's connections inherit its cores.
        with on_cores(self.all_cores, self.postgres.pid), on_cores(self.all_cores):
            yield

    @contextmanager
    def instant(
        self, database: str, version: str = NOW, **settings: str
    ) -> Iterator[Signupd]:
        """Run signupd in front of a Kratos that answers at once.

        Args:
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
        """
        with (
            StandIn(*free_ports(2)) as kratos,
            self.signupd(kratos, database, version, settings) as server,
        ):
            yield server

    def kratos(self, smtp_uri: str) -> Kratos:
        """Make a real Kratos, set up as kratos.yml has it, on PostgreSQL.

        Args:
            smtp_uri: Where its mails go.
        """
        database = self.postgres.create_database(f"kratos_{secrets.token_hex(4)}")
        config = KratosConfig(
            hook_url=f"http://{LOOPBACK}:{free_ports(1)[0]}",
            smtp_uri=smtp_uri,
            dsn=f"{database}{KRATOS_POOL}",
        )
        return Kratos(kratos_binary(), config)

    @contextmanager
    def signupd(
        self,
        kratos: Kratos | StandIn,
        database: str,
        version: str = NOW,
        settings: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> Iterator[Signupd]:
        """Run signupd in front of a Kratos, with a ledger of its own.

        Args:
            kratos: It runs.
            database: One of DATABASES, for the ledger.
            version: One of `versions`.
            settings: Further settings.
            cores: Where it runs, if not on the core of what is measured.
        """
        server = Signupd(
            kratos.public_url,
            kratos.admin_url,
            hook_port=port_of(kratos.hook_url),
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
            yield server

    def _ledger(self, database: str) -> dict[str, str]:
        """Give the settings that name a new ledger."""
        if database == SQLITE:
            return {}
        url = self.postgres.create_database(f"ledger_{secrets.token_hex(4)}")
        return {"LEDGER_URL": url, "TOKEN_KEYS": _key(), "DIGEST_KEY": _key()}


def port_of(url: str) -> int:
    """Read the port of a URL without a path."""
    return int(url.rpartition(":")[2])


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

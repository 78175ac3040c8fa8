"""The servers of a soak, and how they are killed."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.meter import resident_mebibytes
from bench.site import KRATOS_POOL
from devstack.admin import Admin
from devstack.binary import kratos_binary
from devstack.config import KratosConfig
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres
from devstack.process import Process
from devstack.server import Signupd
from devstack.visitor import Visitor
from tests.doubles.balancer import Balancer
from tests.limbo.books import Books
from tests.limbo.caller import Caller, Pending, Request
from tests.limbo.stage import cheap_hashes, new_keys

REPLICAS = 2
# Addresses are used a few times each, and nobody runs out of mails.
SETTINGS = {"RESEND_INTERVAL": "1s", "SENDS_PER_ADDRESS": "50", "SWEEP_INTERVAL": "1s"}
# How often all servers end at once, and how often a replica ends by SIGTERM.
ALL, STOPPED = 0.1, 0.25
MOST_DOWN_SECONDS = 2.0
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Site:
    """Two replicas on one PostgreSQL, in front of one Kratos on the same.

    Attributes:
        postgres: Holds the ledger and Kratos' database.
        mailbox: All mailboxes.
        kratos: Its hooks come in at either replica.
        replicas: The servers.
        callers: Connected to a replica each.
        books: The ledger.
        kratos_books: Kratos' database.
        admin: Looks into Kratos.
        visitor: Signs in.
        memory: What each replica held at each look, in MiB.
        ended: How often each server was killed or stopped, by name.
    """

    postgres: Postgres
    mailbox: Mailbox
    kratos: Kratos
    replicas: list[Signupd]
    callers: list[Caller]
    books: Books
    kratos_books: Books
    admin: Admin
    visitor: Visitor
    memory: list[list[float]] = field(
        default_factory=lambda: [[] for _ in range(REPLICAS)]
    )
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def servers(self) -> dict[str, Process]:
        """All servers by name, in the order in which they start."""
        replicas = {f"replica {n}": one for n, one in enumerate(self.replicas, 1)}
        return {"PostgreSQL": self.postgres, "Kratos": self.kratos, **replicas}

    def begin(self, chance: random.Random, request: Request) -> Pending:
        """Call either replica."""
        return chance.choice(self.callers).begin(request)

    def strike(self, chance: random.Random) -> None:
        """End a server, or all of them, and start it again some time later."""
        servers = self.servers
        names = [*servers] if chance.random() < ALL else [chance.choice([*servers])]
        by_signal = names[0].startswith("replica") and chance.random() < STOPPED
        self.end(names, by_signal=by_signal)
        self.wait(chance.uniform(0, MOST_DOWN_SECONDS))
        self.start()

    def end(self, names: list[str], *, by_signal: bool = False) -> None:
        """Kill servers, or stop them as a platform would."""
        for name in names:
            server = self.servers[name]
            if by_signal:
                server.stop()
            else:
                server.kill()
            self.ended[f"{name} {'stopped' if by_signal else 'killed'}"] += 1

    def start(self) -> None:
        """Start what does not run."""
        for server in self.servers.values():
            if server.pid is None:
                server.start()

    def wait(self, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
        """Look at the servers, for so long or until something holds."""
        end = time.monotonic() + seconds
        while not over() and time.monotonic() < end:
            self.look()
            time.sleep(SAMPLE_SECONDS)

    def look(self) -> None:
        """Note the memory of the replicas that run.

        Raises:
            AssertionError: A server has ended by itself.
        """
        for name, server in self.servers.items():
            if server.pid is not None and server.ended:
                raise AssertionError(f"{name} has ended by itself: {server.log_tail()}")
        for memory, server in zip(self.memory, self.replicas, strict=True):
            if server.pid is not None:
                memory.append(resident_mebibytes(server))


@contextmanager
def open_site(settings: Mapping[str, str]) -> Iterator[Site]:
    """Start everything.

    Args:
        settings: Of the replicas, beside SETTINGS.
    """
    with ExitStack() as resources:
        enter = resources.enter_context
        postgres, mailbox = enter(Postgres(durable=True)), enter(Mailbox())
        ledger, held = map(postgres.create_database, ("ledger", "kratos"))
        chosen = {"LEDGER_URL": ledger, **new_keys(), **SETTINGS, **settings}
        ports = free_ports(2)
        urls = [f"http://{LOOPBACK}:{port}" for port in ports]
        replicas = [Signupd(*urls, settings=chosen) for _ in range(REPLICAS)]
        hooks = enter(Balancer())
        hooks.ports = [one.hook_port for one in replicas]
        config = KratosConfig(
            hook_url=f"http://{LOOPBACK}:{hooks.port}",
            smtp_uri=mailbox.uri,
            dsn=f"{held}{KRATOS_POOL}",
            mutate=cheap_hashes,
            ports=ports,
        )
        kratos = enter(Kratos(kratos_binary(), config))
        replicas[0].migrate()
        for server in replicas:
            enter(server)
            server.wait_for_proof()
        yield Site(
            postgres,
            mailbox,
            kratos,
            replicas,
            [enter(Caller(one.target)) for one in replicas],
            Books(ledger),
            Books(held),
            enter(Admin(kratos.admin_url)),
            enter(Visitor(kratos.public_url)),
        )

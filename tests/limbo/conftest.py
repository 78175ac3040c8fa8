"""One world for all: PostgreSQL, mailbox, proxy, Kratos. A ledger for each file."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from signupd.ledger.migrate import migrate

from devstack.admin import Admin
from devstack.binary import kratos_binary
from devstack.config import KratosConfig
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres
from devstack.visitor import Visitor
from tests.doubles.proxy import Proxy
from tests.limbo.books import Books
from tests.limbo.caller import Caller
from tests.limbo.stage import POSTGRESQL, SQLITE, Stage, World, cheap_hashes, new_keys
from tests.limbo.warm import WarmSignupd

GetStage = Callable[[str], Stage]
# Kratos' default pool reconnects all the time.
KRATOS_POOL = "?sslmode=disable&max_conns=20&max_idle_conns=20"
# Nobody here is to wait for a mail's turn, and every call is to be made in its place.
SETTINGS = {"RESEND_INTERVAL": "1ms"}


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Start what all share."""
    public, admin = free_ports(2)
    with ExitStack() as resources:
        enter = resources.enter_context
        proxy = enter(
            Proxy(f"http://{LOOPBACK}:{public}", f"http://{LOOPBACK}:{admin}")
        )
        postgres, mailbox = enter(Postgres()), enter(Mailbox())
        database = postgres.create_database("kratos").replace("postgresql", "postgres")
        config = KratosConfig(
            hook_url=proxy.hook_url,
            smtp_uri=mailbox.uri,
            dsn=database + KRATOS_POOL,
            mutate=cheap_hashes,
            ports=(public, admin),
        )
        kratos = enter(Kratos(kratos_binary(), config))
        yield World(
            postgres,
            mailbox,
            kratos,
            proxy,
            enter(Admin(kratos.admin_url)),
            enter(Visitor(kratos.public_url)),
        )


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Give the settings of a file's servers; a file may have its own."""
    return {}


@pytest.fixture(scope="module")
def get_stage(
    world: World, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GetStage]:
    """Start a server on a new ledger of a kind, for all tests of a file.

    The books are checked when the file's tests are done.
    """
    stages: dict[str, Stage] = {}
    with ExitStack() as resources:

        def get(ledger: str) -> Stage:
            if ledger not in stages:
                directory = tmp_path_factory.mktemp("signupd")
                stages[ledger] = resources.enter_context(
                    _stage(world, ledger, directory, settings)
                )
            server = stages[ledger].server
            world.proxy.hook_ports = (server.hook_port,)
            # One that was restarted asked for its proof at another's hook, perhaps.
            server.wait_for_proof()
            return stages[ledger]

        yield get


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def stage(request: pytest.FixtureRequest, get_stage: GetStage) -> Stage:
    """Give the file's stage with each kind of ledger."""
    return get_stage(request.param)


@pytest.fixture(autouse=True)
def _open_way(world: World) -> Iterator[None]:
    """Leave nothing held, and nothing planned, to the next test."""
    yield
    world.proxy.clear()
    world.proxy.wait_idle()


@contextmanager
def _stage(
    world: World, ledger: str, directory: Path, settings: Mapping[str, str]
) -> Iterator[Stage]:
    url = f"sqlite:///{directory}/signupd.db"
    if ledger == POSTGRESQL:
        name = directory.name.replace("-", "_")
        url = world.postgres.create_database(name)
        asyncio.run(migrate(url))
    chosen = {"LEDGER_URL": url, **new_keys(), **SETTINGS, **settings}
    server = WarmSignupd(
        world.proxy.public_url,
        world.proxy.admin_url,
        directory=directory,
        settings=chosen,
    )
    world.proxy.hook_ports = (server.hook_port,)
    with server, Caller(server.target) as caller:
        server.wait_for_proof()
        stage = Stage(
            world=world, books=Books(url), caller=caller, server=server, settings=chosen
        )
        yield stage
        stage.books.check(stage.secrets)

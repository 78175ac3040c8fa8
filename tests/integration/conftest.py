"""Fixtures of the integration tests."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from signupd.ledger.database import Database, make_database
from signupd.ledger.migrate import migrate

from devstack.postgres import Postgres
from tests.doubles.clock import ClockDouble
from tests.integration.caller import Caller
from tests.integration.world import World

# They test what depends on the loop. Commands run on the loop of asyncio.
ON_THE_LOOP_OF_THE_SERVER = ("test_hook_limits.py", "test_kratos_http.py")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Choose the event loop of a test."""
    if item.path.name in ON_THE_LOOP_OF_THE_SERVER:
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL of our own."""
    with Postgres() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database(f"ledger_{uuid.uuid4().hex}")


@pytest.fixture
def clock() -> ClockDouble:
    """Give a clock that stands."""
    return ClockDouble()


@pytest.fixture
async def database(url: str, clock: ClockDouble) -> AsyncIterator[Database]:
    """Give a ledger's database with its schema."""
    await migrate(url)
    made = make_database(url, clock)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def on(url: str, database: Database) -> dict[str, Any]:
    """Name the ledger of either kind, for services that share it."""
    keys = {"token_keys": base64.b64encode(b"t" * 32).decode()}
    keys["digest_key"] = base64.b64encode(b"d" * 32).decode()
    return {"ledger_url": url, "resend_interval": "1ms", **keys}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Give a world with a Kratos in it, and no service yet."""
    async with World(tmp_path) as created:
        yield created


@pytest.fixture
async def caller(world: World) -> Caller:
    """Give a caller of a service whose password hook is proved."""
    return (await world.serve()).caller

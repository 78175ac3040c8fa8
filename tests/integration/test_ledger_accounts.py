"""PostgreSQL cannot be used: the commands say by which account, and why."""

import base64
import os
import uuid

import psycopg
import pytest
from psycopg import sql
from signupd.cli import app
from typer.testing import CliRunner, Result

from devstack.ports import free_ports
from devstack.postgres import Postgres

KEYS = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
TABLES = ("alembic_version", "digest_key", "send_buckets", "signups")
# The tables on which a server needs each right.
RIGHTS = {
    "SELECT": TABLES,
    "INSERT": TABLES[1:],
    "UPDATE": TABLES[2:],
    "DELETE": TABLES[2:],
}


def run(command: str, url: str, *more: str) -> Result:
    """Run a command on a ledger."""
    names = ("TOKEN_KEYS", "DIGEST_KEY", "LEDGER_URL")
    environ = {f"SIGNUPD_{n}": v for n, v in zip(names, (*KEYS, url), strict=True)}
    return CliRunner().invoke(app, [command, *more], env=environ)


@pytest.fixture
def name(postgres: Postgres) -> str:
    """Name an empty database, and an account that may only log in."""
    name = f"rights_{uuid.uuid4().hex}"
    grant(postgres, postgres.create_database(name), f"CREATE ROLE {name} LOGIN")
    return name


def grant(postgres: Postgres, url: str, *statements: str) -> None:
    """Run statements as the owner of all."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


def test_no_right_to_create(postgres: Postgres, name: str) -> None:
    """A migration by an account that may make no tables names it, and who may."""
    done = run("migrate", f"postgresql://{name}@127.0.0.1:{postgres.port}/{name}")

    assert (1, "") == (done.exit_code, done.stdout)
    assert (
        f"signupd: account {name}@127.0.0.1 may not change the ledger's tables: run "
        "`signupd migrate` with the LEDGER_URL of the account that owns the database\n"
    ) == done.stderr


@pytest.mark.parametrize("right", RIGHTS)
def test_no_right_to_tables(postgres: Postgres, name: str, right: str) -> None:
    """An account that lacks a right is told which; what it is told cures it."""
    owner = f"{postgres.url}/{name}"
    run("migrate", owner)
    given = RIGHTS.keys() - {right}
    grant(
        postgres,
        owner,
        *(f"GRANT {', '.join(given)} ON {table} TO {name}" for table in TABLES),
    )
    url = f"postgresql://{name}@127.0.0.1:{postgres.port}/{name}"
    done = run("sweep", url)
    cure = done.stderr.partition("as the owner of the tables: ")[2]

    assert f"GRANT {right} ON {', '.join(RIGHTS[right])} TO {name}\n" == cure
    grant(postgres, owner, cure)
    assert 0 == run("sweep", url).exit_code


def test_reading(postgres: Postgres, name: str) -> None:
    """An account that may only read can look at sign-ups."""
    owner = f"{postgres.url}/{name}"
    run("migrate", owner)
    url = f"postgresql://{name}@127.0.0.1:{postgres.port}/{name}"
    refused = run("signups", url, "list")
    grant(postgres, owner, f"GRANT SELECT ON {', '.join(TABLES)} TO {name}")
    done = run("signups", url, "list")

    assert f"tables: GRANT SELECT ON {', '.join(TABLES)} TO {name}\n" in refused.stderr
    assert (0, "signupd: no sign-up matches\n") == (done.exit_code, done.stderr)


def test_read_only(postgres: Postgres, name: str) -> None:
    """A database that takes no writes, as a replica does, is told with its account."""
    owner = f"{postgres.url}/{name}"
    run("migrate", owner)
    grant(postgres, owner, f"ALTER DATABASE {name} SET default_transaction_read_only=1")
    done = run("sweep", owner)

    assert 1 == done.exit_code
    assert "in a read-only transaction\n" in done.stderr
    assert "account signupd@127.0.0.1: cannot execute " in done.stderr


@pytest.mark.parametrize(
    ("host", "database", "why"),
    [
        ("ledger.invalid:1", "x", "Name or service not known"),
        ("127.0.0.1:{free}", "x", "Connection refused"),
        ("127.0.0.1:{port}", "nowhere", 'database "nowhere" does not exist'),
        ("127.0.0.1:{port}", "postgres", 'role "ann" does not exist'),
    ],
)
def test_not_connected(postgres: Postgres, host: str, database: str, why: str) -> None:
    """Each reason has words of its own, beside the account and without its password."""
    (free,) = free_ports(1)
    user = "signupd" if database == "nowhere" else "ann"
    where = host.format(free=free, port=postgres.port)
    done = run("sweep", f"postgresql://{user}:hunter2@{where}/{database}")

    account = f"account {user}@{where.partition(':')[0]}"
    assert f"the ledger cannot be opened (LEDGER_URL, {account}): " in done.stderr
    assert why in done.stderr
    assert "hunter2" not in done.stderr

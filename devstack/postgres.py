"""A PostgreSQL of our own, from the machine's packages."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

from devstack.ports import LOOPBACK, free_ports

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
CONNECTIONS = 200
# Debian keeps the server's programs out of PATH.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/*/bin")
# PostgreSQL refuses to run as root.
UNPRIVILEGED = ("postgres", "nobody")


class PostgresMissingError(Exception):
    """There is no PostgreSQL on this machine. The message says what to install."""

    def __init__(self) -> None:
        super().__init__(
            "PostgreSQL is needed: install the package postgresql (Debian: apt-get "
            "install postgresql), or put its initdb and postgres on PATH"
        )


class PostgresFailedError(Exception):
    """PostgreSQL did not come up; the text ends with its log."""


class Postgres:
    """One PostgreSQL server: its data, its log and its process.

    A context manager. The server listens on loopback only, asks for no password, and
    ends with this process.

    Args:
        durable: Whether a commit is on disk when it is acknowledged, and tables are
            kept in order. Tests need not wait for that, and want no transactions or
            statistics but their own.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._temporary = tempfile.TemporaryDirectory(prefix="postgres-")
        self._directory = Path(self._temporary.name)
        self._log_path = self._directory / "postgres.log"
        self._user = _user()
        self._group = str(pwd.getpwnam(self._user).pw_gid)
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process that all others of the server are children of, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Make the data directory, start the server, wait until it takes connections.

        Raises:
            PostgresMissingError: It is not installed.
            PostgresFailedError: It did not come up.
        """
        programs = _programs()
        if os.geteuid() == 0:
            shutil.chown(self._directory, self._user)
        data = self._directory / "data"
        self._run(
            str(programs / "initdb"),
            *("--pgdata", str(data), "--auth", "trust", "--username", "signupd"),
            *("--encoding", "UTF8", "--no-locale", "--no-sync"),
        ).wait()
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(CONNECTIONS),
            "fsync": "on" if self._durable else "off",
            "autovacuum": "on" if self._durable else "off",
            # A server that has been in use for a while writes its log over old
            # segments; a new one would stop for some 70 ms to fill each with zeros.
            "wal_init_zero": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = self._run(str(programs / "postgres"), "-D", str(data), *options)
        atexit.register(self.stop)
        self._wait_until_ready()

    def stop(self) -> None:
        """End the server: no new connections, those there are cut off."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End the server and remove its data."""
        self.stop()
        self._temporary.cleanup()

    def create_database(self, name: str) -> str:
        """Create a database.

        Args:
            name: Letters, digits and underscores.

        Returns:
            Its URL, with no driver in it: `postgresql://USER@HOST:PORT/NAME`.
        """
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(
                    psycopg.sql.Identifier(name)
                )
            )
        return f"{self.url}/{name}"

    def dump(self, url: str) -> bytes:
        """Dump a database, by `pg_dump`, as SQL.

        Args:
            url: As `create_database` gave it.
        """
        command = (str(_programs() / "pg_dump"), "--dbname", url)
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - the machine's own
        return done.stdout

    def log(self) -> bytes:
        """Read the server's log."""
        return self._log_path.read_bytes()

    @property
    def url(self) -> str:
        """The server, to which a slash and a database's name are added."""
        return f"postgresql://signupd@{LOOPBACK}:{self.port}"

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        # Not by tether.py: our interpreter may lie where that user cannot read.
        become = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            become += ["--reuid", self._user, "--regid", self._group, "--clear-groups"]
        with self._log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the machine's own PostgreSQL
                (*become, *command),
                cwd=self._directory,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                log = self._log_path.read_text(encoding="utf-8", errors="replace")
                raise PostgresFailedError(f"PostgreSQL did not come up:\n{log}")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres", connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    """Find the folder of PostgreSQL's programs, the newest first."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = [path for place in PLACES for path in Path("/").glob(place[1:])]
    fitting = [path for path in places if (path / "initdb").exists()]
    if not fitting:
        raise PostgresMissingError
    return max(fitting)


def _user() -> str:
    """Name the user to run it as: this one, unless that is root."""
    if os.geteuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)

"""A PostgreSQL of our own, from the machine's packages."""

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from devstack.ports import LOOPBACK, free_ports
from devstack.process import Process
from devstack.waiting import wait_until

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


class Postgres(Process):
    """One PostgreSQL server: on loopback only, without a password.

    Args:
        durable: Whether a commit is on disk when it is acknowledged, and tables are
            kept in order. Tests need not wait for that, and want no transactions or
            statistics but their own.
    """

    STOP_SIGNAL = signal.SIGINT  # PostgreSQL's "fast shutdown"
    STOP_SECONDS = 20.0

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__("PostgreSQL")
        self._durable = durable
        self._user = _user()
        self.port = free_ports(1)[0]

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Its data directory is made by the first start.

        Raises:
            PostgresMissingError: It is not installed.
            ServerFailedError: It did not come up.
        """
        folder = programs()
        if os.geteuid() == 0:
            shutil.chown(self.directory, self._user)
        data = self.directory / "data"
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
        initdb = [
            *(str(folder / "initdb"), "-D", str(data), "--username", "signupd"),
            *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        ]
        if not data.exists():
            self._run(initdb, environment, "make its data directory")
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
        postgres = [str(folder / "postgres"), "-D", str(data), *options]
        self._serve(postgres, environment, self._ready)

    def kill(self) -> int:
        """End the server and the processes that serve its connections."""
        # They outlive it for a moment, and no other server starts meanwhile.
        children = self._stopped_children()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        exit_code = super().kill()
        wait_until(lambda: not any(map(_lives, children)), "PostgreSQL's end")
        return exit_code

    def _stopped_children(self) -> list[int]:
        """Keep the server from starting further processes; list those it has."""
        if self.pid is None or self.ended or sys.platform != "linux":
            return []
        os.kill(self.pid, signal.SIGSTOP)
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def create_database(self, name: str) -> str:
        """Create a database; give its URL, with no driver in it."""
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(
                    psycopg.sql.Identifier(name)
                )
            )
        return f"{self.url}/{name}"

    def dump(self, url: str) -> bytes:
        """Dump a database, named by its URL, as SQL."""
        command = (str(programs() / "pg_dump"), "--dbname", url)
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - the machine's own
        return done.stdout

    @property
    def url(self) -> str:
        """The server, to which a slash and a database's name are added."""
        return f"postgresql://signupd@{LOOPBACK}:{self.port}"

    def _tether(self) -> list[str]:
        # Not by tether.py: that user may not be able to read our interpreter.
        tie = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            group = str(pwd.getpwnam(self._user).pw_gid)
            tie += ["--reuid", self._user, "--regid", group, "--clear-groups"]
        return tie

    def _ready(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres", connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def programs() -> Path:
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

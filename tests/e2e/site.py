"""Where stacks are put up: what all of them share, and how one comes to be."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from devstack.config import KratosConfig, Mutation
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports
from devstack.server import Signupd
from tests.e2e.holdings import DATABASE
from tests.e2e.stack import Stack, attached


class Site:
    """Makes Kratos and servers.

    Args:
        binary: The Kratos.
        mailbox: Gets the mails of all of them.
        new_directory: Makes an empty directory, given the beginning of its name.
    """

    def __init__(
        self, binary: Path, mailbox: Mailbox, new_directory: Callable[[str], Path]
    ) -> None:
        self.binary = binary
        self._new_directory = new_directory
        self.mailbox = mailbox

    def kratos(
        self, hook_port: int, mutate: Mutation | None = None, *, dev: bool = False
    ) -> Kratos:
        """Make a Kratos that holds nothing, and do not start it.

        Args:
            hook_port: Where it calls its hooks.
            mutate: Changes the reference configuration, on each start.
            dev: Start it with --dev, for its courier to show what mails say.
        """
        directory = self._new_directory("kratos")
        shutil.copy(self._migrated, directory / DATABASE)
        return Kratos(self.binary, self._config(hook_port, mutate, dev=dev), directory)

    def server(
        self,
        kratos: Kratos,
        hook_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Signupd:
        """Make a server in front of a Kratos, and do not start it.

        Args:
            kratos: It need not run.
            hook_port: Where Kratos' hooks come in; a free port where none is given.
            settings: By their names, without the prefix.
            environment: Further variables, by their whole names.
        """
        return Signupd(
            kratos.public_url,
            kratos.admin_url,
            hook_port=hook_port,
            directory=self._new_directory("signupd"),
            settings=dict(settings or {}),
            environment=environment,
        )

    @contextmanager
    def stack(
        self,
        mutate: Mutation | None = None,
        settings: Mapping[str, str] | None = None,
        hook_port: int | None = None,
        *,
        dev: bool = False,
    ) -> Iterator[Stack]:
        """Put up a stack.

        Args:
            mutate: Changes Kratos' reference configuration.
            settings: Of the server.
            hook_port: Where the server takes Kratos' hooks.
            dev: Start Kratos with --dev.
        """
        port = free_ports(1)[0] if hook_port is None else hook_port
        kratos = self.kratos(port, mutate, dev=dev)
        server = self.server(kratos, port, settings)
        with kratos, server, attached(self.mailbox, kratos, server) as made:
            yield made

    @cached_property
    def _migrated(self) -> Path:
        """Migrate one database, which takes seconds, for all Kratos to start from."""
        directory = self._new_directory("migrated")
        with Kratos(self.binary, self._config(0, None), directory):
            return directory / DATABASE

    def _config(
        self, hook_port: int, mutate: Mutation | None, *, dev: bool = False
    ) -> KratosConfig:
        return KratosConfig(
            hook_url=f"http://{LOOPBACK}:{hook_port}",
            smtp_uri=self.mailbox.uri,
            mutate=mutate,
            dev=dev,
        )

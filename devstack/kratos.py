"""A Kratos process."""

import contextlib
from pathlib import Path

import httpx

from devstack.config import KratosConfig
from devstack.process import Process


class Kratos(Process):
    """One Kratos. After a restart it has the same ports, database and secrets.

    Args:
        binary: The Kratos to run; see `devstack.binary.kratos_binary`.
        config: How to run it.
        directory: As of `Process`.
    """

    def __init__(
        self, binary: Path, config: KratosConfig, directory: Path | None = None
    ) -> None:
        super().__init__("Kratos", directory)
        self.public_url = config.public_url
        self.admin_url = config.admin_url
        self.hook_url = config.hook_url
        self._binary = str(binary)
        self._config = config

    @property
    def version(self) -> str:
        """What the running Kratos calls itself, such as `v1.3.1`."""
        answer = httpx.get(f"{self.admin_url}/admin/version", trust_env=False)
        return str(answer.raise_for_status().json()["version"])

    def start(self) -> None:
        """Migrate the database, start the server and wait until it is ready."""
        if self._process is not None:
            return
        environment = self._config.environment(self.directory)
        file = ("-c", str(self._config.write(self.directory)))
        migrate = [self._binary, "migrate", "sql", "-e", "--yes", *file]
        self._run(migrate, environment, "migrate its database")
        dev = ("--dev",) if self._config.dev else ()
        serve = [self._binary, "serve", "--watch-courier", *dev, *file]
        self._serve(serve, environment, self._ready)

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"{self.admin_url}/admin/health/ready"
            return httpx.get(url, trust_env=False).is_success
        return False

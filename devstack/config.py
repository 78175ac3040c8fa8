"""The reference configuration, made to run here."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devstack.binary import KRATOS_DIRECTORY
from devstack.ports import LOOPBACK, free_ports

# As kratos.yml writes them.
REFERENCE_HOOK_URL = "http://127.0.0.1:9465"
RELATIVE_FILE = "file://./"

# What a child needs of our environment, and no more: Kratos takes every variable
# that is named like one of its settings (LOG_LEVEL, DSN, ...) for that setting.
INHERITED = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")

Mutation = Callable[[dict[str, Any]], None]


def inherited() -> dict[str, str]:
    """Read from our environment what a child needs of it."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


@dataclass(frozen=True, slots=True, kw_only=True)
class KratosConfig:
    """How one Kratos is to be started.

    Attributes:
        hook_url: Where the hooks come in, without a path: `http://127.0.0.1:PORT`.
        smtp_uri: The mail server, as Kratos wants it named.
        dsn: The database; empty for a SQLite file in the work directory.
        dev: Start with --dev. Only then the courier's API shows the mails.
        mutate: Gets the finished dictionary, to change or to break it.
        ports: The public and the admin port.
    """

    hook_url: str
    smtp_uri: str
    dsn: str = ""
    dev: bool = False
    mutate: Mutation | None = None
    ports: tuple[int, ...] = field(default_factory=lambda: free_ports(2))

    @property
    def public_url(self) -> str:
        """The public API, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.ports[0]}"

    @property
    def admin_url(self) -> str:
        """The admin API, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.ports[1]}"

    def render(self) -> dict[str, Any]:
        """Render kratos/kratos.yml for this machine, without secrets."""
        reference = (KRATOS_DIRECTORY / "kratos.yml").read_text(encoding="utf-8")
        config: dict[str, Any] = _relocated(yaml.safe_load(reference), self.hook_url)
        serve = config["serve"]
        serve["public"] |= {"port": self.ports[0], "base_url": f"{self.public_url}/"}
        serve["admin"] |= {"port": self.ports[1], "base_url": f"{self.admin_url}/"}
        password = config["selfservice"]["methods"]["password"]["config"]
        # A demo must work on a train, and a test must not depend on a stranger.
        password["haveibeenpwned_enabled"] = False
        if self.mutate is not None:
            self.mutate(config)
        return config

    def write(self, directory: Path) -> Path:
        """Write the rendered configuration; give the file.

        Args:
            directory: A private directory of this Kratos.
        """
        path = directory / "kratos.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.render()), encoding="utf-8")
        return path

    def environment(self, directory: Path) -> dict[str, str]:
        """Make the whole environment of the process, with its secrets.

        Args:
            directory: For a SQLite database, and for the secrets: they are kept, so
                that codes and sessions outlive a restart.
        """
        kept = directory / "secrets.json"
        if not kept.exists():
            names = ("SECRETS_COOKIE", "SECRETS_CIPHER")
            kept.touch(mode=0o600)
            kept.write_text(json.dumps({name: secrets.token_hex(16) for name in names}))
        return {
            **inherited(),
            **json.loads(kept.read_text()),
            "DSN": self.dsn or f"sqlite://{directory}/kratos.sqlite?_fk=true",
            "COURIER_SMTP_CONNECTION_URI": self.smtp_uri,
            # A test run is nobody's usage to be reported.
            "SQA_OPT_OUT": "true",
        }


def _relocated(value: Any, hook_url: str) -> Any:
    """Replace, all the way down, what depends on the place."""
    if isinstance(value, dict):
        return {key: _relocated(item, hook_url) for key, item in value.items()}
    if isinstance(value, list):
        return [_relocated(item, hook_url) for item in value]
    if isinstance(value, str) and value.startswith(RELATIVE_FILE):
        # Not an absolute file://: Kratos takes no path with a space in it.
        content = (KRATOS_DIRECTORY / value.removeprefix(RELATIVE_FILE)).read_bytes()
        return f"base64://{base64.b64encode(content).decode()}"
    if isinstance(value, str) and value.startswith(REFERENCE_HOOK_URL):
        return hook_url + value.removeprefix(REFERENCE_HOOK_URL)
    return value

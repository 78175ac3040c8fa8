"""The web example as a process."""

import contextlib
import sys
from pathlib import Path

import httpx

from devstack.config import inherited
from devstack.ports import LOOPBACK, free_ports
from devstack.process import Process

ROOT = Path(__file__).parent.parent


class Web(Process):
    """One examples/web.

    Args:
        target: Where signupd serves.
        public_url: Kratos' public API.
        mailbox_url: Linked to on its pages; empty for no link.
        port: Where to serve; a free port where none is given.
        directory: As of `Process`.
    """

    def __init__(
        self,
        target: str,
        public_url: str,
        *,
        mailbox_url: str = "",
        port: int | None = None,
        directory: Path | None = None,
    ) -> None:
        super().__init__("web", directory)
        listen = f"{LOOPBACK}:{port or free_ports(1)[0]}"
        self.url = f"http://{listen}/"
        self._environment = {
            **inherited(),
            "PYTHONPATH": str(ROOT),
            "SIGNUP_TARGET": target,
            "KRATOS_PUBLIC_URL": public_url,
            "MAILBOX_URL": mailbox_url,
            "LISTEN": listen,
        }

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "examples.web"]
        self._serve(command, self._environment, self._ready)

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url, trust_env=False).is_success
        return False

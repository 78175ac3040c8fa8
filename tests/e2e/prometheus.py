"""A Prometheus that scrapes one server, with the rules of deploy/."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from devstack.config import inherited
from devstack.ports import LOOPBACK, free_ports
from devstack.process import Process
from tests.deployed import PROMETHEUS


class Prometheus(Process):
    """Debian's Prometheus.

    Args:
        metrics_url: What it scrapes, each second.
        directory: As of `Process`.
    """

    def __init__(self, metrics_url: str, directory: Path | None = None) -> None:
        super().__init__("Prometheus", directory)
        self._scraped = urlsplit(metrics_url)
        self._address = f"{LOOPBACK}:{free_ports(1)[0]}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        program = shutil.which("prometheus")
        if program is None:
            raise FileNotFoundError("Prometheus (Debian: apt-get install prometheus)")
        job = {
            "job_name": "signupd",
            "metrics_path": self._scraped.path,
            "static_configs": [{"targets": [self._scraped.netloc]}],
        }
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(PROMETHEUS / "alerts.yml")],
            "scrape_configs": [job],
        }
        file = self.directory / "prometheus.yml"
        file.write_text(json.dumps(config))  # which is YAML too
        options = {
            "config.file": str(file),
            "storage.tsdb.path": str(self.directory / "data"),
            "web.listen-address": self._address,
        }
        command = [program, *(f"--{name}={value}" for name, value in options.items())]
        self._serve(command, inherited(), self._ready)

    def query(self, expression: str) -> list[float]:
        """Evaluate an expression now, and return the value of each series."""
        result = self._get("query", query=expression)["result"]
        return [float(series["value"][1]) for series in result]

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules with their health and their alerts."""
        groups = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, what: str, **arguments: str) -> dict[str, Any]:
        url = f"http://{self._address}/api/v1/{what}"
        answer = httpx.get(url, params=arguments, trust_env=False)
        answer.raise_for_status()
        data: dict[str, Any] = answer.json()["data"]
        return data

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://{self._address}/-/ready"
            return httpx.get(url, trust_env=False).is_success
        return False

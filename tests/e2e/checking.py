"""`signupd check`, run as an operator runs it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from devstack.config import INHERITED
from devstack.kratos import Kratos
from devstack.ports import LOOPBACK
from devstack.server import Signupd
from tests.e2e.holdings import identity_ids, mail_ids, session_ids


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check: the findings as the command printed them."""

    exit_code: int
    findings: list[dict[str, str]]
    stderr: str

    @classmethod
    def of(cls, process: subprocess.Popen[str], stdin: str) -> Self:
        """Let the command run to its end."""
        stdout, stderr = process.communicate(stdin)
        return cls(process.returncode, json.loads(stdout)["findings"], stderr)

    @property
    def faults(self) -> dict[str, str]:
        """Name the checks that found something, and how bad it is.

        Kratos' version is left out: a binary that was built without one has none.
        """
        return {
            one["check"]: one["severity"]
            for one in self.findings
            if one["severity"] != "ok" and one["check"] != "version"
        }

    @property
    def cures(self) -> list[str]:
        """Give the cures of all that was found."""
        return [one["cure"] for one in self.findings]

    def fault(self, check: str) -> dict[str, str]:
        """Give what a check found fault with."""
        found = [one for one in self.findings if one["severity"] != "ok"]
        (only,) = [one for one in found if one["check"] == check]
        return only


def settings_for(kratos: Kratos, hook_port: int) -> dict[str, str]:
    """Name a Kratos, and where its hooks come in, when no server runs."""
    return {
        "KRATOS_PUBLIC_URL": kratos.public_url,
        "KRATOS_ADMIN_URL": kratos.admin_url,
        "HOOK_LISTEN": f"{LOOPBACK}:{hook_port}",
    }


def settings_of(server: Signupd) -> dict[str, str]:
    """Give the settings that a server was started with."""
    return dict(server.settings)


def config_of(kratos: Kratos) -> Path:
    """Name the configuration file of a running Kratos."""
    return kratos.directory / "kratos.yml"


def check(
    settings: Mapping[str, str], *options: str | Path, stdin: str = ""
) -> Checked:
    """Run it to its end, with settings by their names without the prefix."""
    with started(settings, *options) as process:
        return Checked.of(process, stdin)


@contextmanager
def started(
    settings: Mapping[str, str], *options: str | Path
) -> Iterator[subprocess.Popen[str]]:
    """Start it, its standard input and output in pipes; end it afterwards."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    named = {f"SIGNUPD_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "signupd", "check", "--json", *map(str, options)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command,
        # Nobody's .env file is to be read.
        cwd=Path(__file__).parent,
        env=inherited | named,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def held(kratos: Kratos) -> tuple[set[str], set[str], set[str]]:
    """List all that a check might leave: identities, sessions and mails."""
    return identity_ids(kratos), session_ids(kratos), mail_ids(kratos)


def cured(config: dict[str, Any], cure: str) -> None:
    """Do in a configuration what a cure says; of two ways the first."""
    for part in cure.partition("\nor ")[0].split("\nand\n"):
        told = re.fullmatch(r"(?s)In kratos.yml under (\S+), (.+?)(:\n(.*)|\.)", part)
        assert told, part
        where, what, _, text = told.groups()
        *parents, last = where.split(".")
        node = config
        for key in parents:
            node = node.setdefault(key, {})
        path = re.search(r"web_hook to (\w*/[\w/]+)", what)
        _changed(node, last, what, path and path[1], yaml.safe_load(text or ""))


def _changed(
    node: dict[str, Any], key: str, what: str, path: str | None, value: Any
) -> None:
    if what == "set":
        node[key] = {**(node.get(key) or {}), **value}
        return
    hooks = node.setdefault(key, [])
    ours = [
        one for one in hooks if path and one.get("config", {})["url"].endswith(path)
    ]
    if what.startswith("in config"):
        ours[-1]["config"].update(value)
        return
    hooks[:] = [one for one in hooks if one not in ours]
    moved = ours if what.startswith("move") else value or []
    hooks[:] = moved + hooks if re.search("first|beginning", what) else hooks + moved

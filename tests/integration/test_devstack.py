"""The development stack, as far as it goes without a Kratos."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from devstack.binary import KRATOS_DIRECTORY
from devstack.config import KratosConfig
from devstack.kratos import Kratos
from devstack.process import TETHER, ServerFailedError

MakeProgram = Callable[[str, str], Path]


@pytest.fixture
def make_program(tmp_path: Path) -> MakeProgram:
    """Write a shell script that can be run by its name or its path."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o700)
        return path

    return make


@pytest.fixture
def config() -> KratosConfig:
    """Configure a Kratos that is never started."""
    return KratosConfig(
        hook_url="http://127.0.0.1:5", smtp_uri="smtp://127.0.0.1:6/", ports=(7, 8)
    )


def test_reference() -> None:
    """It has our two methods, each with its hook, and no secrets."""
    reference = yaml.safe_load((KRATOS_DIRECTORY / "kratos.yml").read_text())
    methods = reference["selfservice"]["methods"]
    mails = [
        (KRATOS_DIRECTORY / f"mail/registration_code/body.{kind}.gotmpl").read_text()
        for kind in ("txt", "html")
    ]

    assert {"code", "password"} == {
        name for name, method in methods.items() if method["enabled"]
    }
    assert {"code", "password"} == set(
        reference["selfservice"]["flows"]["registration"]["after"]
    )
    assert "15m" == methods["code"]["config"]["lifespan"]
    assert all("15 minutes" in one and "15 Minuten" in one for one in mails)
    assert {"secrets", "dsn"}.isdisjoint(reference)
    assert "connection_uri" not in reference["courier"]["smtp"]


class TestKratos:
    """A process that fails, and one that must not be left behind."""

    @pytest.mark.parametrize(
        ("script", "what"),
        [
            ("echo no such table; exit 1", "could not migrate.*no such table"),
            ('[ "$1" = migrate ] || { echo port taken; exit 1; }', "ended.*port taken"),
        ],
    )
    def test_failure(
        self, make_program: MakeProgram, config: KratosConfig, script: str, what: str
    ) -> None:
        """A Kratos that does not come up is an error that ends with its log."""
        kratos = Kratos(make_program("kratos", script), config)

        with pytest.raises(ServerFailedError, match=f"(?s){what}"), kratos:
            pass
        assert kratos.pid is None
        assert not kratos.directory.exists()

    def test_tether(self) -> None:
        """A tethered program dies when its parent is killed."""
        # Both write to the pipe; when it ends, neither is left.
        starter = (
            "import os, subprocess, sys;"
            f"subprocess.run([sys.executable, {str(TETHER)!r}, str(os.getpid()),"
            "'/bin/sh', '-c', 'echo up; exec sleep 100'])"
        )
        with subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", starter], stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            up = parent.stdout.readline()
            parent.kill()
            rest = parent.stdout.read()

        assert (b"up\n", b"") == (up, rest)

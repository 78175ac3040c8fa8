"""The development stack, as far as it goes without a Kratos."""

import subprocess
import sys

import yaml

from devstack.binary import KRATOS_DIRECTORY
from devstack.process import TETHER


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


def test_tether() -> None:
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

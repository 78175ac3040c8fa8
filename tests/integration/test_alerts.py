"""Prometheus' own tool takes the alerts, and tries them."""

import shutil
import subprocess

import pytest

from tests.deployed import PROMETHEUS


@pytest.mark.parametrize("what", [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_promtool(what: tuple[str, str]) -> None:
    """The rules are well-formed, and fire when they should and not otherwise."""
    promtool = shutil.which("promtool")
    assert promtool, "install promtool (Debian: apt-get install prometheus)"
    command, file = what
    done = subprocess.run(  # noqa: S603 - the machine's own
        [promtool, command, "rules", file],
        cwd=PROMETHEUS,
        check=False,
        capture_output=True,
        text=True,
    )

    assert 0 == done.returncode, done.stdout + done.stderr

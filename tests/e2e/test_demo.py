"""`make demo`, as it runs when the environment is there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.site import Site

ROOT = Path(__file__).parent.parent.parent
# Whoever has a Kratos of their own named there does not want it signed up at.
UNWANTED = {"KRATOS_PUBLIC_URL", "KRATOS_ADMIN_URL"}

STEPS = [
    "The servers",
    "StartSignup",
    "State: CODE_REQUIRED",
    "Kratos holds for this address: nothing",
    "The mail",
    "Your confirmation code",
    "VerifyCode",
    "State: PASSWORD_REQUIRED",
    "Kratos holds for this address: nothing",
    "SetPassword",
    "State: COMPLETED",
    "Kratos holds for this address: 1 account, active, verified, with a password",
    "Sessions left behind in Kratos: 0",
    "Mails that Kratos wrote to this address, in all: 1",
    "Signing in",
    "With another password: refused",
    "With the new password: accepted",
    "claims held",
    "`make run`",
]


def test_tells_it_all(site: Site) -> None:
    """It says every step, in order, and ends with 0."""
    done = _demo(site.binary)
    places, start = [], 0
    for step in STEPS:
        places.append(done.stdout.find(step, start))
        start = max(start, places[-1] + len(step))

    assert (0, "") == (done.returncode, done.stderr)
    assert [] == [
        step for step, place in zip(STEPS, places, strict=True) if place == -1
    ]


def _demo(binary: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo with this Kratos, and without a terminal."""
    kept = {name: os.environ[name] for name in os.environ.keys() - UNWANTED}
    return subprocess.run(
        [sys.executable, "-m", "devstack.demo"],
        cwd=ROOT,
        env=kept | {"KRATOS_BIN": str(binary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

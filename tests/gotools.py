"""Tools that Go installs, from the module proxy."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from devstack.binary import cache_directory


def go_tool(package: str) -> Path:
    """Find a tool, or have Go install it, once.

    Args:
        package: The path of its package, with a version.
    """
    path = package.partition("@")[0]
    name = re.sub(r"/v[0-9]+$", "", path).rpartition("/")[2]
    if found := shutil.which(name):
        return Path(found)
    # Each in a folder of its own: some are called `cmd`.
    program = cache_directory() / "bin" / package.replace("/", "_") / name
    if not program.exists():
        go = shutil.which("go")
        assert go is not None, f"neither {name} nor Go, which installs it, is there"
        subprocess.run(  # noqa: S603 - go, at a version of our choice
            [go, "install", package],
            env=os.environ | {"GOBIN": str(program.parent), "GOFLAGS": ""},
            check=True,
            capture_output=True,
            text=True,
        )
    return program

"""The commands of the documents, and a shell to run them in."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    """Read a page's blocks for a shell, each command in one line."""
    text = (ROOT / page).read_text().replace(" \\\n", " ")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(page: str, start: str) -> list[str]:
    """Read those lines of a page's blocks that start so."""
    return re.findall(rf"^{start}.*$", "".join(blocks(page)), re.MULTILINE)


def shell(command: str, place: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell, up to the first that fails."""
    return subprocess.run(  # noqa: S603 - our own documents
        ["bash", "-ec", command],  # noqa: S607
        cwd=place,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )

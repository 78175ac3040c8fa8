"""What was measured, kept as JSON: one row a line, and the machine."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).with_name("results")
CPU_INFO: Final = Path("/proc/cpuinfo")
FIRST_SIBLINGS: Final = Path(
    "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list"
)
LIBRARIES: Final = ("grpcio", "protobuf", "httpx", "aiohttp", "psycopg")

Json = dict[str, Any]


def write(directory: Path, name: str, rows: list[Json], on: Json) -> None:
    """Replace the results of a benchmark.

    Args:
        directory: Where results are kept.
        name: The benchmark's.
        rows: Its figures.
        on: The machine, as ``machine`` described it beforehand.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    text = f'{{"machine": {json.dumps(on)},\n"rows": [\n{lines}\n]}}\n'
    (directory / f"{name}.json").write_text(text, encoding="utf-8")


def read(directory: Path, name: str) -> list[Json]:
    """Read the rows of a benchmark.

    Raises:
        FileNotFoundError: It never was run.
    """
    text = (directory / f"{name}.json").read_text(encoding="utf-8")
    rows: list[Json] = json.loads(text)["rows"]
    return rows


def machine() -> Json:
    """Describe the machine, and what else it has to do."""
    models = [
        line.partition(":")[2].strip()
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        # Two of one core are no two cores.
        "siblings_of_first": FIRST_SIBLINGS.read_text(encoding="utf-8").strip(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        **{name: version(name) for name in LIBRARIES},
    }

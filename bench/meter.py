"""What processes cost the machine, where they may run, and how figures are compared."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from devstack.process import Process

MICROS = 1_000_000
MEBIBYTE = 1024 * 1024
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# Places in /proc/PID/stat, counted from the state on; proc(5).
WAITED_USER, WAITED_SYSTEM = 13, 14
# The kind of clock that counts what a process has used; <linux/posix-timers.h>.
CPUCLOCK_SCHED = 2


def cpu_seconds(process: Process) -> float:
    """Measure the processor time of a running process and its children.

    That of children that have ended is known in ticks of 10 ms only.
    """
    pid = _pid(process)
    ended = sum(_stat(pid, place) for place in (WAITED_USER, WAITED_SYSTEM))
    children = (PROC / f"{pid}/task/{pid}/children").read_text().split()
    return sum(map(_used, (pid, *map(int, children)))) + ended / TICKS_PER_SECOND


def resident_mebibytes(process: Process) -> float:
    """Measure how much memory a process holds."""
    pages = int((PROC / str(_pid(process)) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def cores() -> tuple[set[int], set[int]]:
    """Divide the processor's cores: one for what is measured, the others for the rest.

    Returns:
        The same core twice where there is only one.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


@contextmanager
def on_cores(some: set[int], pid: int | None = None) -> Iterator[None]:
    """Run a process, by default this one, on these cores only.

    What it starts meanwhile stays there for good.
    """
    before = os.sched_getaffinity(pid or 0)
    os.sched_setaffinity(pid or 0, some)
    try:
        yield
    finally:
        os.sched_setaffinity(pid or 0, before)


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Give the median of the ratios, one for each round."""
    return median(one / other for one, other in zip(ones, others, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the least value that so many percent of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def _pid(process: Process) -> int:
    if process.pid is None:
        raise AssertionError("the process does not run")
    return process.pid


def _used(pid: int) -> float:
    """Read a process' own clock; 0 of one that has ended."""
    try:
        # What clock_getcpuclockid(3) gives, which Python lacks.
        return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _stat(pid: int, place: int) -> int:
    text = (PROC / str(pid) / "stat").read_text()
    # The name before the state may hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[place])

"""What a process has cost the machine so far, and where it may run."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")

# Places in /proc/PID/stat, counted from the state on; proc(5).
PARENT, WAITED_USER, WAITED_SYSTEM = 1, 13, 14
# The kind of clock that counts what a process has used; <linux/posix-timers.h>.
CPUCLOCK_SCHED = 2


def cpu_seconds(pid: int) -> float:
    """Tell the processor time of a process and of its children, all threads.

    That of children that have ended is known in ticks of 10 ms only.
    """
    ended = sum(_stat(pid, place) for place in (WAITED_USER, WAITED_SYSTEM))
    running = sum(map(_used, (pid, *_children(pid))))
    return running + ended / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Tell how much memory a process holds."""
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[set[int], set[int]]:
    """Divide the processor's cores: one for what is measured, the rest for the rest.

    Returns:
        Twice the same where there is only one.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


@contextmanager
def on_cores(some: set[int]) -> Iterator[None]:
    """Run on these cores only, and whoever is started meanwhile, for good."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, some)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _used(pid: int) -> float:
    """Read a process' own clock; 0 of one that has ended."""
    try:
        # What clock_getcpuclockid(3) gives, which Python lacks.
        return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _children(pid: int) -> list[int]:
    numbers = [int(path.name) for path in PROC.iterdir() if path.name.isdecimal()]
    return [one for one in numbers if _stat(one, PARENT) == pid]


def _stat(pid: int, place: int) -> int:
    """Read one number; 0 of a process that has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name before the state may hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[place])

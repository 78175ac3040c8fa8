"""The sampler: py-spy looks at a server many times a second and says where it is."""

from __future__ import annotations

import re
import signal
import subprocess
import sysconfig
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.programs import ProgramFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# By thread, then by part.
Samples = dict[str, Counter[str]]

SAMPLES_PER_SECOND = 100
# It ends when it is told to, at the latest after this.
LONGEST_SECONDS = 3600

# A thread's first frame, by py-spy.
THREAD = re.compile(r"thread \((\d+)\)")
# A thread that is there is waiting, and costs nothing.
WAITING = re.compile(
    r"epoll_wait|select \(selectors|pthread_cond_(timed)?wait|acquire_lock_timed"
)
# How deep under such a frame the system's own may lie.
DEPTH = 4

EVENT_LOOP, GARBAGE, LOGGING, HOOK_PORT, HTTP, REST, SQLALCHEMY, DRIVER = (
    "event loop (asyncio)",
    "garbage collection",
    "log",
    "hook port",
    "HTTP client",
    "interpreter and system",
    "SQLAlchemy",
    "database driver",
)
# Where code lies -> the part it belongs to; the first that fits.
PARTS = tuple(
    (re.compile(pattern), part)
    for pattern, part in {
        r"gc_collect": GARBAGE,
        r"structlog/|logging/": LOGGING,
        r"email_validator/|idna/": "address",
        r"zxcvbn": "password rules",
        r"grpc/": "gRPC",
        r"google/|_message\.abi3|kratos_signup/": "protobuf",
        r"sqlalchemy|greenlet": SQLALCHEMY,
        r"aiosqlite/|sqlite3|psycopg|libpq": DRIVER,
        r"httpx": "httpx",
        r"aiohttp/web": HOOK_PORT,
        r"kratos/http\.py|httpx|aiohttp": HTTP,
        r"aiohttp|multidict|yarl|propcache|frozenlist|aiosignal|attrs? ": HTTP,
        r"json/|_json\.": "JSON",
        r"sealing\.py|cryptography|_rust\.abi3|hmac\.py|libcrypto": "sealing",
        r"signupd/": "ours",
        r"uvloop/|asyncio/|selectors\.py": EVENT_LOOP,
    }.items()
)


@contextmanager
def sampled(pid: int) -> Iterator[Samples]:
    """Sample all threads of a server that run Python.

    Yields:
        How many samples fell to a part, by thread and part; empty until the end. A
        thread that only waited is there, with none.

    Raises:
        ProgramFailedError: py-spy is not there, or may not look.
    """
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory, "samples")
        with _started(pid, raw) as process:
            yield samples
            process.send_signal(signal.SIGINT)
            said = process.communicate()[0]
        if not raw.exists():
            raise ProgramFailedError(f"py-spy: {said.decode()}")
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            thread, *frames = stack.split(";")
            named = THREAD.match(thread)
            if named:
                parts = samples.setdefault(named[1], Counter())
                parts[part_of(frames)] += 0 if _waits(frames) else int(count)


def part_of(frames: list[str]) -> str:
    """Tell whose time a sample is: the innermost frame that belongs to a part.

    Args:
        frames: From the outermost to the innermost, each with its file's name.
    """
    parts = [found for found in map(_part, reversed(frames)) if found]
    if LOGGING in parts:
        return LOGGING  # its JSON too
    part = next(iter(parts), REST)
    served = any("aiohttp/web" in frame for frame in frames)
    return HOOK_PORT if part == HTTP and served else part


def thread_micros(pid: int) -> dict[str, float]:
    """Tell how long each thread of a server has run, in microseconds."""
    return {
        task.name: int((task / "schedstat").read_text().split()[0]) / 1000
        for task in Path("/proc", str(pid), "task").iterdir()
    }


@contextmanager
def _started(pid: int, raw: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        str(Path(sysconfig.get_path("scripts"), "py-spy")),
        *("record", "--native", "--threads", "--format=raw", f"--output={raw}"),
        *(f"--rate={SAMPLES_PER_SECOND}", f"--duration={LONGEST_SECONDS}"),
        f"--pid={pid}",
    ]
    with subprocess.Popen(  # noqa: S603 - of our own environment
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            said = b""
            for line in process.stdout or ():
                said += line
                if b"Sampling process" in line:
                    break
            else:
                raise ProgramFailedError(f"py-spy: {said.decode()}")
            yield process
        finally:
            process.terminate()


def _waits(frames: list[str]) -> bool:
    return any(map(WAITING.search, frames[-DEPTH:]))


def _part(frame: str) -> str | None:
    fitting = (part for pattern, part in PARTS if pattern.search(frame))
    return next(fitting, None)

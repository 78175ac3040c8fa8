"""The Kratos binary: named, found in the cache, or built."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KRATOS_DIRECTORY = Path(__file__).parent.parent / "kratos"

MODULE = "github.com/ory/kratos"

# readonly: go.mod and go.sum pin what is built, and a build must not touch them.
# buildvcs: this repository's commit says nothing about Kratos.
BUILD_FLAGS = ("-mod=readonly", "-buildvcs=false", "-tags=sqlite")
# GOFLAGS could set other tags; a go.work above could set other versions; with no C
# compiler go would leave SQLite out without a word.
BUILD_ENVIRONMENT = {"GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "1"}

# How much of go's output an error shows.
ERROR_LINES = 15

THREE_WAYS = """\
There are three ways to a Kratos:
  - install Go 1.24 or later and a C compiler (https://go.dev/dl); Kratos 1.3.1
    is then built from kratos/go.mod, once, in a few minutes
  - set KRATOS_BIN to a Kratos binary, 1.3.1 or later, with SQLite
  - run one yourself, for instance with deploy/compose.yaml (see
    deploy/README.md), and set KRATOS_PUBLIC_URL and KRATOS_ADMIN_URL"""

OnProgress = Callable[[int, int], None]


class KratosMissingError(Exception):
    """There is no Kratos binary and none could be built."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{THREE_WAYS}")


def kratos_binary(on_progress: OnProgress | None = None) -> Path:
    """Find the Kratos binary, or build it.

    A build goes to `${XDG_CACHE_HOME:-~/.cache}/kratos-signup/`, under a name that
    changes with go.mod, go.sum and the Go version; binaries of other names stay.
    Two builders at once wait for each other.

    Args:
        on_progress: Gets the packages compiled so far and their total, first when a
            build begins. Only what go has not cached itself is counted.

    Raises:
        KratosMissingError: KRATOS_BIN names no executable, Go is not installed, or
            the build failed.
    """
    named = os.environ.get("KRATOS_BIN")
    if named:
        return _executable(named)
    go = shutil.which("go")
    if go is None:
        raise KratosMissingError("Go is not installed.")
    version = "".join(_lines([go, "env", "GOVERSION"]))
    target = cache_directory() / f"kratos-{cache_key(KRATOS_DIRECTORY, version)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_suffix(".lock")):
        if not target.exists():
            _build(go, target, on_progress or (lambda _done, _total: None))
    return target


def cache_directory() -> Path:
    """Name the directory of the built binaries, as the XDG base directories say."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification wants relative paths ignored.
    return (base if base.is_absolute() else Path.home() / ".cache") / "kratos-signup"


def cache_key(directory: Path, go_version: str) -> str:
    """Digest what a build depends on: go.mod, go.sum and the version of Go."""
    digest = hashlib.sha256(go_version.encode())
    for name in ("go.mod", "go.sum"):
        digest.update(b"\0" + (directory / name).read_bytes())
    return digest.hexdigest()[:16]


def build_command(go: str, target: Path, version: str, *options: str) -> list[str]:
    """Give the command, for kratos/, that builds Kratos; its README shows it."""
    # So that GET /admin/version tells the truth; unset it says "master".
    stamp = f"-ldflags=-X {MODULE}/driver/config.Version={version}"
    return [go, "build", *options, *BUILD_FLAGS, stamp, f"-o={target}", MODULE]


def _executable(named: str) -> Path:
    found = shutil.which(named)
    if found is None:
        raise KratosMissingError(f"KRATOS_BIN names no executable file: {named}")
    return Path(found).absolute()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, target: Path, on_progress: OnProgress) -> None:
    partial = target.with_suffix(f".{os.getpid()}")
    on_progress(0, 1)
    list_version = [go, "list", "-mod=readonly", "-m", "-f={{.Version}}", MODULE]
    version = list(_lines(list_version))[-1]
    # This also downloads the modules, and says so in lines with spaces.
    template = "{{if .Stale}}{{.ImportPath}}{{end}}"
    stale = [go, "list", *BUILD_FLAGS, "-deps", f"-f={template}", MODULE]
    total = sum(_is_package(line) for line in _lines(stale))
    done = 0
    try:
        for line in _lines(build_command(go, partial, version, "-v")):
            done += _is_package(line)
            on_progress(min(done, total), total)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _is_package(line: str) -> bool:
    """Tell the name of a package from go's other output, such as downloads."""
    return bool(line) and " " not in line


def _lines(command: list[str]) -> Iterator[str]:
    """Run go in kratos/ and give its output, both kinds, line by line."""
    tail: list[str] = []
    with subprocess.Popen(  # noqa: S603 - go, with arguments from this module
        command,
        cwd=KRATOS_DIRECTORY,
        env=os.environ | BUILD_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            tail = [*tail, line.rstrip()][-ERROR_LINES:]
            yield tail[-1]
    if process.returncode:
        said = "\n".join(f"  {line}" for line in tail)
        raise KratosMissingError(f"`go {command[1]}` failed:\n{said}")

"""Files that operators write: reading them, and saying why one cannot be used."""

import codecs
import re
import stat
from pathlib import Path
from typing import Final

Stamp = tuple[int, int, int] | None
# A key in base64, as it looks if it stands where the name of its file belongs.
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


class FileUnusableError(ValueError):
    """A file cannot be used: why, and where in it. Neither repeats its content."""

    def __init__(self, why: str, place: str = "") -> None:
        super().__init__(f"{place}: {why}" if place else why)
        self.why = why
        self.place = place

    def of(self, path: object) -> str:
        """Write what is wrong, with the path in front: ``x.toml, line 3: ...``."""
        return f"{path}{self.place and ', '}{self.place}: {self.why}"


def read_file(path: Path, limit_bytes: int, *, regular: bool = False) -> bytes:
    """Read a file; with ``regular`` no pipe, which would wait for its writer.

    Raises:
        FileUnusableError: It cannot be read, or is larger.
    """
    if "\0" in str(path):
        raise FileUnusableError("is not a path")
    try:
        mode = path.stat().st_mode
        if regular and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise FileUnusableError("is not a regular file")
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise FileUnusableError(error.strerror or type(error).__name__) from error
    if len(content) > limit_bytes:
        raise FileUnusableError(f"has more than {limit_bytes} bytes")
    return content


def read_text(path: Path, limit_bytes: int, *, regular: bool = False) -> str:
    """Read a file in UTF-8; errors are those of ``read_file``.

    Editors on Windows begin it with a byte order mark, which would be part of a name.
    """
    content = read_file(path, limit_bytes, regular=regular)
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileUnusableError("is not UTF-8", f"line {line}") from error


def stamp_of(file: Path) -> Stamp:
    """Return what differs once a file is written or replaced; None without it.

    The time is that of the change itself, whatever times its writer sets.
    """
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns


def shown(path: Path) -> str:
    """Write a path from the settings, unless it may be a secret in the wrong place."""
    leads_on = path.is_absolute() or (path.parent != Path() and path.parent.is_dir())
    if leads_on and str(path).isprintable() and not _KEY.fullmatch(str(path)):
        return str(path)
    return f"the file that it names in {Path.cwd()}"

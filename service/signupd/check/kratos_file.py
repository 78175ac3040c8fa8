"""Kratos' configuration files. Absent keys have Kratos' defaults.

The defaults are those of ``embedx/config.schema.json`` in Kratos 1.3.1 to 26.2. What
Kratos' process gets from its environment is not seen.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from signupd.ports.hooks import CODE_PATH, PASSWORD_PATH
from signupd.textfile import FileUnusableError, read_text

FLOWS: Final = "selfservice.flows"
AFTER: Final = f"{FLOWS}.registration.after"
PROFILE: Final = "selfservice.methods.profile.enabled"
PATHS: Final = {"code": CODE_PATH, "password": PASSWORD_PATH}  # of our hooks
_NEEDED: Final = "selfservice"  # Kratos does not start without
_NO_CONFIGURATION: Final = "is not a configuration of Kratos"
MAX_FILE_BYTES: Final = 1024 * 1024
_DEFAULTS: Final[dict[str, Any]] = {
    "selfservice.methods.code.config.lifespan": "1h",
    "selfservice.methods.code.config.max_submissions": 5,
    "selfservice.methods.password.config.min_password_length": 8,
    PROFILE: True,
    "selfservice.flows.registration.lifespan": "1h",
    "hashers.algorithm": "bcrypt",
    "courier.worker.pull_count": 10,
    "courier.worker.pull_wait": "1s",
    "identity.default_schema_id": "default",
}
# Go's units of time, in seconds.
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(r"([0-9]+)(ns|us|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook of a flow; it interrupts if Kratos asks it before it stores anything.

    Kratos stores what the answer says of the identity only if it parses the answer.
    """

    kind: str
    url: str
    interrupts: bool
    parses: bool
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KratosFile:
    """Kratos' configuration, as the dictionary that the files make."""

    config: dict[str, Any]

    def value(self, path: str) -> Any:
        """Give a setting by its keys with dots, or its default; None without both."""
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return _DEFAULTS.get(path) if value is None else value

    def number(self, path: str) -> int:
        """Give a whole number; 0 where the file has none."""
        value = self.value(path)
        return value if isinstance(value, int) else 0

    def seconds(self, path: str) -> float:
        """Give a duration, in seconds; 0 where the file has none that Kratos takes."""
        parts = _DURATION.findall(str(self.value(path)))
        return sum(int(number) * _UNITS[unit] for number, unit in parts)

    def hooks(self, place: str) -> list[Hook]:
        """List the hooks of a place, such as ``...registration.after.password``."""
        entries = self.value(f"{place}.hooks")
        return [_hook(entry) for entry in entries] if isinstance(entries, list) else []

    def places(self, place: str = FLOWS) -> Iterator[str]:
        """List the places of hooks, such as ``selfservice.flows.login.after``."""
        inside = self.value(place)
        for key in inside if isinstance(inside, dict) else ():
            if key == "hooks":
                yield place
            else:
                yield from self.places(f"{place}.{key}")

    def may_refuse(self, place: str) -> bool:
        """Whether a hook of a place can keep Kratos from storing anything."""
        return any(hook.interrupts for hook in self.hooks(place))


def read_files(paths: Iterable[Path]) -> KratosFile:
    """Read YAML or JSON files as Kratos does: maps are merged, the last file wins.

    Raises:
        FileUnusableError: One of them cannot be; the text begins with its path.
    """
    config: dict[str, Any] = {}
    for path in paths:
        config = _merged(config, _read(path))
    if _NEEDED not in config:
        raise FileUnusableError(f"{path}: {_NO_CONFIGURATION}: it lacks {_NEEDED}")
    return KratosFile(config)


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(read_text(path, MAX_FILE_BYTES))
    except FileUnusableError as error:
        raise FileUnusableError(error.of(path)) from error


def _parsed(text: str) -> dict[str, Any]:
    """Parse YAML. Errors have none of the library's words: they quote the file."""
    place, why = "", "is not YAML"
    try:
        content = _document(text)
        if isinstance(content, dict):
            return content
        why = _NO_CONFIGURATION
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        place, why = f"line {line}", "has a control character"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    except (yaml.YAMLError, RecursionError, ValueError, AttributeError, TypeError):
        pass  # the last two are the library's own, for a tag that does not fit
    raise FileUnusableError(why, place)


def _document(text: str) -> Any:
    """Read the first document, as Kratos does. JSON may be indented with tabs."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return next(yaml.safe_load_all(text), None)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another; lists are replaced as a whole."""
    made = below | above
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            made[key] = _merged(old, value)
    return made


def _hook(entry: Any) -> Hook:
    entry = entry if isinstance(entry, dict) else {}
    kind, config = str(entry.get("hook")), entry.get("config")
    if kind != "web_hook" or not isinstance(config, dict):
        return Hook(kind, "", interrupts=False, parses=False, config={})
    response = config.get("response")
    parses = isinstance(response, dict) and response.get("parse") is True
    # The older setting, with which Kratos reads only whether to go on.
    interrupts = parses or config.get("can_interrupt") is True
    return Hook(kind, str(config.get("url", "")), interrupts, parses, config)

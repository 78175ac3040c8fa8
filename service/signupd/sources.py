"""Where settings come from: the environment, ``.env`` and a TOML file."""

import io
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from signupd.textfile import FileUnusableError, read_text

PREFIX: Final = "SIGNUPD_"
# NAME_FILE may name a file that holds one of these.
SECRETS: Final = ("hook_key", "kratos_admin_token", "token_keys", "digest_key")
# Kubernetes sets these for each service of a namespace; here without the prefix, as
# name=value. A service named signupd-hooks puts more in front. A setting that somebody
# takes METRICS_PORT to be has no URL as its value.
_URL: Final = r"(tcp|udp|sctp)://.+"
_OF_KUBERNETES: Final = re.compile(
    r"(\w+_)?(service_host=.*|service_port(_\w+)?=[0-9]+"
    rf"|port={_URL}|port_[0-9]+_(tcp|udp|sctp)(={_URL}|_(proto|port|addr)=.*))"
)
MAX_FILE_BYTES: Final = 1024 * 1024
_DOTENV: Final = Path(".env")


def read(
    config: Path | None, mistakes: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read all sources, and where in them each setting stands.

    A path stands for the content of its file. Sources that cannot be read become
    ``mistakes``.
    """
    given: dict[str, Any] = {}
    places: dict[str, str] = {}
    for source, text, values in _sources(config, mistakes):
        layer = _layer(values)
        for name, spellings in Counter(map(_bare, values)).items():
            if spellings > 1:
                place = f"{source}{_line(text, name, source)}"
                fault = "is set in two spellings"
                mistakes.append(f"{PREFIX}{name.upper()}: {fault} ({place})")
        given |= layer
        for name, value in layer.items():
            written = f"{name}_file" if isinstance(value, Path) else name
            places[name] = places[written] = source + _line(text, written, source)
    return given, places


def _sources(
    config: Path | None, mistakes: list[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Read the sources: name, text and settings, from the lowest precedence upwards."""
    # A folder of that name is somebody's virtual environment.
    dotenv = _DOTENV if os.path.lexists(_DOTENV) and not _DOTENV.is_dir() else None
    for start, path, parse in (("--config: ", config, _toml), ("", dotenv, _dotenv)):
        if path is not None:
            try:
                text = read_text(path, MAX_FILE_BYTES, regular=path is _DOTENV)
                yield str(path), text, parse(text)
            except FileUnusableError as error:
                mistakes.append(start + error.of(path))
    yield "environment", "", _ours(os.environ, names_of_kubernetes())


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise FileUnusableError("is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        # The rest of the library's words may repeat the file.
        said = str(error)
        place = re.search(r"line \d+, column \d+(?=\)$)", said)
        if place is None:  # "at end of document", wherever the fault began
            why = "is not TOML: something is missing at its end, or not closed"
            raise FileUnusableError(why) from None
        twice = re.match("Cannot overwrite|Cannot declare .* twice|Duplicate", said)
        why = "sets a name twice" if twice else "is not TOML"
        raise FileUnusableError(why, place[0]) from None


def _dotenv(text: str) -> dict[str, Any]:
    for statement in parse_stream(io.StringIO(text)):
        # python-dotenv itself would go on without it.
        if statement.error or (statement.key and statement.value is None):
            place = f"line {statement.original.line}"
            raise FileUnusableError("is not NAME=value", place)
    # Not interpolated: a secret may have a $ in it.
    return _ours(dotenv_values(stream=io.StringIO(text), interpolate=False))


def _line(text: str, name: str, source: str) -> str:
    """Say in which line of a source a setting stands, as far as that shows."""
    prefix = PREFIX if source == str(_DOTENV) else f"({PREFIX})?"
    start = rf"""^[ \t]*(export[ \t]+)?\[?[ \t]*["']?{prefix}"""
    pattern = rf"""(?im){start}{re.escape(name)}["']?[ \t]*[].=]"""
    found = [match.start() for match in re.finditer(pattern, text)]
    return f", line {text.count(chr(10), 0, found[-1]) + 1}" if found else ""


def secrets_in_readable_dotenv() -> bool:
    """Return whether every user of the machine can read secrets in ``.env``."""
    try:
        open_to_others = Path(".env").stat().st_mode & stat.S_IROTH
    except OSError:
        return False
    return bool(open_to_others and {*SECRETS} & {*map(_bare, dotenv_values(".env"))})


def _ours(values: Mapping[str, Any], ignored: Sequence[str] = ()) -> dict[str, Any]:
    """Choose the variables with our prefix, in capitals or not."""
    return {
        name: value
        for name, value in values.items()
        if name.upper().startswith(PREFIX) and name not in ignored
    }


def names_of_kubernetes() -> list[str]:
    """Name the variables that Kubernetes sets for services; they are not settings."""
    return sorted(
        name
        for name, value in _ours(os.environ).items()
        if _OF_KUBERNETES.fullmatch(f"{_bare(name)}={value}")
    )


def _layer(values: dict[str, Any]) -> dict[str, Any]:
    """Turn NAME_FILE into NAME, so that either overrides both of a lower source."""
    layer = {_bare(name): value for name, value in values.items()}
    for name in SECRETS:
        file = f"{name}_file"
        if file in layer and name not in layer:
            layer[name] = Path(str(layer.pop(file)))
    return layer


def _bare(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())

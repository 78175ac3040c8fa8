"""Where settings come from: environment, ``.env``, a TOML file, files of secrets."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dotenv import dotenv_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "SIGNUPD_"
MAX_SECRET_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """A setting as somebody gave it.

    Args:
        value: As it stood there.
        source: ``environment``, ``.env`` or the TOML file's name.
        file: The file that held the value, where NAME_FILE named one.
    """

    value: Any = field(repr=False)
    source: str
    file: str | None = None


def read(
    config: Path | None,
    environ: Mapping[str, str] | None,
    secrets: Iterable[str],
    mistakes: list[str],
) -> dict[str, Given]:
    """Read what is given: the environment before ``.env`` before the TOML file.

    Args:
        config: The TOML file, where there is one. Names in it may lack the prefix.
        environ: The environment; the process' own unless given.
        secrets: The settings that may stand in a file of their own.
        mistakes: What is wrong is added here, a line each, without any value.

    Returns:
        By the setting's name in lower case, without the prefix.
    """
    given: dict[str, Given] = {}
    environment = os.environ if environ is None else environ
    for source, values in (
        (str(config), _toml(config, mistakes)),
        (".env", _prefixed(_dotenv(mistakes))),
        ("environment", _prefixed(environment)),
    ):
        layer = {name: Given(value, source) for name, value in values.items()}
        given = {**_without_rivals(given, layer), **layer}
    _read_secrets(given, secrets, mistakes)
    return given


def _dotenv(mistakes: list[str]) -> dict[str, str | None]:
    try:
        return dotenv_values(".env") if Path(".env").is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f".env: cannot be read ({type(error).__name__})")
        return {}


def _prefixed(values: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        _plain(name): value
        for name, value in values.items()
        if name.upper().startswith(PREFIX) and value is not None
    }


def _toml(config: Path | None, mistakes: list[str]) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        values = tomllib.loads(config.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        mistakes.append(f"--config: cannot be read ({type(error).__name__})")
        return {}
    return {_plain(name): value for name, value in values.items()}


def _plain(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())


def _without_rivals(
    below: dict[str, Given], layer: dict[str, Given]
) -> dict[str, Given]:
    """Let NAME in one layer overrule NAME_FILE in a lower one, and the other way."""
    rivals = {f"{name}_file" for name in layer}
    rivals |= {name.removesuffix("_file") for name in layer if name.endswith("_file")}
    return {name: given for name, given in below.items() if name not in rivals}


def _read_secrets(
    given: dict[str, Given], secrets: Iterable[str], mistakes: list[str]
) -> None:
    for name in secrets:
        named = given.pop(f"{name}_file", None)
        if named is None:
            continue
        label = f"{PREFIX}{name.upper()}_FILE"
        if name in given:
            mistakes.append(f"{label}: {PREFIX}{name.upper()} is given too")
            continue
        path = str(named.value)
        try:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(MAX_SECRET_BYTES).strip()
            given[name] = replace(named, value=text, file=path)
        except (OSError, ValueError) as error:
            mistakes.append(f"{label}: cannot be read ({type(error).__name__})")

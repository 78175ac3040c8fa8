"""Where settings come from: the environment, ``.env`` and a TOML file."""

import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
)

PREFIX: Final = "SIGNUPD_"
DOTENV: Final = ".env"
# NAME_FILE may name a file that holds one of these.
SECRETS: Final = ("hook_key", "kratos_admin_token", "token_keys", "digest_key")
# Kubernetes sets these for each service of a namespace; here without the prefix. A
# service named signupd-hooks puts more in front.
_OF_KUBERNETES: Final = re.compile(
    r"(\w+_)?(service_host|service_port(_\w+)?|port(_[0-9]+_(tcp|udp|sctp)(_\w+)?)?)"
)


class _Names(BaseSettings):
    """Tells pydantic-settings the prefix; it has no fields, so all names are read."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, dotenv_filtering="match_prefix"
    )


def read(config: Path | None, mistakes: list[str]) -> dict[str, Any]:
    """Read all sources, from the lowest precedence to the highest.

    Args:
        config: The TOML file, if there is one. Its names may lack the prefix.
        mistakes: Sources that cannot be read are added here, one line each.

    Returns:
        By the setting's name, in lower case and without the prefix. A path stands for
        the content of its file.
    """
    sources: dict[str, Callable[[], dict[str, Any]]] = {
        "--config": lambda: tomllib.loads(config.read_text()) if config else {},
        DOTENV: _dotenv,
        "environment": _environment,
    }
    given: dict[str, Any] = {}
    for source, values in sources.items():
        try:
            given |= _layer(values())
        except (OSError, ValueError) as error:
            mistakes.append(f"{source}: cannot be read ({type(error).__name__})")
    return given


def secrets_in_readable_dotenv() -> bool:
    """Return whether every user of the machine can read secrets in ``.env``."""
    try:
        open_to_others = Path(DOTENV).stat().st_mode & stat.S_IROTH
    except OSError:
        return False
    return bool(open_to_others) and bool({*SECRETS} & {*map(_bare, _dotenv())})


def _dotenv() -> dict[str, Any]:
    return DotEnvSettingsSource(_Names, DOTENV)()


def _environment() -> dict[str, Any]:
    return {
        name: value
        for name, value in EnvSettingsSource(_Names).env_vars.items()
        if name.startswith(PREFIX.lower()) and not _OF_KUBERNETES.fullmatch(_bare(name))
    }


def _layer(values: dict[str, Any]) -> dict[str, Any]:
    """Turn NAME_FILE into NAME, so that either overrides both of a lower source."""
    layer = {_bare(name): value for name, value in values.items() if value is not None}
    for name in SECRETS:
        file = f"{name}_file"
        if file in layer and name not in layer:
            layer[name] = Path(str(layer.pop(file)))
    return layer


def _bare(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())

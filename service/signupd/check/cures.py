"""Lines to put into kratos.yml."""

from typing import Any, Final

import yaml

from signupd.hooks import CODE_PATH, KEY_HEADER, PASSWORD_PATH
from signupd.notation import dialled
from signupd.settings import Settings

AFTER: Final = "selfservice.flows.registration.after"
PATHS: Final = {"code": CODE_PATH, "password": PASSWORD_PATH}
# Wider than any line of ours, so that none is folded.
_WIDTH: Final = 1000


def lines(path: str, value: Any) -> str:
    """Write a setting as it stands in kratos.yml.

    Args:
        path: Its keys from the top, with dots.
        value: What to set it to.
    """
    for key in reversed(path.split(".")):
        value = {key: value}
    text: str = yaml.safe_dump(value, sort_keys=False, width=_WIDTH)
    return text.rstrip()


def hook_lines(hook: str, settings: Settings, method: str = "") -> str:
    """Write one of our hooks.

    Args:
        hook: ``code`` or ``password``.
        settings: Where the hooks come in, and whether with a key.
        method: The registration method that it stands under; its own unless given.
    """
    address = settings.hook_listen
    if dialled(address) != address:  # it stands for all addresses of this machine
        address = f"<this host>:{address.rpartition(':')[2]}"
    config: dict[str, Any] = {
        "url": f"http://{address}{PATHS[hook]}",
        "method": "POST",
        "body": f"file://./hooks/{hook}.jsonnet",
        "response": {"parse": True},
    }
    if settings.hook_key is not None:
        key = {"name": KEY_HEADER, "value": "<SIGNUPD_HOOK_KEY>", "in": "header"}
        config["auth"] = {"type": "api_key", "config": key}
    entry = {"hook": "web_hook", "config": config}
    return lines(f"{AFTER}.{method or hook}.hooks", [entry])

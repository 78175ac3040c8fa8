"""Cures: lines to put into kratos.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from signupd.hooks import CODE_PATH, KEY_HEADER, PASSWORD_PATH
from signupd.notation import dialled

if TYPE_CHECKING:
    from signupd.settings import Settings

AFTER: Final = "selfservice.flows.registration.after"
# Wider than any line of ours, so that none is folded.
_WIDTH: Final = 1000
_PATHS: Final = {"code": CODE_PATH, "password": PASSWORD_PATH}


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
    """Write a hook of ours.

    Args:
        hook: Which one: ``code`` says no to everybody, ``password`` to all but us.
        settings: Where it comes in, and whether with a key.
        method: Under which method it stands; its own unless given.
    """
    config: dict[str, Any] = {
        "url": f"http://{_seen_from_kratos(settings.hook_listen)}{_PATHS[hook]}",
        "method": "POST",
        "body": f"file://./hooks/{hook}.jsonnet",
        "response": {"parse": True},
    }
    if settings.hook_key is not None:
        key = {"name": KEY_HEADER, "value": "<SIGNUPD_HOOK_KEY>", "in": "header"}
        config["auth"] = {"type": "api_key", "config": key}
    entry = {"hook": "web_hook", "config": config}
    return lines(f"{AFTER}.{method or hook}.hooks", [entry])


def _seen_from_kratos(address: str) -> str:
    """Name a host where HOOK_LISTEN stands for all addresses of this machine."""
    if dialled(address) == address:
        return address
    return f"<this host>:{address.rpartition(':')[2]}"

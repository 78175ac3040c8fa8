"""Ways to change Kratos' reference configuration, or to break it."""

from copy import deepcopy
from typing import Any

from devstack.config import Mutation

REGISTRATION = "selfservice.flows.registration"
AFTER = f"{REGISTRATION}.after"


def setting(path: str, value: Any) -> Mutation:
    """Set one setting.

    Args:
        path: With dots, from the top of the configuration.
        value: What to set it to.
    """

    def mutate(config: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config.setdefault(parent, {})
        config[last] = deepcopy(value)

    return mutate


def without_hook(method: str) -> Mutation:
    """Remove the hook of a method, `code` or `password`."""
    return setting(f"{AFTER}.{method}.hooks", [])


def hook_for_all(method: str) -> Mutation:
    """Put the hook of a method at the wrong place: under `after.hooks`."""

    def mutate(config: dict[str, Any]) -> None:
        after = config["selfservice"]["flows"]["registration"]["after"]
        after["hooks"] = after.pop(method)["hooks"]

    return mutate


def unparsed_hook(method: str) -> Mutation:
    """Have Kratos call the hook of a method, but not listen to it."""

    def mutate(config: dict[str, Any]) -> None:
        after = config["selfservice"]["flows"]["registration"]["after"]
        after[method]["hooks"][-1]["config"]["response"] = {"parse": False}

    return mutate


def hook_at(method: str, port: int) -> Mutation:
    """Have the hook of a method called at another port of this machine."""

    def mutate(config: dict[str, Any]) -> None:
        after = config["selfservice"]["flows"]["registration"]["after"]
        url = f"http://127.0.0.1:{port}/kratos/{method}"
        after[method]["hooks"][-1]["config"]["url"] = url

    return mutate


def hook_key(key: str) -> Mutation:
    """Have both hooks send a shared secret, as kratos.yml says it."""
    config = {"name": "X-Hook-Key", "value": key, "in": "header"}

    def mutate(reference: dict[str, Any]) -> None:
        after = reference["selfservice"]["flows"]["registration"]["after"]
        for method in ("code", "password"):
            hook = after[method]["hooks"][-1]["config"]
            hook["auth"] = {"type": "api_key", "config": config}

    return mutate

"""Ways to change Kratos' reference configuration, or to break it."""

import base64
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from devstack.config import Mutation

REGISTRATION = "selfservice.flows.registration"
AFTER = f"{REGISTRATION}.after"


def setting(path: str, value: Any) -> Mutation:
    """Set one setting; its path has dots, from the top of the configuration."""

    def mutate(config: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config.setdefault(parent, {})
        config[last] = deepcopy(value)

    return mutate


def without_hook(method: str) -> Mutation:
    """Remove the hook of a method, `code` or `password`."""
    return setting(f"{AFTER}.{method}.hooks", [])


def after_registration(config: dict[str, Any]) -> dict[str, Any]:
    """Give the part with the hooks after registration."""
    part: dict[str, Any] = config["selfservice"]["flows"]["registration"]["after"]
    return part


def hook_for_all(method: str) -> Mutation:
    """Put the hook of a method at the wrong place: under `after.hooks`."""

    def mutate(config: dict[str, Any]) -> None:
        after = after_registration(config)
        after["hooks"] = after.pop(method)["hooks"]

    return mutate


def hook(*methods: str, **changed: Any) -> Mutation:
    """Change the configuration of our hooks of some methods."""

    def mutate(config: dict[str, Any]) -> None:
        for method in methods:
            after_registration(config)[method]["hooks"][-1]["config"].update(changed)

    return mutate


def unparsed_hook(method: str) -> Mutation:
    """Have Kratos call the hook of a method, but not listen to it."""
    return hook(method, response={"parse": False})


def hooks_swapped(config: dict[str, Any]) -> None:
    """Give the hook of each method the other's URL."""
    after = after_registration(config)
    code, password = (
        after[name]["hooks"][-1]["config"] for name in ("code", "password")
    )
    code["url"], password["url"] = password["url"], code["url"]


def hook_at(method: str, port: int) -> Mutation:
    """Have the hook of a method called at another port of this machine."""
    return hook(method, url=f"http://127.0.0.1:{port}/kratos/{method}")


def hook_key(key: str) -> Mutation:
    """Have both hooks send a shared secret, as kratos.yml says it."""
    config = {"name": "X-Hook-Key", "value": key, "in": "header"}
    return hook("code", "password", auth={"type": "api_key", "config": config})


def traits(change: Callable[[dict[str, Any]], None]) -> Mutation:
    """Change what the identity schema says of traits, as a JSON Schema."""

    def mutate(config: dict[str, Any]) -> None:
        entry = config["identity"]["schemas"][0]
        text = base64.b64decode(entry["url"].removeprefix("base64://"))
        schema = json.loads(text)
        change(schema["properties"]["traits"])
        encoded = base64.b64encode(json.dumps(schema).encode()).decode()
        entry["url"] = f"base64://{encoded}"

    return mutate


def second_code_identifier(schema: dict[str, Any]) -> None:
    """Have Kratos mail codes to a second trait, too."""
    credentials = {"code": {"identifier": True, "via": "email"}}
    schema["properties"]["second"] = {
        "type": "string",
        "format": "email",
        "ory.sh/kratos": {"credentials": credentials},
    }


def optional_user_name(schema: dict[str, Any]) -> None:
    """Let people sign in with a user name, too."""
    credentials = {"password": {"identifier": True}}
    schema["properties"]["username"] = {
        "type": "string",
        "ory.sh/kratos": {"credentials": credentials},
    }


def unverifiable(schema: dict[str, Any]) -> None:
    """Have the address be one that Kratos does not verify."""
    del schema["properties"]["email"]["ory.sh/kratos"]["verification"]


def requiring_a_name(schema: dict[str, Any]) -> None:
    """Have nobody registered without a name."""
    schema["required"].append("name")


def of_a_company(schema: dict[str, Any]) -> None:
    """Have nobody registered with an address elsewhere."""
    schema["properties"]["email"]["pattern"] = "@corp\\.example$"


def passkey(config: dict[str, Any]) -> None:
    """Let people register with a passkey, past us."""
    rp = {"display_name": "Here", "id": "localhost", "origins": ["http://localhost"]}
    method = {"enabled": True, "config": {"rp": rp}}
    config["selfservice"]["methods"]["passkey"] = method
    traits(_shown_by_passkeys)(config)


def oidc(config: dict[str, Any]) -> None:
    """Let people register with an account elsewhere, past us."""
    provider = {
        "id": "elsewhere",
        "provider": "generic",
        "client_id": "us",
        "client_secret": "between-us",
        "issuer_url": "http://127.0.0.1:1/",
        "mapper_url": "base64://e30=",
    }
    method = {"enabled": True, "config": {"providers": [provider]}}
    config["selfservice"]["methods"]["oidc"] = method


def _shown_by_passkeys(schema: dict[str, Any]) -> None:
    credentials = schema["properties"]["email"]["ory.sh/kratos"]["credentials"]
    credentials["passkey"] = {"display_name": True}

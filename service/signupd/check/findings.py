"""What is checked, what a check finds, and the lines for kratos.yml that mend it."""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
import yaml

from signupd.check.kratos_file import AFTER, PATHS, KratosFile
from signupd.kratos.admin import Kratos
from signupd.notation import dialled
from signupd.ports.hooks import KEY_HEADER
from signupd.settings import Settings

# Wider than any line of ours, so that none is folded.
_WIDTH: Final = 1000


class Severity(enum.StrEnum):
    """How bad a finding is. An error makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Check(enum.StrEnum):
    """What was looked at; scripts may rely on the names (docs/operations.md)."""

    PUBLIC_API = "public_api"
    ADMIN_API = "admin_api"
    VERSION = "version"
    IDENTITY_SCHEMA = "identity_schema"
    ADDRESS_TRAIT = "address_trait"
    OTHER_IDENTIFIERS = "other_identifiers"
    REGISTRATION = "registration"
    CODE_METHOD = "code_method"
    PASSWORD_METHOD = "password_method"  # noqa: S105 - a name
    OTHER_METHODS = "other_methods"
    HOOK_PORT = "hook_port"
    PASSWORD_HOOK = "password_hook"  # noqa: S105 - a name
    CODE_HOOK = "code_hook"
    HOOK_ORDER = "hook_order"
    HOOK_URLS = "hook_urls"
    PROFILE_METHOD = "profile_method"
    OLD_SESSIONS = "old_sessions"
    CODE_LIFESPAN = "code_lifespan"
    FLOW_LIFESPAN = "flow_lifespan"
    CODE_SUBMISSIONS = "code_submissions"
    HASHER = "hasher"
    PASSWORD_LENGTH = "password_length"  # noqa: S105 - a name
    COURIER = "courier"
    CONFIG_FILE = "config_file"
    CANARY_LOOK = "canary_look"
    CANARY_START = "canary_start"
    CANARY_MAIL = "canary_mail"
    CANARY_CODE = "canary_code"
    CANARY_CODE_HOOK = "canary_code_hook"
    CANARY_PASSWORD_HOOK = "canary_password_hook"  # noqa: S105 - a name
    CANARY_ACCOUNT = "canary_account"
    CANARY_SETTINGS = "canary_settings"
    CANARY_REMOVED = "canary_removed"


# What a canary runs into if the other check has found an error.
_CAUSES: Final = {
    Check.CANARY_CODE_HOOK: Check.CODE_HOOK,
    Check.CANARY_PASSWORD_HOOK: Check.PASSWORD_HOOK,
    Check.CANARY_SETTINGS: Check.PROFILE_METHOD,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, what it means and what to change; the last two if not ``OK``."""

    check: Check
    severity: Severity
    what: str
    why: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A Kratos, the settings that it has to agree with, and what the command got."""

    kratos: Kratos
    settings: Settings
    log: structlog.typing.FilteringBoundLogger
    file: KratosFile | None
    traits: Mapping[str, Any]
    with_canary: bool


def ok(check: Check, what: str) -> Finding:
    """Make the finding that all is well."""
    return Finding(check, Severity.OK, what)


def warning(check: Check, what: str, why: str, cure: str) -> Finding:
    """Make a finding that an operator should know, and may have wanted so."""
    return Finding(check, Severity.WARNING, what, why, cure)


def error(check: Check, what: str, why: str, cure: str) -> Finding:
    """Make a finding with which sign-ups fail or can be bypassed."""
    return Finding(check, Severity.ERROR, what, why, cure)


def lines(path: str, value: Any) -> str:
    """Write a setting of kratos.yml, and the keys with dots that it goes under.

    The entries of a list are to be added: others may be there.
    """
    verb = "add" if isinstance(value, list) else "set"
    if not isinstance(value, list | dict):
        path, _, key = path.rpartition(".")
        value = {key: value}
    return f"In kratos.yml under {path}, {verb}:\n{_yaml(value)}"


def hook_lines(
    hook: str, settings: Settings, method: str = "", *, wrong: str = ""
) -> str:
    """Write one of our hooks, under its own registration method unless one is given.

    ``wrong`` is the hook that stands in its place.
    """
    address = settings.hook_listen
    if dialled(address) != address:  # it stands for all addresses of this machine
        address = f"<this host>:{address.rpartition(':')[2]}"
    scheme = "http" if settings.hook_tls_cert is None else "https"
    config: dict[str, Any] = {
        "url": f"{scheme}://{address}{PATHS[hook]}",
        "method": "POST",
        "body": f"file://./hooks/{hook}.jsonnet",
        "response": {"parse": True},
    }
    if settings.hook_key:
        key = {"name": KEY_HEADER, "value": "<SIGNUPD_HOOK_KEY>", "in": "header"}
        config["auth"] = {"type": "api_key", "config": key}
    entry = _yaml([{"hook": "web_hook", "config": config}])
    where = f"In kratos.yml under {AFTER}.{method or hook}.hooks"
    end = "first" if hook == "code" else "last"
    change = f"change the web_hook to {PATHS[wrong or hook]} to"
    file = f"its body is this project's kratos/hooks/{hook}.jsonnet"
    folder = "a relative path begins in the folder that Kratos was started in"
    return f"{where}, add as the {end} entry, or {change} ({file}; {folder}):\n{entry}"


def hook_change(hook: str, changed: dict[str, Any]) -> str:
    """Write what to change in one of our hooks that is there."""
    where = f"In kratos.yml under {AFTER}.{hook}.hooks"
    return (
        f"{where}, in config of the web_hook to {PATHS[hook]}, set:\n{_yaml(changed)}"
    )


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, width=_WIDTH)
    return text.rstrip()


def consequences(findings: list[Finding]) -> list[Finding]:
    """Give a cure once: what follows from another error refers to that one."""
    errors = {one.check for one in findings if one.severity is Severity.ERROR}
    told: list[Finding] = []
    first: dict[str, Check] = {}
    for one in findings:
        cure = one.cure
        if cure and (cause := _CAUSES.get(one.check)) in errors:
            cure = f"It may follow from {cause}: see there."
        elif cure and (same := first.setdefault(cure, one.check)) is not one.check:
            cure = f"The same as for {same}."
        told.append(dataclasses.replace(one, cure=cure))
    return told

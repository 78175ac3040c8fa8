"""What is checked, and what a check finds."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from signupd.check.kratos_file import KratosFile
from signupd.kratos.client import Kratos
from signupd.settings import Settings


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
    CODE_LIFESPAN = "code_lifespan"
    FLOW_LIFESPAN = "flow_lifespan"
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
    CANARY_REMOVED = "canary_removed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Args:
        check: What was looked at.
        severity: How bad it is.
        what: What was seen, in a sentence.
        why: What that means; empty where all is well.
        cure: What to change, most often lines for kratos.yml; empty likewise.
    """

    check: Check
    severity: Severity
    what: str
    why: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked.

    Args:
        kratos: Kratos' two APIs.
        settings: What Kratos has to agree with.
        log: Gets what could not be cleaned up.
        file: Kratos' configuration file, where it was given.
        traits: What the identity schema requires besides the address.
        with_canary: Whether a canary follows, which tries the code hook.
    """

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

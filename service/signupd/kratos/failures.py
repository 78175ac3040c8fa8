"""Kratos' error bodies: which say that Kratos failed, and what the log repeats."""

import re
from http import HTTPStatus
from typing import Any, Final

# An HTTP status, also one that Kratos writes into the body of an HTTP 400.
_FAILED: Final = re.compile("429|[5-9][0-9]{2}")
# What Kratos says of a hook that is away or answers nonsense. That is an answer to the
# request, because a setting has to cure it.
_OF_A_HOOK: Final = re.compile("webhook|giving up after|jsonnet")
# A reason in plain words has no URL, address, value or digest in it.
_PLAIN: Final = re.compile(r"[A-Za-z_ ,.;'()-]{1,200}")


def error_field(body: Any, name: str) -> str:
    """Read a field of an error from the JSON of an answer; empty if it has none."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get(name, "")) if isinstance(error, dict) else ""


def hook_was_late(status: int, body: Any) -> bool:
    """Tell whether a hook refused an account that was stored already.

    Kratos calls hooks without ``response.parse`` so late, and says it in these words.
    """
    said = error_field(body, "message")
    return status == HTTPStatus.BAD_GATEWAY and said.startswith("webhook failed with")


def failure(status: int, body: Any) -> str:
    """Say, for the log, how Kratos failed to answer; empty if it did answer."""
    error_id, inner = error_field(body, "id"), error_field(body, "code")
    if not (_FAILED.fullmatch(str(status)) or _FAILED.fullmatch(inner)):
        return ""
    if not error_id and _OF_A_HOOK.search(error_field(body, "message")):
        return ""
    told = (error_id, error_field(body, "reason"))
    return ": ".join((f"HTTP status {status}", *filter(_PLAIN.fullmatch, told)))

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
    return str(_error(body).get(name, ""))


def hook_was_late(status: int, body: Any) -> bool:
    """Tell whether a hook refused an account that was stored already.

    Kratos calls hooks without ``response.parse`` so late, and says it in these words.
    """
    said = error_field(body, "message")
    return status == HTTPStatus.BAD_GATEWAY and said.startswith("webhook failed with")


def failure(status: int, body: Any) -> str:
    """Say, for the log, how Kratos failed to answer; empty if it did answer."""
    if status < HTTPStatus.BAD_REQUEST:
        return ""
    error = _error(body)
    statuses = str(status), str(error.get("code", ""))
    if not any(map(_FAILED.fullmatch, statuses)):
        return ""
    if not error.get("id") and _OF_A_HOOK.search(str(error.get("message", ""))):
        return ""
    told = str(error.get("id", "")), str(error.get("reason", ""))
    return ": ".join((f"HTTP status {status}", *filter(_PLAIN.fullmatch, told)))


def _error(body: Any) -> dict[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}

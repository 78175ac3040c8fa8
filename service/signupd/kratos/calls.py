"""The names of the calls to Kratos, as metrics and traces show them.

There are only these, whatever Kratos is asked: a label made of paths would have ids and
addresses in it.
"""

from __future__ import annotations

import enum
from typing import Final
from urllib.parse import urlsplit


class Call(enum.StrEnum):
    """What a call is for."""

    OPEN = "open"  # a registration flow
    SEND = "send"  # a code by mail
    CODE = "code"  # hand one in
    FLOW = "flow"  # how far one has come
    PASSWORD = "password"  # noqa: S105 - hand one in; the account is made
    FIND = "find"  # an account by its address
    ACCOUNTS = "accounts"  # by their ids
    SESSIONS = "sessions"  # of an account: end, or list them
    DELETE = "delete"  # an account
    COURIER = "courier"  # what became of mails
    SCHEMAS = "schemas"
    VERSION = "version"
    HEALTH = "health"
    OTHER = "other"


# The last of a path's segments that is one of these tells what it is about.
_SEGMENTS: Final = {
    "identities": Call.ACCOUNTS,
    "sessions": Call.SESSIONS,
    "courier": Call.COURIER,
    "schemas": Call.SCHEMAS,
    "version": Call.VERSION,
    "health": Call.HEALTH,
    "flows": Call.FLOW,
}


def call_of(method: str, url: str) -> Call:
    """Name a call that its caller gave no name to.

    Args:
        method: The HTTP method.
        url: With or without server and query.
    """
    for segment in reversed(urlsplit(url).path.split("/")):
        if call := _SEGMENTS.get(segment):
            deletes = method == "DELETE" and call is Call.ACCOUNTS
            return Call.DELETE if deletes else call
    return Call.OTHER

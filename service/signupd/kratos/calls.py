"""The names of the calls to Kratos, as metrics and traces show them.

There are only these, whatever Kratos is asked: a label made of paths would have ids and
addresses in it.
"""

from __future__ import annotations

import enum


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

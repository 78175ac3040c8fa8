"""Sign-ups as ``signupd signups`` shows them: a row, a page of facts, JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signupd.cli.page import age, columns, printable, rfc3339
from signupd.ledger.record import Lease
from signupd.sealing import SealBroken
from signupd.signup.sealed import open_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from signupd.ledger.browse import Entry
    from signupd.sealing import KeyRing

KEY_GONE: Final = "(its key is gone)"


def mask_of(keys: KeyRing, entry: Entry) -> str | None:
    """Open the masked address; None where no key on the ring does."""
    try:
        return open_mask(keys, entry.signup_id, entry.sealed_mask)
    except SealBroken:
        return None


def table_of(
    keys: KeyRing, entries: Iterable[Entry], now: int, *, header: bool
) -> Table:
    """Show sign-ups below each other."""
    table = columns("sign-up", "state", "age", "address", header=header)
    table.columns[0].min_width = 36  # a UUID's, so that all pages' columns agree
    table.columns[1].min_width = len("ALREADY_REGISTERED")
    table.columns[2].min_width = len("30d")
    for entry in entries:
        table.add_row(
            str(entry.signup_id),
            entry.state.name,
            age(now - entry.create_time),
            mask_of(keys, entry) or KEY_GONE,
        )
    return table


def facts_of(keys: KeyRing, entry: Entry, now: int) -> dict[str, str]:
    """Tell all about a sign-up that may be told, for people."""
    facts = {
        "sign-up": str(entry.signup_id),
        "state": f"{entry.state.name}, since {rfc3339(entry.state_time)}",
        "address": mask_of(keys, entry) or KEY_GONE,
        "begun": rfc3339(entry.create_time),
        "last mail": rfc3339(entry.send_time),
        "lapses": "" if entry.state.final else rfc3339(entry.expire_time),
        "mails": str(entry.sends),
        "codes tried": str(entry.code_attempts),
        "wrong codes after the proof": str(entry.code_repeats),
        "passwords put to Kratos": str(entry.password_attempts),
        "lease": _lease_text(entry, now),
        "identity": str(entry.identity_id or ""),
        "caller": printable(entry.caller),
    }
    return {name: fact for name, fact in facts.items() if fact}


def json_of(keys: KeyRing, entry: Entry, now: int) -> dict[str, Any]:
    """Tell all about a sign-up that may be told, for scripts: names stay."""
    return {
        "signup_id": str(entry.signup_id),
        "state": entry.state.name,
        "masked_email": mask_of(keys, entry),
        "create_time": rfc3339(entry.create_time),
        "send_time": rfc3339(entry.send_time),
        "state_time": rfc3339(entry.state_time),
        "expire_time": None if entry.state.final else rfc3339(entry.expire_time),
        "identity_id": str(entry.identity_id) if entry.identity_id else None,
        "caller": entry.caller or None,
        "sends": entry.sends,
        "code_attempts": entry.code_attempts,
        "code_repeats": entry.code_repeats,
        "password_attempts": entry.password_attempts,
        "lease": _lease_json(entry, now),
    }


def _until(entry: Entry) -> int:
    """Tell until when nobody else may take the row."""
    return max(entry.lease_until, entry.approved_until)


def _lease_text(entry: Entry, now: int) -> str:
    if entry.lease is Lease.NONE:
        return ""
    live = now < _until(entry)
    until = f"until {rfc3339(_until(entry))}" if live else "run out: its holder died"
    return f"{entry.lease.name}, {until}"


def _lease_json(entry: Entry, now: int) -> dict[str, Any] | None:
    if entry.lease is Lease.NONE:
        return None
    return {
        "kind": entry.lease.value,
        "until": rfc3339(_until(entry)),
        "live": now < _until(entry),
    }

"""``signupd signups``: look at sign-ups in the ledger."""

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from signupd.address import Address
from signupd.cli.common import (
    EXIT_TROUBLE,
    AsJson,
    Config,
    complain,
    mailbox,
    run,
    settings_of,
)
from signupd.cli.page import age, columns, console, printable, rfc3339
from signupd.keyfile import demand_digest_key, key_ring
from signupd.ledger.ledger import Snapshot, browsing
from signupd.ledger.record import FINAL, Lease, Record, State
from signupd.sealing import KeyRing, SealBroken, address_digest, open_mask
from signupd.signup.transitions import state_shown

# What a person looks through. A script may ask for more; all are held in memory.
LIMIT: Final = 50
MAX_LIMIT: Final = 10_000
KEY_MISSING: Final = "(key missing)"

signups = typer.Typer(no_args_is_help=True)


def _address(given: str) -> Address:
    if given == "-":
        typer.echo("Address: ", nl=False, err=True)  # standard output is for the list
        given = sys.stdin.readline()
    return mailbox(given)


@signups.callback()
def _signups() -> None:
    """Look at sign-ups in the ledger. Changes nothing; a server may be running."""


@signups.command("list")
def list_signups(
    state: Annotated[
        list[State] | None,
        typer.Option(
            case_sensitive=False,
            help="Only sign-ups in this state; may be given several times. In STARTING "
            "it is not known whether a mail was sent; callers never see this state.",
        ),
    ] = None,
    sought: Annotated[
        Address | None,
        typer.Option(
            "--address",
            parser=_address,
            metavar="ADDRESS",
            help="Only sign-ups for this address. With - the command asks for it, so "
            "that it appears in no process list and no shell history.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LIMIT, help="At most this many.")
    ] = LIMIT,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List sign-ups, the newest first, with masked addresses."""
    settings = settings_of(config)

    async def work() -> tuple[list[Snapshot], KeyRing]:
        async with browsing(settings.ledger_url) as ledger:
            keys = key_ring(settings, make=False)
            digest = address_digest(keys, sought.text) if sought else None
            if sought:
                await demand_digest_key(ledger, keys, add=False)
            return await ledger.browse(limit, state or (), address_digest=digest), keys

    listed, keys = run(work)
    if as_json:
        typer.echo(json.dumps([_fields(keys, one) for one in listed], indent=2))
    elif listed:
        table = columns("sign-up", "state", "age", "address")
        for found in listed:
            one, now = found.record, found.now
            since = age(timedelta(microseconds=now - one.create_time))
            masked = _mask(keys, one) or KEY_MISSING
            shown = state_shown(one, now).name
            table.add_row(str(one.signup_id), shown, since, masked)
        console().print(table)
    if not listed:
        complain(["no sign-up matches"])
    elif len(listed) == limit:
        complain([f"the newest {limit} are shown; --limit shows more"])


@signups.command("show")
def show_signup(
    signup_id: Annotated[
        uuid.UUID, typer.Argument(metavar="ID", help="The signup_id.")
    ],
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show one sign-up: its times, counts and lease."""
    settings = settings_of(config)

    async def work() -> dict[str, Any] | None:
        async with browsing(settings.ledger_url) as ledger:
            keys = key_ring(settings, make=False)
            found = await ledger.find(signup_id)
            return None if found is None else _fields(keys, found)

    fields = run(work)
    if fields is None:
        complain([f"the ledger has no sign-up {signup_id}"])
        raise typer.Exit(EXIT_TROUBLE)
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
        return
    lease = fields["lease"]
    if lease is not None:
        live = "until" if lease["live"] else "stale since"
        fields["lease"] = f"{lease['kind']}, {live} {lease['until']}"
    fields["masked_email"] = fields["masked_email"] or KEY_MISSING
    table = columns("", "", header=False)
    for name, value in fields.items():
        if value is not None:
            table.add_row(Text(name, style="dim"), printable(str(value)))
    console().print(table)


def _fields(keys: KeyRing, found: Snapshot) -> dict[str, Any]:
    """Return all that may be shown of a sign-up. Scripts rely on the names."""
    entry, state = found.record, state_shown(found.record, found.now)
    return {
        "signup_id": str(entry.signup_id),
        "state": state.name,
        "masked_email": _mask(keys, entry),
        "create_time": _time(entry.create_time),
        "send_time": _time(entry.send_time),
        "state_time": _time(entry.state_time),
        "expire_time": None if state in FINAL else _time(entry.expire_time),
        "identity_id": str(entry.identity_id) if entry.identity_id else None,
        "caller": entry.caller or None,
        "sends": entry.sends,
        "code_attempts": entry.code_attempts,
        "code_repeats": entry.code_repeats,
        "password_attempts": entry.password_attempts,
        "password_repeats": entry.password_repeats,
        "lease": _lease(entry, found.now),
    }


def _mask(keys: KeyRing, entry: Record) -> str | None:
    """Open the masked address; None if no key opens it."""
    try:
        return open_mask(keys, entry.signup_id, entry.sealed_mask)
    except SealBroken:
        return None


def _lease(entry: Record, now: int) -> dict[str, Any] | None:
    if entry.lease is Lease.NONE:
        return None
    until = max(entry.lease_until, entry.approved_until)
    return {"kind": entry.lease.value, "until": _time(until), "live": now < until}


def _time(micros: int) -> str:
    return rfc3339(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros))

"""``signupd signups``: look at sign-ups in the ledger."""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from signupd.address import parse_address
from signupd.cli.common import EXIT_TROUBLE, AsJson, Config, complain, run, settings_of
from signupd.cli.entries import facts_of, json_of, table_of
from signupd.cli.page import console, facts
from signupd.errors import EmailInvalid
from signupd.keyfile import key_ring
from signupd.ledger.browse import Wanted, browsing
from signupd.ledger.record import State
from signupd.signup.sealed import address_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.address import Address
    from signupd.ledger.browse import Entry
    from signupd.sealing import KeyRing

# What a person looks through. A script may ask for more; each thousand is one more
# reading of the table.
LIMIT: Final = 50
MAX_LIMIT: Final = 100_000

app = typer.Typer(
    no_args_is_help=True,
    help="Look at sign-ups in the ledger, beside a running server. Changes nothing.",
)

States = Annotated[
    list[State] | None,
    typer.Option(
        "--state",
        case_sensitive=False,
        help="Only those in this state; may be given again for another. STARTING: no "
        "mail is known to have gone yet; callers never see it.",
    ),
]
AddressGiven = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Only those for this address. With - it is asked for, and so in no list "
        "of processes.",
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="The newest so many.")
]
SignupId = Annotated[uuid.UUID, typer.Argument(metavar="ID", show_default=False)]


@app.command("list")
def list_signups(
    state: States = None,
    address: AddressGiven = None,
    limit: Limit = LIMIT,
    *,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List sign-ups, the newest first, with masked addresses."""
    settings = settings_of(config)
    sought = None if address is None else _address(address)

    async def work() -> None:
        async with browsing(settings.ledger_url) as browser:
            keys = key_ring(settings, make=False)
            digest = address_digest(keys, sought.text) if sought else None
            wanted = Wanted(tuple(state or ()), digest)
            pages = browser.pages(wanted, limit)
            if as_json:
                await _write_json(pages, keys, browser.now())
            else:
                await _write_table(pages, keys, browser.now(), limit)

    run(work)


@app.command("show")
def show_signup(
    signup_id: SignupId, *, as_json: AsJson = False, config: Config = None
) -> None:
    """Show one sign-up: its times, counts and lease."""
    settings = settings_of(config)

    async def work() -> dict[str, Any] | None:
        async with browsing(settings.ledger_url) as browser:
            keys = key_ring(settings, make=False)
            entry = await browser.find(signup_id)
            if entry is None:
                return None
            tell = json_of if as_json else facts_of
            return tell(keys, entry, browser.now())

    told = run(work)
    if told is None:
        complain([f"the ledger knows no sign-up {signup_id}"])
        raise typer.Exit(EXIT_TROUBLE)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        console().print(facts(told))


def _address(given: str) -> Address:
    if given == "-":
        typer.echo("Address: ", nl=False, err=True)  # standard output is for the list
        given = sys.stdin.readline().strip()
    try:
        return parse_address(given)
    except EmailInvalid:
        raise typer.BadParameter(
            "is not an e-mail address", param_hint="--address"
        ) from None


async def _write_json(
    pages: AsyncIterator[list[Entry]], keys: KeyRing, now: int
) -> None:
    """Write one array, a page at a time."""
    before = "["
    async for page in pages:
        for entry in page:
            text = json.dumps(json_of(keys, entry, now))
            typer.echo(f"{before}\n  {text}", nl=False)
            before = ","
    typer.echo("[]" if before == "[" else "\n]")


async def _write_table(
    pages: AsyncIterator[list[Entry]], keys: KeyRing, now: int, limit: int
) -> None:
    """Write one table, a page at a time, and say where it was cut off."""
    page, count = console(), 0
    async for entries in pages:
        page.print(table_of(keys, entries, now, header=not count))
        count += len(entries)
    if not count:
        complain(["no sign-up is like that"])
    elif count == limit:
        complain([f"these are the newest {limit}; --limit shows more"])

"""``signupd orphans``: list the identities that a hand-built flow left behind."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from signupd.cli.common import (
    EXIT_TROUBLE,
    AsJson,
    Config,
    complain,
    parsed,
    run,
    settings_of,
)
from signupd.cli.page import age, columns, console, printable, rfc3339
from signupd.kratos.orphans import Exemption, Orphan, Orphans, Removal
from signupd.notation import Seconds
from signupd.parts import kratos_of


def orphans(  # noqa: PLR0913 - one for each option
    *,
    older_than: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Only accounts whose owner was not active for this long.",
        ),
    ] = "30d",  # longer than most sessions work, and than most people stay away
    untraced: Annotated[
        bool,
        typer.Option(
            "--untraced",
            help="Also accounts for which Kratos has deleted the session of their "
            "registration. Accounts that were imported as verified look the same.",
        ),
    ] = False,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Remove the listed accounts. Needs --expect."),
    ] = False,
    expect: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="With --apply: remove the accounts only if exactly N are listed.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List accounts in Kratos that were verified but never given a password.

    Such an account has a verified address, sign-in by code, and no password. People who
    sign in by code alone on purpose have such an account too. The time since they were
    last active is the only difference. Without --apply this command changes nothing.
    """
    idle = timedelta(seconds=parsed(Seconds, older_than, "--older-than"))
    if apply is (expect is None):
        raise typer.BadParameter("--apply and --expect N go together")
    settings = settings_of(config)

    async def work() -> None:
        kratos = kratos_of(settings)
        try:
            search = Orphans(kratos.admin, _now, _now() - idle, untraced=untraced)
            found = await _list(search, older_than, as_json=as_json)
            count = len(found)
            if expect is None and found:
                _say(f"To remove them, add --apply --expect {count}.")
            elif expect == count:
                await _remove(search, found, as_json=as_json)
            elif expect is not None:
                complain([f"{count} listed, {expect} expected: nothing was removed"])
                raise typer.Exit(EXIT_TROUBLE)
        finally:
            await kratos.close()

    run(work)


async def _list(search: Orphans, older_than: str, *, as_json: bool) -> list[Orphan]:
    """Write the orphans, and how many other identities there are of which kind."""
    found: list[Orphan] = []
    others: Counter[Exemption] = Counter()
    async for one in search.judge_all():
        if isinstance(one, Orphan):
            found.append(one)
        else:
            others[one] += 1
    _write(found, as_json=as_json)
    _say(
        f"{len(found)} of {len(found) + others.total()} identities have a verified "
        f"address, no password, and were not used for {older_than}."
    )
    for exemption in Exemption:
        if exemption is not Exemption.OTHER and others[exemption]:
            _say(f"Not listed: {others[exemption]} {exemption.value}.")
    if found:
        _say("Accounts of people who sign in by code on purpose look the same.")
    return found


async def _remove(search: Orphans, found: Sequence[Orphan], *, as_json: bool) -> None:
    """Remove orphans, and say how many were removed, also if it is interrupted."""
    removals: Counter[Removal] = Counter()
    try:
        for orphan in found:
            removal = await search.remove(orphan.id)
            removals[removal] += 1
            if as_json:
                outcome = removal.name.lower()
                line = {"identity_id": str(orphan.id), "outcome": outcome}
                typer.echo(json.dumps(line))
            elif removal is not Removal.REMOVED:
                _say(f"{orphan.id}: {removal.value}")
    finally:
        for removal in Removal:
            if removals[removal]:
                _say(f"{removals[removal]} {removal.value}.")
        if left := len(found) - removals.total():
            _say(f"{left} not done. The first of them may have been removed.")


def _write(found: Sequence[Orphan], *, as_json: bool) -> None:
    now = _now()
    table = columns("identity", "age", "why", "address")
    for orphan in found:
        untraced = "" if orphan.traced else ", untraced"
        why = f"no password, idle {age(now - orphan.active_at)}{untraced}"
        since, masked = age(now - orphan.created_at), printable(orphan.masked_email)
        table.add_row(str(orphan.id), since, why, masked)
        line = {
            "identity_id": str(orphan.id),
            "masked_email": orphan.masked_email,
            "create_time": rfc3339(orphan.created_at),
            "active_time": rfc3339(orphan.active_at),
            "why": why,
        }
        if as_json:
            typer.echo(json.dumps(line))
    if found and not as_json:
        console().print(table)


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    typer.echo(line, err=True)

"""``signupd orphans``: list the identities that a hand-built flow left behind."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import TypeAdapter, ValidationError

from signupd.accounts.orphans import Exemption, Orphans, Removal
from signupd.cli.common import EXIT_TROUBLE, AsJson, Config, complain, run, settings_of
from signupd.cli.page import age, columns, console, printable, rfc3339
from signupd.notation import Seconds
from signupd.parts import kratos_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from signupd.accounts.orphans import Orphan

# Longer than most sessions work, and than most people take to come back.
OLDER_THAN: Final = "30d"
WIDTHS: Final = (36, len("366d"), len("no password, idle 366d, untraced"), 0)

_NOT_LISTED: Final = {
    Exemption.ACTIVE: "active since then",
    Exemption.SIGNED_IN: "with a session that works, or did until minutes ago",
    Exemption.DISABLED: "disabled by an operator",
    Exemption.UNTRACED: "without the session of their registration; they may have been "
    "imported (--untraced lists them)",
}
_REMOVALS: Final = {
    Removal.REMOVED: "removed",
    Removal.CHANGED: "skipped: changed since the listing",
    Removal.GONE: "already gone",
}

OlderThan = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Only accounts whose owner was not active for so long: 15m, 24h, 7d.",
    ),
]
Untraced = Annotated[
    bool,
    typer.Option(
        "--untraced",
        help="Also accounts for which Kratos has deleted the session of their "
        "registration. Accounts that were imported as verified look the same.",
    ),
]
Apply = Annotated[
    bool, typer.Option("--apply", help="Remove the listed accounts. Needs --expect.")
]
Expect = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="With --apply: remove the accounts only if exactly N are listed.",
    ),
]


def orphans(  # noqa: PLR0913 - one for each option
    older_than: OlderThan = OLDER_THAN,
    expect: Expect = None,
    config: Config = None,
    *,
    untraced: Untraced = False,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """List accounts in Kratos that were proved but never given a password.

    Such an account has a verified address, sign-in by code, and no password. People who
    sign in by code alone on purpose have the same account: the time since they were
    last active is the only difference. Without --apply this command changes nothing.
    """
    idle = _duration(older_than)
    if apply is (expect is None):
        raise typer.BadParameter("--apply and --expect N go together")
    settings = settings_of(config)

    async def work() -> None:
        kratos = kratos_of(settings)
        try:
            search = Orphans(kratos.admin, _now, _now() - idle, untraced=untraced)
            ids = await _list(search, older_than, as_json=as_json)
            if expect is None:
                _advise(len(ids))
            elif len(ids) == expect:
                await _remove(search, ids, as_json=as_json)
            else:
                complain([f"{len(ids)} listed, {expect} expected: nothing is removed"])
                raise typer.Exit(EXIT_TROUBLE)
        finally:
            await kratos.close()

    run(work)


async def _list(search: Orphans, older_than: str, *, as_json: bool) -> list[UUID]:
    """Write the orphans, a page at a time, and what the other identities are."""
    ids: list[UUID] = []
    others: Counter[Exemption] = Counter()
    async for page in search.pages():
        _write(page.orphans, as_json=as_json, header=not ids)
        ids += [orphan.id for orphan in page.orphans]
        others.update(page.others)
    _say(
        f"{len(ids)} of {len(ids) + others.total()} identities have a proved address "
        f"and no password, and nobody used them for {older_than}."
    )
    for exemption, what in _NOT_LISTED.items():
        if others[exemption]:
            _say(f"Not listed: {others[exemption]} {what}.")
    if ids:
        _say("Accounts of people who sign in by code on purpose look the same.")
    return ids


def _advise(count: int) -> None:
    if count:
        _say(f"To remove them, add --apply --expect {count}.")


async def _remove(search: Orphans, ids: list[UUID], *, as_json: bool) -> None:
    """Remove orphans, and say how far it came, also when it is interrupted."""
    removals: Counter[Removal] = Counter()
    try:
        for identity_id in ids:
            removal = await search.remove(identity_id)
            removals[removal] += 1
            if as_json:
                line = {"identity_id": str(identity_id), "outcome": removal.value}
                typer.echo(json.dumps(line))
            elif removal is not Removal.REMOVED:
                _say(f"{identity_id}: {_REMOVALS[removal]}")
    finally:
        for removal, what in _REMOVALS.items():
            if removals[removal]:
                _say(f"{removals[removal]} {what}.")
        if left := len(ids) - removals.total():
            _say(f"{left} not done. The first of them may have been removed.")


def _write(orphans: Sequence[Orphan], *, as_json: bool, header: bool) -> None:
    now = _now()
    if as_json:
        for orphan in orphans:
            typer.echo(json.dumps(_json_of(orphan, now)))
    elif orphans:
        names = ("identity", "age", "why", "address")
        table = columns(*names, header=header, min_widths=WIDTHS)
        for orphan in orphans:
            row = str(orphan.id), age(now - orphan.created_at), _why(orphan, now)
            table.add_row(*row, printable(orphan.masked_email))
        console().print(table)


def _json_of(orphan: Orphan, now: datetime) -> dict[str, str]:
    return {
        "identity_id": str(orphan.id),
        "masked_email": orphan.masked_email,
        "create_time": rfc3339(orphan.created_at),
        "active_time": rfc3339(orphan.active_at),
        "why": _why(orphan, now),
    }


def _why(orphan: Orphan, now: datetime) -> str:
    untraced = "" if orphan.traced else ", untraced"
    return f"no password, idle {age(now - orphan.active_at)}{untraced}"


def _duration(text: str) -> timedelta:
    try:
        seconds: float = TypeAdapter(Seconds).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(
            "is not a duration such as 90s, 15m, 24h or 7d", param_hint="--older-than"
        ) from None
    return timedelta(seconds=seconds)


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    typer.echo(line, err=True)

"""``signupd orphans``: what a hand-built sign-up has left in Kratos."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import TypeAdapter, ValidationError

from signupd.accounts.orphans import Orphans
from signupd.cli.common import EXIT_TROUBLE, AsJson, Config, complain, run, settings_of
from signupd.cli.orphan_report import Findings, Removals
from signupd.notation import Seconds
from signupd.service import kratos_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from signupd.settings import Settings

    Opened = Callable[[], AbstractAsyncContextManager[Orphans]]

# Longer than most sessions work, and than most people take to come back.
OLDER_THAN: Final = "30d"

OlderThan = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Only those without a sign of life for so long: 90s, 15m, 24h, 7d.",
    ),
]
Untraced = Annotated[
    bool,
    typer.Option(
        "--untraced",
        help="Those too of whose registration Kratos keeps no session any more. "
        "Accounts that were imported as verified look the same.",
    ),
]
Apply = Annotated[
    bool, typer.Option("--apply", help="Remove them, once their number is confirmed.")
]
Expect = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="With --apply: how many there are. If not, nothing is removed.",
    ),
]


def orphans(  # noqa: PLR0913 - a command has the options it has
    older_than: OlderThan = OLDER_THAN,
    expect: Expect = None,
    config: Config = None,
    *,
    untraced: Untraced = False,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """List accounts that somebody proved but never gave a password, or remove them.

    They have a verified address, a code to sign in with, and nothing else. People
    who sign in by code alone, and mean to, look the same: nothing tells them apart
    but how long ago they were there. Nothing is changed without --apply.
    """
    since = datetime.now(UTC) - _duration(older_than)
    _check(expect, apply=apply)
    settings = settings_of(config)

    def opened() -> AbstractAsyncContextManager[Orphans]:
        return _opened(settings, since, untraced=untraced)

    findings = Findings(older_than, untraced=untraced, as_json=as_json, keep=apply)
    run(lambda: _find(opened, findings))
    findings.conclude()
    if apply:
        _confirm(len(findings.ids), expect)
        run(lambda: _remove(opened, findings.ids, as_json=as_json))


async def _find(opened: Opened, findings: Findings) -> None:
    async with opened() as found:
        with findings:
            async for page in found.pages():
                findings.take(page)


async def _remove(opened: Opened, ids: list[UUID], *, as_json: bool) -> None:
    async with opened() as found:
        with Removals(len(ids), as_json=as_json) as removals:
            for identity_id in ids:
                removals.take(identity_id, await found.remove(identity_id))


@asynccontextmanager
async def _opened(
    settings: Settings, since: datetime, *, untraced: bool
) -> AsyncIterator[Orphans]:
    kratos = kratos_of(settings)
    try:
        yield Orphans(kratos.admin, lambda: datetime.now(UTC), since, untraced=untraced)
    finally:
        await kratos.close()


def _duration(text: str) -> timedelta:
    """Read a duration, in the settings' notation."""
    try:
        seconds: float = TypeAdapter(Seconds).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(
            "is not a duration such as 90s, 15m, 24h or 7d", param_hint="--older-than"
        ) from None
    return timedelta(seconds=seconds)


def _check(expect: int | None, *, apply: bool) -> None:
    """Refuse options that are right alone and wrong together."""
    if expect is not None and not apply:
        raise typer.BadParameter("means nothing without --apply", param_hint="--expect")
    if apply and expect is None and not sys.stdin.isatty():
        raise typer.BadParameter(
            "is needed with --apply, for there is no terminal to ask at",
            param_hint="--expect",
        )


def _confirm(count: int, expect: int | None) -> None:
    """Have the number confirmed by whoever wants so many removed.

    Raises:
        typer.Exit: It is another.
    """
    if expect is None:
        expect = _asked() if count else 0
    if expect != count:
        complain([f"{count} found, {expect} expected: nothing was removed"])
        raise typer.Exit(EXIT_TROUBLE)


def _asked() -> int:
    typed: int = typer.prompt("Type how many are to be removed", type=int, err=True)
    return typed

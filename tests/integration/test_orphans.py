"""Orphans among many identities: found page by page, removed one by one."""

from __future__ import annotations

import sys
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from signupd.accounts.orphans import Orphans, Outcome
from signupd.accounts.verdict import Sign, Verdict
from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.admin import MAX_SESSIONS, PAGE_IDENTITIES, AdminApi
from signupd.kratos.http import HttpClient

from tests.doubles.certificate import certificate_file
from tests.doubles.kratos_crowd import Crowd
from tests.doubles.people import NOW, person, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from signupd.accounts.orphans import Page

DAY = timedelta(days=1)
TIMEOUT_SECONDS = 10.0
# Of memory, from page to page. It was 12 000; to keep one thing of each identity would
# take 100 000 at least.
MAX_BLOCKS = 50_000
MANY = 100_000


class Search:
    """The search, the crowd it goes through, and what tests want of it."""

    def __init__(self, crowd: Crowd, http: HttpClient) -> None:
        self.crowd = crowd
        self._admin = AdminApi(http, crowd.url, TIMEOUT_SECONDS)

    def orphans(self, *, untraced: bool = False) -> Orphans:
        """Make what is tested."""
        since = NOW - 30 * DAY
        return Orphans(self._admin, lambda: NOW, since, untraced=untraced)

    async def pages(self, *, untraced: bool = False) -> list[Page]:
        """Find all there is."""
        return [page async for page in self.orphans(untraced=untraced).pages()]

    async def found(self, *, untraced: bool = False) -> set[uuid.UUID]:
        """Name all orphans."""
        pages = await self.pages(untraced=untraced)
        return {orphan.id for page in pages for orphan in page.orphans}


@pytest.fixture
async def search(tmp_path: Path) -> AsyncIterator[Search]:
    """Give a search of an empty crowd."""
    async with Crowd() as crowd, _http(tmp_path) as http:
        yield Search(crowd, http)


@asynccontextmanager
async def _http(directory: Path) -> AsyncIterator[HttpClient]:
    http = HttpClient(ca=certificate_file(directory))
    try:
        yield http
    finally:
        await http.close()


def spread(count: int) -> list[uuid.UUID]:
    """Make ids that lie as evenly as random ones."""
    return [uuid.UUID(int=number * (1 << 128) // count + 1) for number in range(count)]


async def test_nobody(search: Search) -> None:
    """An empty Kratos has one empty page."""
    (page,) = await search.pages()

    assert ((), 0, 1.0) == (page.orphans, sum(page.verdicts.values()), page.share)


async def test_what_is_shown(search: Search) -> None:
    """An orphan shows with its age, its last sign of life, and a masked address."""
    visit = session(NOW - 40 * DAY)
    body = person("zoe@example.com")
    added = search.crowd.add(body, visit, session())
    (page,) = await search.pages()
    (orphan,) = page.orphans

    assert (added, "z***@example.com") == (orphan.id, orphan.masked_email)
    assert NOW - 90 * DAY == orphan.created_at
    assert (NOW - 40 * DAY, Sign.SIGNED_IN) == (
        orphan.life.at.replace(microsecond=0),
        orphan.life.sign,
    )
    assert {Verdict.ORPHAN: 1} == page.verdicts
    assert "zoe@example.com" not in repr(page)


async def test_paging(search: Search) -> None:
    """All pages are read to the last, each once, and one call is made for each."""
    search.crowd.fill(spread(2 * PAGE_IDENTITIES + 1))
    pages = await search.pages()

    counts = [sum(page.verdicts.values()) for page in pages]
    assert [PAGE_IDENTITIES, PAGE_IDENTITIES, 1] == counts
    assert ["GET list"] * 3 == search.crowd.calls
    shares = [page.share for page in pages]
    assert sorted(shares) == shares
    assert 0.45 < shares[0] < 0.55


async def test_full_last_page(search: Search) -> None:
    """A last page that is full is the last one."""
    search.crowd.fill(spread(PAGE_IDENTITIES))

    assert 1 == len(await search.pages())


async def test_calls_are_bounded(search: Search) -> None:
    """Sessions are asked for where they decide: one more call an identity."""
    search.crowd.fill(spread(10))
    search.crowd.add(person(), session())
    search.crowd.add(person(), *[session(NOW - 50 * DAY)] * (MAX_SESSIONS + 1))
    search.crowd.add(person(born=NOW - DAY), session())
    await search.pages()

    assert ["GET list", "GET sessions", "GET sessions"] == search.crowd.calls


async def test_untraced(search: Search) -> None:
    """Orphans without the session of their registration are found on request only."""
    traced = search.crowd.add(person(), session())
    untraced = search.crowd.add(person())
    search.crowd.add(person(password="hash"))

    assert {traced} == await search.found()
    assert {traced, untraced} == await search.found(untraced=True)


async def test_memory(search: Search) -> None:
    """A hundred thousand identities are looked at in the memory of a page or two.

    Blocks are counted because that costs nothing: tracemalloc takes five times as long.
    """
    search.crowd.fill(spread(MANY))
    orphans = {search.crowd.add(person(), session()) for _ in range(20)}
    found, count, blocks = set(), 0, []
    async for page in search.orphans().pages():
        found |= {orphan.id for orphan in page.orphans}
        count += sum(page.verdicts.values())
        blocks.append(sys.getallocatedblocks())

    assert (orphans, MANY + 20) == (found, count)
    assert max(blocks) - min(blocks) < MAX_BLOCKS


async def test_link_to_elsewhere(search: Search) -> None:
    """Of a link only the token counts; a proxy may have named any host in it."""
    search.crowd.fill(spread(2 * PAGE_IDENTITIES))
    search.crowd.relink = lambda link: link.replace("</", "<https://kratos.invalid/")

    assert 2 == len(await search.pages())


@pytest.mark.parametrize(
    "link",
    [
        '</admin/identities?page_token=00000000-0000-0000-0000-000000000000>;rel="next"',
        '</admin/identities?page=2>; rel="next"',
    ],
    ids=["circle", "no token"],
)
async def test_odd_links(search: Search, link: str) -> None:
    """A link that leads nowhere new is an odd answer, and not followed for ever."""
    search.crowd.fill(spread(2 * PAGE_IDENTITIES))
    search.crowd.relink = lambda _: link

    with pytest.raises(KratosIncompatible):
        await search.pages()


@pytest.mark.parametrize("call", ["GET list", "GET sessions"])
async def test_kratos_away(search: Search, call: str) -> None:
    """What cannot be listed to its end is not listed."""
    search.crowd.add(person(), session())
    search.crowd.broken = frozenset({call})

    with pytest.raises(KratosUnavailable):
        await search.pages()


async def test_removal(search: Search) -> None:
    """An orphan that still is one is looked at again, and removed; nobody else is."""
    added = search.crowd.add(person(), session())
    others = [search.crowd.add(person(), session()) for _ in range(2)]
    outcome = await search.orphans().remove(added)

    assert Outcome.REMOVED == outcome
    assert {*others} == search.crowd.ids()
    assert ["GET identity", "GET sessions", "DELETE identity"] == search.crowd.calls


CHANGES = {
    "a password": ({"password": "hash"}, [session()]),
    "a social credential": ({"others": {"oidc": None}}, [session()]),
    "a sign-in": ({}, [session(NOW), session()]),
    "a new trait": ({"changed": 90 * DAY}, [session()]),
    "disabled": ({"enabled": False}, [session()]),
    "no session any more": ({}, []),
}


@pytest.mark.parametrize(("changes", "sessions"), CHANGES.values(), ids=CHANGES.keys())
async def test_changed_meanwhile(
    search: Search, changes: dict[str, object], sessions: list[dict[str, object]]
) -> None:
    """Who is no orphan any more, when it comes to the removal, is let be."""
    body = person()
    added = search.crowd.add(body, session())
    found = await search.found()
    search.crowd.add(person(**changes) | {"id": body["id"]}, *sessions)  # type: ignore[arg-type]
    outcome = await search.orphans().remove(added)

    assert {added} == found
    assert Outcome.CHANGED == outcome
    assert {added} == search.crowd.ids()
    assert "DELETE identity" not in search.crowd.calls


async def test_gone_meanwhile(search: Search) -> None:
    """Who has been removed by somebody else is gone."""
    outcome = await search.orphans().remove(uuid.uuid4())

    assert (Outcome.GONE, ["GET identity"]) == (outcome, search.crowd.calls)


async def test_removal_is_asked_for_once(search: Search) -> None:
    """A DELETE without an answer is not repeated: who knows what happened since."""
    added = search.crowd.add(person(), session())
    search.crowd.broken = frozenset({"DELETE identity"})

    with pytest.raises(KratosUnavailable):
        await search.orphans().remove(added)
    assert 1 == search.crowd.calls.count("DELETE identity")

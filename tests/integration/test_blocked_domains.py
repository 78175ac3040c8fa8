"""BLOCKED_EMAIL_DOMAINS_FILE, from the file to the caller."""

import uuid
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World

BLOCKED = [("email", "DOMAIN_BLOCKED")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file that blocks some domains."""
    file = tmp_path / "domains"
    file.write_text("# throw-away\nTrash.example\nbücher.test\nxn--fa-hia.test\ntk\n")
    return file


@pytest.fixture
async def caller(world: World, file: Path) -> Caller:
    """Give a caller of a service that reads the file."""
    return (await world.serve(blocked_email_domains_file=str(file))).caller


@pytest.mark.parametrize(
    "domain",
    [
        *("trash.example", "TRASH.Example", "a.b.trash.example", "some.tk"),
        *("bücher.test", "xn--bcher-kva.test", "Sub.BÜCHER.test"),
        *("faß.test", "xn--fa-hia.test"),
    ],
)
async def test_blocked(world: World, caller: Caller, domain: str) -> None:
    """A listed domain and all below it are refused before anything is done."""
    before = [*world.kratos.calls]
    refused = await refusal(caller.start(f"ann@{domain}"))

    assert grpc.StatusCode.INVALID_ARGUMENT is refused.code
    assert "EMAIL_INVALID" == refused.reason
    assert BLOCKED == refused.faults
    assert [] == world.rows()
    assert before == [*world.kratos.calls]


@pytest.mark.parametrize("domain", ["example.com", "nottrash.example", "tk.example"])
async def test_not_blocked(caller: Caller, domain: str) -> None:
    """A domain above a listed one, or that only ends like it, is not refused."""
    assert "CODE_REQUIRED" == state_of(await caller.start(f"ann@{domain}"))


def written(file: Path, text: str) -> None:
    """Write the file in its place."""
    file.write_text(text)


def replaced(file: Path, text: str) -> None:
    """Put another file into its place."""
    written(file.with_name("new"), text)
    file.with_name("new").replace(file)


def linked(file: Path, text: str) -> None:
    """Exchange the folder that it lies in by a link, as Kubernetes does."""
    folder = file.with_name(uuid.uuid4().hex)
    folder.mkdir()
    written(folder / "domains", text)
    file.with_name("link").symlink_to(folder / "domains")
    file.with_name("link").replace(file)


@pytest.mark.parametrize("change", [written, replaced, linked])
async def test_reload(
    world: World, caller: Caller, file: Path, change: Callable[[Path, str], None]
) -> None:
    """However the file is changed, the next call goes by what it says then."""
    for blocked, free in (("b.example", "trash.example"), ("cc.example", "b.example")):
        change(file, f"{blocked}\n")
        assert BLOCKED == (await refusal(caller.start(f"ann@{blocked}"))).faults
        await caller.start(f"ann@{free}")
    change(file, "")
    await caller.start("ann@cc.example")

    assert 3 == world.log.events("info").count("blocked_domains_reloaded")
    assert 0 == world.log.entry("blocked_domains_reloaded")["domains"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda f: f.write_text("a.test\nnot a domain\n"), "{0}, line 2 is not a "),
        (lambda f: f.unlink(), "{0}: No such file or directory"),
    ],
)
async def test_broken_reload(
    world: World, caller: Caller, file: Path, spoil: Callable[[Path], object], why: str
) -> None:
    """A file that cannot be used is logged once, and the last list stays."""
    spoil(file)
    for _ in range(3):
        assert BLOCKED == (await refusal(caller.start("a@trash.example"))).faults
    assert 1 == world.log.events("error").count("blocked_domains_not_reloaded")
    said = world.log.entry("blocked_domains_not_reloaded")["why"]
    assert said.startswith(why.format(file))
    written(file, "mended.example\n")
    assert BLOCKED == (await refusal(caller.start("a@mended.example"))).faults
    await caller.start("a@trash.example")


async def test_under_way(world: World, caller: Caller, file: Path) -> None:
    """A sign-up from before its domain was listed is repeated, and goes on."""
    address, request_id = "ann@late.example", uuid.uuid4()
    await caller.start(address, request_id)
    written(file, "late.example\n")
    again = await caller.start(address, request_id)
    token, code = again.continuation_token, world.kratos.code_for(address)
    proved = await caller.verify(token, code)
    done = await caller.set_password(proved.continuation_token, PASSWORD)
    new = await refusal(caller.start(address, uuid.uuid4()))

    assert "COMPLETED" == state_of(done)
    assert BLOCKED == new.faults

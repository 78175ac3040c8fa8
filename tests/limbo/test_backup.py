"""A ledger is restored from a backup, or lost: what becomes of people and accounts.

The commands are those of docs/operations.md.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from signupd.ledger.migrate import migrate

from devstack.postgres import programs
from tests.documented import lines, shell
from tests.limbo.books import Books
from tests.limbo.caller import Caller, Outcome
from tests.limbo.stage import (
    OTHER_PASSWORD,
    PASSWORD,
    POSTGRESQL,
    SQLITE,
    Scene,
    Stage,
    cancel_request,
    get_request,
    password_request,
    resend_request,
    start_request,
    verify_request,
)
from tests.limbo.warm import WarmSignupd

PAGE = "docs/operations.md"
BACK_UP = {SQLITE: ".*sqlite3 ", POSTGRESQL: ".*pg_dump "}
RESTORE = {SQLITE: "install ", POSTGRESQL: "pg_restore "}


def run(stage: Stage, commands: dict[str, str], url: str) -> None:
    """Run the document's command for this kind of ledger, in the ledger's folder."""
    kind = POSTGRESQL if stage.books.shared else SQLITE
    (command,) = lines(PAGE, commands[kind])
    path = f"{programs()}:{os.environ['PATH']}"
    place = stage.server.directory
    done = shell(command, place, PATH=path, SIGNUPD_LEDGER_URL=url)

    assert (0, "") == (done.returncode, done.stderr)


def empty_ledger(stage: Stage, directory: Path) -> str:
    """Make an empty database, or move SQLite's file away; give its URL."""
    if stage.books.shared:
        return stage.world.postgres.create_database(f"{directory.name}_new")
    for name in ("signupd.db", "signupd.db-wal", "signupd.db-shm"):
        if (file := stage.server.directory / name).exists():
            shutil.move(file, directory)
    return stage.settings["LEDGER_URL"]


@contextmanager
def serving(stage: Stage, url: str, directory: Path) -> Iterator[Scene]:
    """Serve in the stage's place, with its keys, from another ledger."""
    server = WarmSignupd(
        stage.proxy.public_url,
        stage.proxy.admin_url,
        hook_port=stage.server.hook_port,
        directory=directory,
        settings=stage.settings | {"LEDGER_URL": url},
    )
    asyncio.run(migrate(url))
    with server, Caller(server.target) as caller:
        server.wait_for_proof()
        yield Scene(world=stage.world, books=Books(url), caller=caller)


@dataclass(slots=True)
class People:
    """People who sign up, by their names, each with the answers to their calls.

    Attributes:
        scene: Where they do.
        addresses: Theirs.
        started: What StartSignup answered.
        proved: What VerifyCode answered.
        done: What SetPassword answered.
    """

    scene: Scene
    addresses: dict[str, str] = field(default_factory=dict)
    started: dict[str, Outcome] = field(default_factory=dict)
    proved: dict[str, Outcome] = field(default_factory=dict)
    done: dict[str, Outcome] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Begin."""
        for name in names:
            self.addresses[name] = self.scene.new_address()
            self.started[name] = self.scene.started(self.addresses[name])

    def prove(self, *names: str) -> None:
        """Hand in the newest code."""
        for name in names:
            code = self.scene.code(self.addresses[name])
            request = verify_request(self.started[name], code)
            self.proved[name] = self.scene.caller.ask(request)

    def finish(self, *names: str) -> None:
        """Set the password."""
        for name in names:
            request = password_request(self.proved[name])
            self.done[name] = self.scene.caller.ask(request)

    def see(self, scene: Scene) -> dict[str, str]:
        """Name what each gets for the newest token, from another service."""
        newest = self.started | self.proved
        requests = {name: get_request(one) for name, one in newest.items()}
        return {name: scene.caller.ask(one).what for name, one in requests.items()}

    def check_accounts(self) -> None:
        """Look whether the finished have their accounts, and nobody else has one."""
        world, finished = self.scene.world, {*self.done}
        held = {n: world.accounts(address) for n, address in self.addresses.items()}

        assert {name: int(name in finished) for name in held} == held
        for name in finished:
            (account,) = world.admin.identities(self.addresses[name])
            shown = self.scene.caller.account(identity_id=account.id)

            assert self.done[name].shown.identity_id == account.id
            assert shown.complete
            assert world.opens(self.addresses[name], PASSWORD)


@pytest.fixture
def people(stage: Stage) -> Iterator[People]:
    """Let people sign up; afterwards the stage serves again.

    Nothing of theirs is ever deleted in Kratos.
    """
    deleted = stage.proxy.count("delete")
    yield People(stage)
    stage.server.start()

    assert deleted == stage.proxy.count("delete")


def at_backup(stage: Stage, people: People) -> None:
    """Let people come to different steps, make the backup, and let them go on."""
    people.start(
        "coded", "proves", "has proved", "cancels", "finishes", "works", "done"
    )
    people.prove("has proved", "cancels", "finishes", "works", "done")
    people.finish("done")
    step = stage.proxy.hold("password")
    work = stage.caller.begin(password_request(people.proved["works"]))
    step.wait()
    run(stage, BACK_UP, stage.books.url)
    step.release()
    people.done["works"] = work.outcome()
    people.prove("proves")
    people.finish("finishes")
    cancelled = stage.caller.ask(cancel_request(people.proved["cancels"]))
    people.start("new", "new and done")
    people.prove("new and done")
    people.finish("new and done")

    assert "CANCELLED" == cancelled.what
    assert ["COMPLETED"] * 4 == [one.what for one in people.done.values()]


def test_restored(stage: Stage, people: People, tmp_path: Path) -> None:
    """A restored ledger goes on from where it was; no account is touched."""
    at_backup(stage, people)
    stage.server.kill()  # SQLite's newest changes are in a file of their own
    shared = stage.books.shared
    url = empty_ledger(stage, tmp_path) if shared else stage.books.url
    run(stage, RESTORE, url)
    with serving(stage, url, tmp_path) as after:
        people.scene, ask = after, after.caller.ask
        after.books.end_leases()  # on SQLite the start did that
        seen = people.see(after)
        people.check_accounts()
        burnt, proved = people.started["proves"], people.proved["proves"]
        early = ask(password_request(proved)).what
        people.prove("proves")
        used = people.proved["proves"].what
        people.started["proves"] = ask(resend_request(burnt))
        people.prove("proves", "coded")
        people.finish("proves", "coded", "has proved", "cancels", "works")
        proved = people.proved["finishes"]
        passwords = (OTHER_PASSWORD, PASSWORD)
        again = [ask(password_request(proved, one)).what for one in passwords]
        finished = ask(get_request(proved))
        people.check_accounts()

    under_way = dict.fromkeys(
        ("has proved", "cancels", "finishes"), "PASSWORD_REQUIRED"
    )
    coded = dict.fromkeys(("coded", "proves"), "CODE_REQUIRED")
    done = dict.fromkeys(("works", "done"), "COMPLETED")
    lost = dict.fromkeys(("new", "new and done"), "TOKEN_INVALID")

    assert under_way | coded | done | lost == seen
    assert ("STEP_MISMATCH", "CODE_EXPIRED") == (early, used)
    assert {"COMPLETED"} == {one.what for one in people.done.values()}
    assert ["PASSWORD_ALREADY_SET"] * 2 == again
    assert people.done["finishes"].shown == finished.shown


def test_lost(stage: Stage, people: People, tmp_path: Path) -> None:
    """After the loss of a ledger people start again, and all accounts stay."""
    people.start("coded", "proved", "done")
    people.prove("proved", "done")
    people.finish("done")
    stage.server.stop()
    with serving(stage, empty_ledger(stage, tmp_path), tmp_path) as after:
        people.scene = after
        seen = people.see(after)
        people.check_accounts()
        ask, addresses = after.caller.ask, people.addresses
        for name, address in addresses.items():
            people.started[name] = ask(start_request(address))
        people.prove(*addresses)
        people.finish("coded", "proved")
        people.check_accounts()

    assert dict.fromkeys(addresses, "TOKEN_INVALID") == seen
    assert "ALREADY_REGISTERED" == people.proved["done"].what
    assert ["COMPLETED"] * 3 == [one.what for one in people.done.values()]

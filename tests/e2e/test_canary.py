"""`signupd check --canary`: a whole sign-up, and nothing left of it."""

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from devstack.config import Mutation
from devstack.server import Signupd
from tests.e2e.broken import (
    hook_for_all,
    requiring_a_name,
    traits,
    without_hook,
)
from tests.e2e.checking import Checked, check, settings_of, started
from tests.e2e.frail import Frail
from tests.e2e.holdings import identity_ids, mail_ids, make_account, session_ids
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack

BreakHook = Callable[[str], Mutation]

WHOLE_WAY = [
    "canary_start",
    "canary_mail",
    "canary_code_hook",
    "canary_password_hook",
    "canary_account",
    "canary_removed",
]


def flown(stack: Stack, address: str, *options: str) -> Checked:
    """Let a canary fly, and type the code from its mailbox."""
    mails = len(stack.mailbox.mails_to(address))
    options = ("--canary", address, "--code-from-stdin", *options)
    with started(settings_of(stack.server), *options) as process:
        code = stack.code(address, mails + 1)
        return Checked.of(process, f"{code}\n")


def way(done: Checked) -> list[tuple[str, str]]:
    """Give what was found on the canary's way, in its order."""
    return [
        (one["check"], one["severity"])
        for one in done.findings
        if one["check"].startswith("canary")
    ]


def newest_state(server: Signupd) -> str:
    """Read the state of the newest sign-up in a server's ledger."""
    query = "SELECT state FROM signups ORDER BY create_time DESC LIMIT 1"
    with closing(sqlite3.connect(server.directory / "signupd.db")) as ledger:
        (state,) = ledger.execute(query).fetchone()
    return str(state)


def accounts(stack: Stack) -> tuple[set[str], set[str]]:
    """List all identities and sessions in Kratos."""
    return identity_ids(stack.kratos), session_ids(stack.kratos)


def test_whole_way(stack: Stack, address: str) -> None:
    """It goes all the way, and leaves no account, no session, and a final sign-up."""
    before = accounts(stack)
    done = flown(stack, address)

    assert [(step, "ok") for step in WHOLE_WAY] == way(done)
    assert (0, {"config_file": "warning"}) == (done.exit_code, done.faults)
    assert "its account is deleted" in done.findings[-1]["what"]
    assert before == accounts(stack)
    assert "completed" == newest_state(stack.server)
    assert 1 == len(stack.admin.courier_messages(address))
    assert address not in str(done)


def test_again(stack: Stack, address: str) -> None:
    """The address is free afterwards: the next one may use it."""
    done = [flown(stack, address) for _ in range(2)]

    assert [0, 0] == [one.exit_code for one in done]


def test_code_from_the_courier(site: Site, address: str) -> None:
    """Where Kratos runs with --dev nobody needs to be asked, which is said."""
    with site.stack(dev=True) as made:
        made.wait_for_proof()
        done = check(settings_of(made.server), "--canary", address)

        assert {"config_file": "warning", "canary_code": "warning"} == done.faults
        assert (set(), set()) == accounts(made)
        assert "completed" == newest_state(made.server)


def test_with_traits(site: Site, address: str) -> None:
    """Traits that the schema demands are given to StartSignup, too."""
    with site.stack(traits(requiring_a_name)) as made:
        done = flown(made, address, "--traits", '{"name": "Canary"}')

        assert {"config_file": "warning"} == done.faults
        assert (set(), set()) == accounts(made)


def test_taken(stack: Stack, address: str) -> None:
    """A taken address is refused: no mail goes, and the account is as it was."""
    account = make_account(stack.kratos, address, GOOD_PASSWORD)
    before = stack.admin.identity(account), accounts(stack), mail_ids(stack.kratos)
    done = check(settings_of(stack.server), "--canary", address.upper())

    assert (1, [("canary_start", "error")]) == (done.exit_code, way(done))
    assert "is taken" in done.fault("canary_start")["what"]
    assert before == (
        stack.admin.identity(account),
        accounts(stack),
        mail_ids(stack.kratos),
    )


def test_nobody_reads_the_mail(stack: Stack, address: str) -> None:
    """Without anybody to ask it says how it can be asked, and cancels the sign-up."""
    done = check(settings_of(stack.server), "--canary", address)

    assert 1 == done.exit_code
    assert "--code-from-stdin" in done.fault("canary_code")["cure"]
    assert ("canary_removed", "ok") == way(done)[-1]
    assert "cancelled" == newest_state(stack.server)


def test_interrupted(stack: Stack, address: str) -> None:
    """Interrupted while it waits for the code, it cancels the sign-up."""
    options = ("--canary", address, "--code-from-stdin")
    with started(settings_of(stack.server), *options) as process:
        stack.mailbox.wait_for(address)
        process.send_signal(signal.SIGINT)
        process.wait()

    assert 0 != process.returncode
    assert "cancelled" == newest_state(stack.server)


def test_no_server(stack: Stack, site: Site, address: str) -> None:
    """Without a server there is nothing to fly through, which is said."""
    settings = settings_of(site.server(stack.kratos, stack.server.hook_port))
    done = check(settings, "--canary", address)

    assert 1 == done.exit_code
    assert "signupd serve" in done.fault("canary_start")["cure"]


@pytest.mark.parametrize("break_it", [without_hook, hook_for_all])
def test_code_hook_missing(frail: Frail, address: str, break_it: BreakHook) -> None:
    """A missing code hook shows at the code; the ghost is gone, and the cure said."""
    stack, before = frail.stack, accounts(frail.stack)
    frail.bend(break_it("code"))
    done = flown(stack, address)

    assert 1 == done.exit_code
    assert "/kratos/code" in done.fault("canary_code_hook")["cure"]
    assert ("canary_removed", "ok") == way(done)[-1]
    assert before == accounts(stack)
    assert "cancelled" == newest_state(stack.server)


def test_password_hook_missing(frail: Frail, address: str) -> None:
    """So does a missing password hook at the password."""
    stack, before = frail.stack, accounts(frail.stack)
    frail.bend(without_hook("password"))
    done = flown(stack, address)

    assert 1 == done.exit_code
    assert "/kratos/password" in done.fault("canary_password_hook")["cure"]
    assert ("canary_removed", "ok") == way(done)[-1]
    assert before == accounts(stack)
    assert "cancelled" == newest_state(stack.server)

"""`signupd check --canary`: a whole sign-up, and nothing left of it."""

import base64
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from devstack.config import Mutation
from devstack.mailbox import MailMissingError
from devstack.server import Signupd
from tests.e2e.broken import (
    hook_for_all,
    requiring_a_name,
    setting,
    traits,
    without_hook,
)
from tests.e2e.checking import Checked, check, config_of, settings_of, started
from tests.e2e.frail import Frail
from tests.e2e.holdings import identity_ids, session_ids
from tests.e2e.site import Site
from tests.e2e.stack import Stack, new_address

BreakHook = Callable[[str], Mutation]

WHOLE_WAY = [
    "canary_start",
    "canary_mail",
    "canary_code_hook",
    "canary_password_hook",
    "canary_account",
    "canary_settings",
    "canary_removed",
]


def flown(stack: Stack, address: str, *options: str) -> Checked:
    """Let a canary fly; its code is the first line of what comes in."""
    mails = len(stack.mailbox.mails_to(address))
    options = ("--canary", address, "--code-from-stdin", *options)
    with started(settings_of(stack.server), *options) as process:
        try:
            code = stack.code(address, mails + 1)
        except MailMissingError:
            code = ""  # what the canary found says why
        return Checked.of(process, f"{code}\nand more\n")


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


@pytest.mark.parametrize("method", ["code", "password"])
@pytest.mark.parametrize("break_it", [without_hook, hook_for_all])
def test_hook_missing(
    frail: Frail, address: str, method: str, break_it: BreakHook
) -> None:
    """A missing hook shows at its step, with the lines to add; no account is left."""
    stack, before = frail.stack, accounts(frail.stack)
    frail.bend(break_it(method))
    done = flown(stack, address)

    assert 1 == done.exit_code
    assert "error" == done.faults[f"canary_{method}_hook"]
    assert 1 == sum(f"web_hook to /kratos/{method}" in cure for cure in done.cures)
    assert ("canary_removed", "ok") == way(done)[-1]
    assert before == accounts(stack)
    assert "cancelled" == newest_state(stack.server)


def test_movable(frail: Frail, address: str) -> None:
    """Users who may move their account are an error, by behaviour and by file.

    A hook that may refuse another address makes both well, where the file shows it.
    """
    before = accounts(frail.stack)
    file = "--kratos-config", str(config_of(frail.stack.kratos))
    frail.bend(setting("selfservice.methods.profile.enabled", value=True))
    seen = flown(frail.stack, address)
    read = check(settings_of(frail.stack.server), *file)
    cure = read.fault("profile_method")["cure"]
    frail.bend(refusing_profiles)
    hooked = flown(frail.stack, new_address(), *file)

    assert {"canary_settings": "error", "config_file": "warning"} == seen.faults
    assert "under selfservice.methods.profile, set:\nenabled: false" in cure
    assert cure == seen.fault("canary_settings")["cure"]
    assert not {"profile_method", "canary_settings"} & hooked.faults.keys()
    assert ("canary_settings", "ok") in way(hooked)
    assert before == accounts(frail.stack)


def refusing_profiles(config: dict[str, Any]) -> None:
    """Let users change their traits, if a hook agrees."""
    body = f"base64://{base64.b64encode(b'function(ctx) {}').decode()}"
    refusing = {"url": "http://127.0.0.1:1/", "method": "POST", "body": body}
    hook = {"hook": "web_hook", "config": refusing | {"response": {"parse": True}}}
    setting("selfservice.methods.profile.enabled", value=True)(config)
    setting("selfservice.flows.settings.after.profile.hooks", [hook])(config)

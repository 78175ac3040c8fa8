"""``signupd signup`` and ``signups`` as processes, beside a server at work."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from devstack.config import INHERITED
from tests.e2e.prompt import Prompt
from tests.e2e.stack import GOOD_PASSWORD, Stack, wrong_codes

SIGNUPD = (sys.executable, "-m", "signupd")


def environment(stack: Stack) -> dict[str, str]:
    """Give the environment of an operator of this stack."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ledger = f"sqlite:///{stack.server.directory}/signupd.db"
    return inherited | {"SIGNUPD_LEDGER_URL": ledger}


def run(stack: Stack, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its input a pipe."""
    return subprocess.run(  # noqa: S603 - our own program
        (*SIGNUPD, *words),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        env=environment(stack),
        cwd=stack.server.directory,
    )


def signups(stack: Stack, *words: str) -> Any:
    """Look at sign-ups, as a script does."""
    done = run(stack, "signups", *words, "--json")
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def prompt(stack: Stack) -> Prompt:
    """Start a sign-up at a terminal."""
    command = (*SIGNUPD, "signup", "--target", stack.server.target)
    return Prompt(
        *command, directory=stack.server.directory, environment=environment(stack)
    )


def test_whole_way(stack: Stack, prompt: Prompt, address: str) -> None:
    """A person signs up, with mistakes on the way; then the operator looks at it."""
    with prompt:
        prompt.expect("E-mail address: ")
        prompt.type(address)
        prompt.expect("Code ")
        code = stack.code(address)
        prompt.type(wrong_codes(code, 1)[0])
        prompt.expect("Attempts left: 4.")
        prompt.expect("Code ")
        prompt.type("")
        prompt.expect("(RESEND_TOO_SOON)")
        prompt.expect("Code ")
        prompt.type(code)
        for password in ("tiny#7", GOOD_PASSWORD):
            for question in ("Password: ", "Repeat the password: "):
                prompt.expect(question)
                prompt.type(password)
        exit_code = prompt.end()
    (listed,) = signups(stack, "list", "--address", address)
    shown = signups(stack, "show", listed["signup_id"])

    assert 0 == exit_code
    assert "- password is too short (TOO_SHORT)" in prompt.seen
    assert f"The account is ready: {shown['identity_id']}" in prompt.seen
    assert [] == [one for one in ("tiny#7", GOOD_PASSWORD) if one in prompt.seen]
    assert stack.visitor.login(address, GOOD_PASSWORD)
    assert ("COMPLETED", "a***@example.com", 2) == (
        shown["state"],
        shown["masked_email"],
        shown["code_attempts"],
    )
    assert listed == shown


def test_taken_address(stack: Stack, prompt: Prompt, address: str) -> None:
    """Who has an account already is told so, after the proof and not before."""
    stack.registered(address)
    with prompt:
        prompt.expect("E-mail address: ")
        prompt.type(address)
        prompt.expect("Code ")
        prompt.type(stack.code(address, 2))
        prompt.expect("This address already has an account. Sign in.")
        exit_code = prompt.end()

    assert 1 == exit_code


def test_end_of_input(stack: Stack, address: str) -> None:
    """Where the input ends before the code, the sign-up is cancelled."""
    target = ("--target", stack.server.target)
    done = run(stack, "signup", *target, typed=f"{address}\n")
    (listed,) = signups(stack, "list", "--address", address, "--state", "cancelled")

    assert 1 == done.returncode
    assert "The sign-up was cancelled." in done.stdout
    assert "CANCELLED" == listed["state"]
    assert "" == done.stderr


def test_nobody_there(stack: Stack) -> None:
    """Where nobody listens it says so, after the retries, and asks nothing further."""
    target = ("--target", f"unix:{stack.server.directory}/none.sock")
    done = run(stack, "signup", *target, "--email", "ann@example.com")

    assert (1, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("The service did not answer: UNAVAILABLE")


def test_looking_changes_nothing(stack: Stack, address: str) -> None:
    """A sign-up that is looked at goes on as if it were not."""
    token = stack.proved(address)
    listed = signups(stack, "list", "--limit", "1")
    signups(stack, "show", listed[0]["signup_id"])
    done = stack.caller.set_password(token, GOOD_PASSWORD)

    assert "PASSWORD_REQUIRED" == listed[0]["state"]
    assert listed[0]["signup_id"] == done.signup.signup_id
    assert done.signup.identity_id

"""``signupd signup`` and ``signups`` as processes, beside a running server."""

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


def signups(stack: Stack, *words: str) -> Any:
    """Look at sign-ups, as a script does."""
    done = subprocess.run(  # noqa: S603 - our own program
        (*SIGNUPD, "signups", *words, "--json"),
        capture_output=True,
        text=True,
        check=True,
        env=environment(stack),
        cwd=stack.server.directory,
    )
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

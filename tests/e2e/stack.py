"""A mailbox, a Kratos and a signupd that know each other."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import Admin
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from devstack.server import Signupd
from devstack.visitor import Visitor
from devstack.waiting import wait_until
from tests.e2e.caller import Caller

GOOD_PASSWORD = "seven tall ladders"


@dataclass(frozen=True, slots=True)
class Stack:
    """What a test needs to sign somebody up, and to see what came of it."""

    mailbox: Mailbox
    kratos: Kratos
    server: Signupd
    admin: Admin
    visitor: Visitor
    caller: Caller

    def code(self, address: str, count: int = 1) -> str:
        """Read the code in the mail that an address got last, of so many."""
        code = self.mailbox.wait_for(address, count).code
        if not code:
            raise AssertionError("a mail without a code")
        return code

    def proved(self, address: str) -> str:
        """Sign an address up to the proof.

        Returns:
            A token of the password step.
        """
        mails = len(self.mailbox.mails_to(address))
        started = self.caller.start(address)
        code = self.code(address, mails + 1)
        verified = self.caller.verify(started.continuation_token, code)
        if verified.signup.state != pb.SIGNUP_STATE_PASSWORD_REQUIRED:
            raise AssertionError(f"not proved: {verified.signup}")
        return verified.continuation_token

    def registered(self, address: str, password: str = GOOD_PASSWORD) -> str:
        """Sign an address up to the end.

        Returns:
            The id of its identity.
        """
        done = self.caller.set_password(self.proved(address), password)
        return done.signup.identity_id

    def log(self) -> "Log":
        """Begin to read the server's log here."""
        return Log(self.server, len(self.server.log().splitlines()))

    def wait_for_proof(self) -> None:
        """Wait until the server knows by itself that Kratos asks its hook."""
        self.server.wait_for_proof()


@dataclass(frozen=True, slots=True)
class Log:
    """What a server has logged, or has logged since some moment."""

    server: Signupd
    since: int = 0

    def lines(self) -> list[dict[str, Any]]:
        """Read the lines, oldest first."""
        lines = self.server.log().splitlines()[self.since :]
        return [json.loads(line) for line in lines]

    def said(self, event: str, least: int = 0) -> list[dict[str, Any]]:
        """Wait for so many lines of an event, and read all; a thread writes them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = [line for line in self.lines() if line["event"] == event]
            return len(found) >= least

        wait_until(enough, f"{least} lines of {event}")
        return found

    def complaints(self, least: int = 1) -> str:
        """Wait for what it says, loudly, of Kratos' configuration."""
        lines = self.said("kratos_incompatible", least)
        return "\n".join(line["why"] for line in lines if line["level"] == "error")


@contextmanager
def attached(mailbox: Mailbox, kratos: Kratos, server: Signupd) -> Iterator[Stack]:
    """Connect to a Kratos and a server that run, or will."""
    with ExitStack() as resources:
        yield Stack(
            mailbox,
            kratos,
            server,
            resources.enter_context(Admin(kratos.admin_url)),
            resources.enter_context(Visitor(kratos.public_url)),
            resources.enter_context(Caller(server.target)),
        )


def new_address() -> str:
    """Make up an address that no other test has."""
    return f"ann-{secrets.token_hex(6)}@example.com"


def wrong_codes(code: str, count: int) -> list[str]:
    """Make up codes that differ from the right one, and from each other."""
    size = 10 ** len(code)
    return [f"{(int(code) + step) % size:0{len(code)}}" for step in range(1, count + 1)]


def similar_to(address: str, variant: int = 0) -> str:
    """Make a password that Kratos finds too similar, and nobody finds common."""
    return f"{address[3:-2]}#{variant:02}"

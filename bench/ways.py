"""The two ways to an account: direct calls to Kratos, and signupd's RPCs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from bench import people
from bench.load import Way
from bench.people import PASSWORD, SET_PASSWORD, START, VERIFY
from bench.programs import ProgramFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.people import Person, Step
    from bench.site import Served, Site
    from devstack.kratos import Kratos

# As go/byhand/main.go names them.
STEPS = {START: "start", VERIFY: "verify", SET_PASSWORD: "password"}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that all have taken; lists are in the order of the people.

    Attributes:
        seconds: From the first call to the last answer.
        micros: How long each waited.
        held: What each goes on with.
    """

    seconds: float
    micros: list[int]
    held: list[str]


class Path(Protocol):
    """A way to an account.

    Attributes:
        pids: The processes that it uses, by what they are.
    """

    pids: dict[str, list[int]]

    def take(self, step: Step, crowd: Sequence[Person], concurrency: int) -> Taken:
        """Have everybody take a step."""


class ByHand:
    """Direct calls to Kratos, by go/byhand.

    Args:
        site: Where.
        kratos: A Kratos that asks go/hooks.
    """

    def __init__(self, site: Site, kratos: Kratos) -> None:
        urls = f"-public={kratos.public_url}", f"-admin={kratos.admin_url}"
        self._command = [str(site.program("byhand")), *urls]
        self.pids = {"service": [], **_behind(site, kratos)}

    def take(self, step: Step, crowd: Sequence[Person], concurrency: int) -> Taken:
        """Have everybody take a step, by the calls that signupd would make for it."""
        given = [asdict(who) | {"password": PASSWORD} for who in crowd]
        done = subprocess.run(  # noqa: S603 - our own program
            [*self._command, f"-step={STEPS[step]}", f"-concurrency={concurrency}"],
            input=json.dumps(given).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise ProgramFailedError(done.stderr.decode())
        return Taken(**json.loads(done.stdout))


class Through:
    """The RPCs of a signupd, which its Kratos asks."""

    def __init__(self, site: Site, kratos: Kratos, served: Served) -> None:
        self._site = site
        self._targets = served.targets
        self.pids = {"service": served.pids, **_behind(site, kratos)}

    def take(self, step: Step, crowd: Sequence[Person], concurrency: int) -> Taken:
        """Have everybody take a step, by one RPC."""
        held = [who.held for who in crowd]
        if step is START:
            requests = people.starts(who.email for who in crowd)
        elif step is VERIFY:
            requests = people.verifies(held, [who.code for who in crowd])
        else:
            requests = people.set_passwords(held)
        way = Way(concurrency=concurrency)
        sent = self._site.load.send(self._targets, step.method, requests, way)
        return Taken(sent.seconds, sent.micros, people.tokens_of(sent.answers))


def _behind(site: Site, kratos: Kratos) -> dict[str, list[int]]:
    return {"kratos": [kratos.pid or 0], "database": [site.postgres.pid or 0]}

"""A stack that a test may hurt in many ways; it heals."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from devstack.config import Mutation
from devstack.ports import free_ports
from tests.doubles.forwarder import Forwarder
from tests.e2e.broken import hook_at, hook_key
from tests.e2e.site import Site
from tests.e2e.stack import Stack


@dataclass(slots=True)
class _Bends:
    """What is changed in Kratos' configuration at the moment."""

    always: list[Mutation] = field(default_factory=list)
    now: list[Mutation] = field(default_factory=list)

    def __call__(self, config: dict[str, Any]) -> None:
        for mutation in (*self.always, *self.now):
            mutation(config)


@dataclass(frozen=True, slots=True)
class Frail:
    """A stack with a hook key, and with handles on the ways to the hooks."""

    stack: Stack
    code_way: Forwarder
    password_way: Forwarder
    hook_key: str
    _bends: _Bends

    def bend(self, mutation: Mutation) -> None:
        """Restart Kratos with one thing changed in its configuration.

        The server has its proof of the password hook.
        """
        self._restart_kratos([mutation])

    def mend(self) -> None:
        """Restart Kratos with its configuration as it should be."""
        self._restart_kratos([])

    def heal(self) -> None:
        """Undo whatever a test has done, or left undone when it failed.

        A server that saw Kratos store without asking has to make its proof anew.
        """
        self.code_way.open()
        self.password_way.open()
        if self._bends.now:
            self.mend()
        self.stack.kratos.start()
        if self.stack.server.pid is None:
            self.stack.server.start()
        self.stack.wait_for_proof()

    def _restart_kratos(self, mutations: list[Mutation]) -> None:
        self._bends.now[:] = mutations
        self.stack.kratos.stop()
        self.stack.kratos.start()


@contextmanager
def frail_stack(site: Site) -> Iterator[Frail]:
    """Put one up, with the ways between Kratos and its hooks."""
    (hook_port,), key, bends = free_ports(1), secrets.token_urlsafe(), _Bends()
    with Forwarder(hook_port) as code_way, Forwarder(hook_port) as password_way:
        bends.always += [
            hook_at("code", code_way.port),
            hook_at("password", password_way.port),
            hook_key(key),
        ]
        with site.stack(bends, {"HOOK_KEY": key}, hook_port) as stack:
            stack.wait_for_proof()
            yield Frail(stack, code_way, password_way, key, bends)

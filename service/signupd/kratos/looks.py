"""Accounts looked up while Kratos is still busy with a code.

Kratos asks the code hook when it has found a code right, and answers the code itself
when it has written that down, some milliseconds later. The look-up, which is not to be
made before the proof, need not wait for that answer.

What the hook says proves nothing here: it begins a look-up, of whose result nothing is
told unless Kratos' own answer says that the code was right.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from signupd.kratos.outcomes import Identity

    Finding = Coroutine[Any, Any, Identity | None]


class Look:
    """One look-up, which may begin before it is asked for.

    A context manager; after it nothing of it is under way.

    Args:
        find: Makes it.
        waiting: Those that the hook may begin, by their flow.
        flow_id: The flow by which a code is submitted meanwhile.
    """

    def __init__(
        self, find: Callable[[], Finding], waiting: dict[str, Look], flow_id: str
    ) -> None:
        self._find = find
        self._waiting = waiting
        self._flow_id = flow_id
        # Whoever has it begin is in another call's trace.
        self._context = copy_context()
        self._begun: asyncio.Task[Identity | None] | None = None

    async def __aenter__(self) -> Self:
        return self

    def expect(self) -> None:
        """Let the hook begin it, from now on."""
        self._waiting[self._flow_id] = self

    async def __aexit__(self, *_: object) -> None:
        if self._waiting.get(self._flow_id) is self:
            del self._waiting[self._flow_id]
        await self.leave()

    def begin(self) -> None:
        """Make it now; the result is for later."""
        if self._begun is None:
            self._begun = asyncio.create_task(self._find(), context=self._context)

    async def result(self) -> Identity | None:
        """Give the account, or None where there is none.

        Raises:
            KratosUnavailable, KratosIncompatible: It cannot be looked up.
        """
        begun = self._begun
        if begun is None or _has_failed(begun):
            return await self._find()
        return await begun

    async def leave(self) -> None:
        """Do without what was begun."""
        begun, self._begun = self._begun, None
        if begun is not None and begun.cancel():
            await asyncio.wait([begun])


class Looks:
    """The look-ups that wait for a hook to come.

    Args:
        find: Looks an account up by its address.
        early: Whether they begin when it does; else when they are asked for.
    """

    def __init__(self, find: Callable[[str], Finding], *, early: bool) -> None:
        self._find = find
        self._early = early
        self._waiting: dict[str, Look] = {}

    def prepare(self, flow_id: str, address: str) -> Look:
        """Prepare to look an address up as soon as the hook comes.

        Args:
            flow_id: The flow by which a code is submitted meanwhile.
            address: The canonical address.
        """
        return Look(partial(self._find, address), self._waiting, flow_id)

    def hook_came(self, flow_id: str) -> None:
        """Note that Kratos has found a flow's code right, or somebody says that it has.

        Args:
            flow_id: Whatever was sent.
        """
        look = self._waiting.get(flow_id)
        if look is not None and self._early:
            look.begin()


def _has_failed(begun: asyncio.Task[Identity | None]) -> bool:
    """Tell whether one failed before anybody waited for it."""
    return begun.done() and begun.exception() is not None

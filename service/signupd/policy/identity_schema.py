"""The identity schema during sign-ups: it has to be safe, and reserves some traits."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible, TraitsInvalid, Violation
from signupd.kratos.schema import registration_schema, schema_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import structlog

    from signupd.kratos.public import PublicApi
    from signupd.kratos.schema import IdentitySchema

# A schema changes with a deployment of Kratos; one request a minute finds out.
FRESH_SECONDS: Final = 60.0
# Somebody may be mending it.
FAULTY_SECONDS: Final = 5.0
_RESERVED: Final = (
    "is an identifier, verification or recovery address, which callers may not set"
)


class SchemaRules:
    """Applies the identity schema to sign-ups. It reads the schema once a minute.

    Args:
        public: Kratos' public API.
        wanted: The name of the schema that registration uses; None for the only one.
        log: Gets the schema's faults.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        public: PublicApi,
        wanted: str | None,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._public = public
        self._wanted = wanted
        self._log = log
        self._clock = clock
        self._lock = asyncio.Lock()
        self._reserved: tuple[re.Pattern[str], ...] = ()
        self._stale_at = 0.0
        self._fault: KratosIncompatible | None = None
        self._warnings: list[str] = []

    async def permit(self, traits: Mapping[str, Any]) -> None:
        """Check a caller's traits.

        Args:
            traits: JSON values by name, without the address.

        Raises:
            TraitsInvalid: With each trait that callers may not set.
            KratosIncompatible: Sign-ups with this schema are not safe.
            KratosUnavailable: The schema cannot be read.
        """
        await self._refresh()
        violations = tuple(
            Violation(f"traits.{path}", _RESERVED)
            for path in _paths(traits)
            if any(reserved.fullmatch(path) for reserved in self._reserved)
        )
        if violations:
            raise TraitsInvalid(violations=violations)

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() >= self._stale_at:
                await self._read()
        if self._fault is not None:
            raise KratosIncompatible(self._fault.detail)

    async def _read(self) -> None:
        try:
            schema = registration_schema(await self._public.schemas(), self._wanted)
            self._judge(schema)
        except KratosIncompatible as error:
            self._log.error("kratos_incompatible", why=error.detail)
            self._fault = error
            self._stale_at = self._clock() + FAULTY_SECONDS
            return
        self._reserved = (
            *map(_pattern, schema.reserved),
            *(_pattern(path, within=True) for path in schema.unread),
        )
        self._fault = None
        self._stale_at = self._clock() + FRESH_SECONDS

    def _judge(self, schema: IdentitySchema) -> None:
        """Refuse a schema with a severe fault; log each other fault once."""
        texts: dict[bool, list[str]] = {True: [], False: []}
        for fault in schema_faults(schema):
            text = f"identity schema {schema.id}: {fault.what}; {fault.why}"
            texts[fault.severe].append(text)
        if texts[True]:
            raise KratosIncompatible("; ".join(texts[True]))
        if texts[False] != self._warnings:
            self._warnings = texts[False]
            for text in texts[False]:
                self._log.warning("identity_schema_fault", why=text)


def _pattern(path: str, *, within: bool = False) -> re.Pattern[str]:
    """Make what matches the path of a trait, ``*`` being any name.

    A name may contain dots and brackets, so this matches too much rather than too
    little.

    Args:
        path: The trait's; empty for all of them.
        within: Whether to match whatever the trait contains, too.
    """
    matching = re.escape(path).replace(r"\*", ".*")
    if within:
        matching += r"([.\[].*)?" if path else ".*"
    return re.compile(matching, re.DOTALL)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """List the path of everything that a caller sets, as schemas name it."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{path}[]")

"""The identity schema's word on sign-ups: is it fit, and which traits may callers set.

Kratos mails a code to every address that is a code identifier, so one that a caller may
set would get the code meant for somebody else's mailbox. And whoever sets another
identifier, verification or recovery address has a way into the account.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible, TraitsInvalid, Violation
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.schema import registration_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import structlog

    from signupd.kratos.public import PublicApi
    from signupd.kratos.schema import IdentitySchema

# A schema changes with a deployment of Kratos; one request so often finds out.
FRESH_SECONDS: Final = 60.0
# Somebody is perhaps mending it.
FAULTY_SECONDS: Final = 5.0
_NOT_YOURS: Final = (
    "is an identifier, verification or recovery address, which callers may not set"
)


class SchemaRules:
    """Holds sign-ups against the identity schema, read anew once a minute.

    Args:
        public: Kratos' public API.
        wanted: The name of the one that registration uses; None for the only one.
        log: Faults go there.
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

    async def permit(self, traits: Mapping[str, Any]) -> None:
        """Let a caller's traits pass.

        Args:
            traits: JSON values by name, without the address.

        Raises:
            TraitsInvalid: With each that callers may not set.
            KratosIncompatible: Nobody can sign up safely with this schema.
            KratosUnavailable: It cannot be read.
        """
        await self._refresh()
        faults = tuple(
            Violation(f"traits.{path}", _NOT_YOURS)
            for path in _paths(traits)
            if any(reserved.fullmatch(path) for reserved in self._reserved)
        )
        if faults:
            raise TraitsInvalid(violations=faults)

    async def _refresh(self) -> None:
        if self._clock() >= self._stale_at:
            async with self._lock:
                if self._clock() >= self._stale_at:
                    await self._read()
        if self._fault is not None:
            raise KratosIncompatible(self._fault.detail)

    async def _read(self) -> None:
        try:
            schemas = await self._public.schemas()
            schema = registration_schema(schemas, self._wanted)
            _demand_fit(schema)
        except KratosIncompatible as error:
            self._log.error("kratos_incompatible", why=error.detail)
            self._fault = error
            self._stale_at = self._clock() + FAULTY_SECONDS
            return
        if schema.unread:
            self._log.warning("identity_schema_not_all_read", references=schema.unread)
        others = [one.path for one in schema.traits if one.path != ADDRESS_TRAIT]
        self._reserved = (
            *map(_pattern, others),
            *(_pattern(path, within=True) for path in schema.unknown),
        )
        self._fault = None
        self._stale_at = self._clock() + FRESH_SECONDS


def _demand_fit(schema: IdentitySchema) -> None:
    """Refuse a schema that nobody can sign up with, or not safely."""
    coded = [one.path for one in schema.traits if "code" in one.identifies]
    address = schema.trait(ADDRESS_TRAIT)
    if len(coded) > 1:
        raise KratosIncompatible(
            f"the identity schema {schema.id} has several code identifiers "
            f"({', '.join(coded)}): Kratos would mail each code to all of them"
        )
    if coded != [ADDRESS_TRAIT] or address.code_via != "email":
        raise KratosIncompatible(
            f"in the identity schema {schema.id} the trait {ADDRESS_TRAIT} is no code "
            "identifier by e-mail"
        )
    if "password" not in address.identifies or address.verified_via != "email":
        raise KratosIncompatible(
            f"in the identity schema {schema.id} the trait {ADDRESS_TRAIT} is no "
            "password identifier, or cannot be verified by e-mail"
        )


def _pattern(path: str, *, within: bool = False) -> re.Pattern[str]:
    """Make what fits a trait's path, ``*`` being any name.

    A name may have dots and brackets in it; so this fits too much rather than too
    little.

    Args:
        path: The trait's; empty for all of them.
        within: Whether to fit whatever the trait contains, too.
    """
    fitting = re.escape(path).replace(r"\*", ".*")
    if within:
        fitting += r"([.\[].*)?" if path else ".*"
    return re.compile(fitting, re.DOTALL)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Name the place of everything that a caller sets, as schemas name it."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{path}[]")

"""The identity schema: whether sign-ups with it are safe, and what it reserves."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from signupd.errors import KratosIncompatible, TraitsInvalid, Violation
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.public import PublicApi
from signupd.kratos.schema import ADDRESS, ROOT, IdentitySchema

# What the address trait has to be used for, in the words of IdentitySchema.uses.
_NEEDED: Final = frozenset(
    ("identifier for code by email", "identifier for password", "verification by email")
)
# A schema changes with a deployment of Kratos; one request a minute finds out.
FRESH_SECONDS: Final = 60.0
# An operator may be correcting it.
FAULTY_SECONDS: Final = 5.0
_RESERVED: Final = (
    "is an identifier, verification or recovery address, which callers may not set"
)


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A reason why sign-ups with a schema do not work, or need care.

    The server refuses all sign-ups if it is severe. If not, it logs a warning and
    refuses the traits in question from callers.
    """

    check: str  # under which signupd check reports it
    severe: bool
    what: str
    why: str


_LACKS: Final = SchemaFault(
    "address_trait",
    True,
    f"the trait {ADDRESS_TRAIT} lacks {{}}",
    "Kratos mails the code to this trait, and people sign in with it",
)
_CODED: Final = SchemaFault(
    "other_identifiers",
    True,
    f"there are code identifiers besides {ADDRESS}: {{}}",
    "Kratos mails each code to all of them, so another person can read it",
)
_REQUIRED: Final = SchemaFault(
    "other_identifiers",
    True,
    "identifiers or addresses are required traits: {}",
    "callers may not set them, so every sign-up fails",
)
_TOLERATED: Final = SchemaFault(
    "other_identifiers",
    False,
    "there are further identifiers or addresses: {}",
    "a sign-up does not prove who they belong to, so callers may not set them "
    "(TRAITS_INVALID)",
)
_UNREAD: Final = SchemaFault(
    "identity_schema",
    False,
    "it refers to {}",
    "signupd does not read that, and identifiers may stand there, so callers may not "
    "set these traits (TRAITS_INVALID)",
)


def schema_faults(schema: IdentitySchema) -> list[SchemaFault]:
    """Judge a schema. The server and ``signupd check`` both go by this."""
    others = {path: uses for path, uses in schema.uses.items() if path != ADDRESS}
    told = {path: f"{path} ({', '.join(sorted(others[path]))})" for path in others}
    coded = [
        path
        for path, uses in others.items()
        if any(use.startswith("identifier for code") for use in uses)
    ]
    found = (
        (_LACKS, sorted(_NEEDED - schema.uses.get(ADDRESS, frozenset()))),
        (_CODED, [told[path] for path in coded]),
        (_REQUIRED, sorted({f"{ROOT}.{n}" for n in schema.required} & others.keys())),
        (_TOLERATED, [told[path] for path in others if path not in coded]),
        (_UNREAD, sorted({*schema.unread.values()})),
    )
    return [
        replace(fault, what=fault.what.format(", ".join(names)))
        for fault, names in found
        if names
    ]


def registration_schema(
    schemas: Iterable[IdentitySchema], wanted: str | None
) -> IdentitySchema:
    """Choose the schema that registration uses: the wanted one, or the only one.

    Raises:
        KratosIncompatible: There is no such schema, or several and none is named.
    """
    found = {schema.id: schema for schema in schemas}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    raise KratosIncompatible(
        "IDENTITY_SCHEMA_ID must name the identity schema that registration uses; it "
        f"is {wanted or 'not set'}, and Kratos has {', '.join(found) or 'none'}"
    )


class SchemaRules:
    """Applies the identity schema to sign-ups. It reads the schema once a minute.

    ``wanted`` is as for ``registration_schema``; the clock counts monotonic seconds.
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
        self._stale_at = 0.0
        self._found: IdentitySchema | KratosIncompatible
        self._warnings: list[str] = []

    async def permit(self, traits: Mapping[str, Any]) -> None:
        """Check a caller's traits: JSON values by name, without the address.

        Raises:
            TraitsInvalid: With each trait that callers may not set.
            KratosIncompatible: Sign-ups with this schema are not safe.
            KratosUnavailable: The schema cannot be read.
        """
        async with self._lock:
            if self._clock() >= self._stale_at:
                await self._read()
        if isinstance(self._found, KratosIncompatible):
            raise KratosIncompatible(self._found.detail)
        reserved = self._found.reserved(traits)
        if violations := tuple(Violation(path, _RESERVED) for path in reserved):
            raise TraitsInvalid(violations=violations)

    async def _read(self) -> None:
        try:
            schema = registration_schema(await self._public.schemas(), self._wanted)
            self._judge(schema)
        except KratosIncompatible as error:
            self._log.error("kratos_incompatible", why=error.detail)
            self._found, fresh = error, FAULTY_SECONDS
        else:
            self._found, fresh = schema, FRESH_SECONDS
        self._stale_at = self._clock() + fresh

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

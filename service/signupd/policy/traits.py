"""The traits that a caller may give besides the address, by form and by schema."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog

from signupd.errors import KratosIncompatible, TraitsInvalid, Violation
from signupd.kratos.admin import Kratos
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.schema import ADDRESS, ROOT, IdentitySchema
from signupd.policy.identity_schema import registration_schema, schema_faults
from signupd.policy.rules import CONTROL

MAX_DEPTH: Final = 8  # Kratos' forms are flat; a schema nests two or three levels
MAX_BYTES: Final = 8 * 1024  # encoded; they are kept sealed with the sign-up
# A double holds every integer up to here (IEEE 754).
_MAX_EXACT: Final = 2.0**53
# A schema changes with a deployment of Kratos; one request a minute finds out.
FRESH_SECONDS: Final = 60.0
# An operator may be correcting it.
FAULTY_SECONDS: Final = 5.0
_RESERVED: Final = (
    "is an identifier, verification or recovery address, which callers may not set, or "
    "may be one: signupd cannot read this part of the identity schema"
)
# Kratos 1.3 breaks off at a code if one of its traits has no field in the form.
_BREAKS_OFF: Final = re.compile(r"v?1\.")
_FIELDLESS: Final = "hold an array, or a value without one type in the identity schema"


def identity_traits(address: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the address to the other traits of a caller.

    Args:
        address: The canonical address.
        given: JSON values by name. Whole numbers become integers, since a protobuf
            Struct knows doubles only and Kratos refuses ``30.0`` where its schema says
            integer.

    Returns:
        The traits for Kratos, the same at every step, because it compares them.

    Raises:
        TraitsInvalid: The address is among them, one is nested too deeply, or a name or
            a string in them has a control character: PostgreSQL stores no NUL.
    """
    if faults := tuple(_faults(given)):
        raise TraitsInvalid(violations=faults)
    return {ADDRESS_TRAIT: address, **{n: _plain(v) for n, v in given.items()}}


def _faults(given: Mapping[str, Any]) -> Iterator[Violation]:
    for name, value in sorted(given.items()):
        if name == ADDRESS_TRAIT:
            yield Violation(f"traits.{name}", "is set by the field email")
        elif CONTROL.search(name):
            yield Violation("traits", "has a name with a control character")
        elif fault := _fault(value, MAX_DEPTH):
            yield Violation(f"traits.{name}", fault)


def _fault(value: Any, levels: int) -> str:
    """Return what is wrong with a value that may have so many levels, or ""."""
    if levels == 0:
        return f"is nested more than {MAX_DEPTH} levels deep"
    match value:
        case str():
            return "has a control character" if CONTROL.search(value) else ""
        case dict():
            inner = [*value, *value.values()]
        case list():
            inner = value
        case _:
            return ""
    return next(filter(None, (_fault(one, levels - 1) for one in inner)), "")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def demand_settable(schema: IdentitySchema, traits: Mapping[str, Any]) -> None:
    """Raise TraitsInvalid with what callers may not set of their traits.

    Those are identifiers, addresses, and what is unread. The traits come without the
    address. A name may contain dots and brackets, so this names too much rather than
    too little.
    """
    known = [re.escape(path) for path in schema.uses if path != ADDRESS]
    unread = [rf"{re.escape(path)}([.\[].*)?" for path in schema.unread]
    text = "|".join(known + unread).replace(r"\*", ".*")
    pattern = re.compile(text, re.DOTALL)
    reserved = [path for path in _paths(traits, ROOT) if pattern.fullmatch(path)]
    if reserved:
        raise TraitsInvalid(violations=tuple(Violation(p, _RESERVED) for p in reserved))


def _paths(value: Any, path: str) -> Iterator[str]:
    """List the path of everything within a value, as schemas name it."""
    if isinstance(value, dict):
        inside = [(f"{path}.{name}", inner) for name, inner in value.items()]
    else:
        items = value if isinstance(value, list) else ()
        inside = [(f"{path}[]", inner) for inner in items]
    for inner_path, inner in inside:
        yield inner_path
        yield from _paths(inner, inner_path)


def _leaves(value: Any, path: str) -> Iterator[str]:
    """List the path of each scalar, as Kratos names the fields of its form."""
    if not isinstance(value, dict | list):
        yield path
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, path + "." + str(name).replace(".", r"\."))


class SchemaRules:
    """Applies the identity schema to sign-ups. It reads the schema once a minute.

    ``wanted`` is as for ``registration_schema``; the clock counts monotonic seconds.
    """

    def __init__(
        self,
        kratos: Kratos,
        wanted: str | None,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kratos = kratos
        self._wanted = wanted
        self._log = log
        self._clock = clock
        self._lock = asyncio.Lock()
        self._stale_at = 0.0
        self._found: IdentitySchema | KratosIncompatible
        self._fields: frozenset[str] = frozenset()
        self._warnings: list[str] = []

    async def permit(self, traits: Mapping[str, Any]) -> None:
        """Check a caller's traits: JSON values by name, without the address.

        Raises:
            TraitsInvalid: With each that callers may not set, or Kratos breaks off at.
            KratosIncompatible: Sign-ups with this schema are not safe.
            KratosUnavailable: The schema cannot be read.
        """
        async with self._lock:
            if self._clock() >= self._stale_at:
                await self._read()
        if isinstance(self._found, KratosIncompatible):
            raise KratosIncompatible(self._found.detail)
        demand_settable(self._found, traits)
        fieldless = set(_leaves(traits, ROOT)) - self._fields
        if fieldless and _BREAKS_OFF.match(await self._kratos.admin.version()):
            # Their names may be anything.
            raise TraitsInvalid(violations=(Violation("traits", _FIELDLESS),))

    async def _read(self) -> None:
        try:
            schemas = await self._kratos.public.schemas()
            schema = registration_schema(schemas, self._wanted)
            self._judge(schema)
            self._fields = await self._kratos.public.fields()
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

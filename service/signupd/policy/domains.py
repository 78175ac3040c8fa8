"""BLOCKED_EMAIL_DOMAINS_FILE: the domains whose addresses may not sign up."""

import asyncio
import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from signupd.address import Address, parse_address
from signupd.errors import EmailInvalid, Violation
from signupd.textfile import FileUnusableError, Stamp, read_file, stamp_of

# Public lists have up to 200,000 lines, which are 4 MB.
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Domains that are in canonical form once they are lower-case. Others take 80 us each,
# which would be 16 s for a whole list.
_PLAIN: Final = re.compile(rf"(?!.*xn--)(?:{_LABEL}\.)*[a-z]{{1,63}}")


@dataclass(frozen=True, slots=True)
class DomainList:
    """What a file listed when its stamp was taken."""

    file: Path
    stamp: Stamp
    domains: frozenset[str] = field(repr=False)  # in the form that addresses have


def read_domains(file: Path) -> DomainList:
    """Read a domain a line; a comment begins with ``#``.

    Raises:
        ValueError: The file is missing, unreadable or too large, or a line is not a
            domain. The message names the file and the line.
    """
    stamp = stamp_of(file)  # what is written from now on is found the next time
    try:
        content = read_file(file, MAX_FILE_BYTES, regular=True)
    except FileUnusableError as error:
        raise ValueError(error.of(file)) from None
    domains: set[str] = set()
    content = content.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(io.BytesIO(content), 1):
        try:
            domains.update(_domain(line.decode()))
        except (EmailInvalid, UnicodeDecodeError):
            raise ValueError(f"{file}, line {number} is not a domain") from None
    return DomainList(file, stamp, frozenset(domains))


def _domain(line: str) -> Iterator[str]:
    """Give the domain of a line, if it has one, as ``parse_address`` writes it."""
    written = line.partition("#")[0].strip()
    text = written.removesuffix(".")
    lower = text.lower()
    if _PLAIN.fullmatch(lower):
        yield lower
    elif written:
        # One label alone is a domain here, but not that of an address.
        yield parse_address(f"a@b.{text}").text.removeprefix("a@b.")


class BlockedDomains:
    """Refuses addresses at the listed domains and below them.

    A look at the file, at each call, finds what has changed; the next answers go by
    that. If a changed file cannot be used, that is logged once, and the list before
    stays in use.
    """

    def __init__(
        self, listed: DomainList, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._listed = listed
        self._log = log
        self._seen = listed.stamp
        self._lock = asyncio.Lock()

    async def permit(self, address: Address) -> None:
        """Raise EmailInvalid if the address' domain, or one above it, is listed."""
        async with self._lock:
            if (stamp := stamp_of(self._listed.file)) != self._seen:
                self._listed = await self._reread(self._listed)
                self._seen = stamp
        labels = address.text.rpartition("@")[2].split(".")
        above = {".".join(labels[n:]) for n in range(len(labels))}
        if above & self._listed.domains:
            fault = Violation("email", "is at a blocked domain", "DOMAIN_BLOCKED")
            raise EmailInvalid(violations=(fault,))

    async def _reread(self, before: DomainList) -> DomainList:
        """Read the file in a thread: 200,000 lines take half a second."""
        try:
            listed = await asyncio.to_thread(read_domains, before.file)
        except ValueError as error:
            self._log.error("blocked_domains_not_reloaded", why=str(error))
            return before
        self._log.info("blocked_domains_reloaded", domains=len(listed.domains))
        return listed

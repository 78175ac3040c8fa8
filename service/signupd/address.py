"""E-mail addresses: which ones are taken, in one canonical form, and how they show."""

from dataclasses import dataclass, field
from typing import Final

import email_validator

from signupd.errors import EmailInvalid, Violation

# Names such as corp.internal or shop.test are real mail domains in some networks. The
# library documents this list as the place to say so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

# Python counts four control characters as white space, Unicode does not.
WHITE_SPACE: Final = "".join(
    char
    for char in map(chr, range(0x3001))
    if char.isspace() and char not in "\x1c\x1d\x1e\x1f"
)
MAX_CHARS: Final = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox's address in canonical form: lower-case ASCII, domain in punycode.

    Kratos compares addresses so, and drops the mark of verification from others.
    """

    text: str = field(repr=False)

    @property
    def masked(self) -> str:
        """The first character and the domain: ``a***@example.com``."""
        local, _, domain = self.text.rpartition("@")
        return f"{local[:1]}***@{domain}"


def parse_address(text: str) -> Address:
    """Read an address as a person pasted it; white space around it is dropped.

    Raises:
        EmailInvalid: RFC 5321 has no such mailbox, or Kratos' schema format ``email``
            would refuse it (quoted or non-ASCII local parts, address literals). Whether
            the domain exists is not asked.
    """
    text = text.strip(WHITE_SPACE)
    try:
        if len(text) > MAX_CHARS:
            raise email_validator.EmailSyntaxError("too long")
        checked = email_validator.validate_email(
            text, check_deliverability=False, allow_smtputf8=False, strict=True
        )
        if checked.ascii_email is None or len(checked.ascii_email) > MAX_CHARS:
            raise email_validator.EmailSyntaxError("too long")
    except email_validator.EmailNotValidError as error:
        raise EmailInvalid(
            violations=(Violation("email", "is not an e-mail address"),)
        ) from error
    return Address(checked.ascii_email.lower())

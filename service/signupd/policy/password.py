"""The password rules checked before Kratos is asked; a refusal costs no attempt."""

import re
from typing import Final

from zxcvbn_rs_py import zxcvbn

from signupd.address import Address
from signupd.errors import PasswordRejected, Violation
from signupd.policy.rules import Rules

# A password of fewer guesses falls to a throttled online attack. NIST SP 800-63B,
# 3.1.1.2, has such passwords refused by a list of common ones, which zxcvbn contains.
MIN_GUESSES: Final = 10**4
# Unicode's category Cc. bcrypt ends at a NUL.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# zxcvbn's cost grows with the square of the length; a common password is short.
_EXAMINED_CHARS: Final = 72

_SENTENCES: Final = {
    "TOO_SHORT": "is too short",
    "TOO_LONG": "is too long",
    "TOO_COMMON": "is too easy to guess",
    "TOO_SIMILAR": "is too similar to the e-mail address",
    "BREACHED": "is known from a data breach",
    "REFUSED": "is not acceptable",
}


def check_password(password: str, address: Address, rules: Rules) -> None:
    """Check a password against the local rules.

    Args:
        password: Exactly as received; it is neither trimmed nor normalised.
        address: Passwords built from it are easy to guess.
        rules: With the bounds of the length.

    Raises:
        PasswordRejected: With one violation per broken rule.
    """
    broken = list(_broken(password, address, rules))
    if broken:
        raise PasswordRejected(violations=violations(broken))


def violations(broken: list[str]) -> tuple[Violation, ...]:
    """Return broken rules as faults of the field ``password``."""
    return tuple(Violation("password", _SENTENCES[rule], rule) for rule in broken)


def _broken(password: str, address: Address, rules: Rules) -> list[str]:
    plain = {
        "REFUSED": _CONTROL.search(password) is not None,
        "TOO_SHORT": len(password) < rules.password_min_length,
        "TOO_LONG": len(password.encode()) > rules.password_max_bytes,
    }
    if any(plain.values()):
        return [rule for rule, broken in plain.items() if broken]
    # Estimated last: every short password is easy to guess, so TOO_SHORT says enough.
    local, _, domain = address.text.partition("@")
    hints = [address.text, local, domain]
    guesses = zxcvbn(password[:_EXAMINED_CHARS], hints).guesses
    return ["TOO_COMMON"] if guesses < MIN_GUESSES else []

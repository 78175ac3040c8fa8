"""The password rules checked before Kratos is asked; a refusal costs no attempt."""

import contextlib
import functools
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from zxcvbn_rs_py import zxcvbn

from signupd.errors import (
    PasswordAttemptsExhausted,
    PasswordRejected,
    SignupBusy,
    Violation,
)
from signupd.policy.rules import CONTROL, Rules

# A password of fewer guesses falls to a throttled online attack. NIST SP 800-63B,
# 3.1.1.2, has such passwords refused by a list of common ones, which zxcvbn contains.
MIN_GUESSES: Final = 10**4
# A person does not need so many; each costs a few milliseconds.
MAX_REFUSALS: Final = 100
# A check costs as much; a front end may call one for each key pressed.
MAX_CHECKS: Final = 1000
# Sign-ups whose refusals are remembered, some 200 bytes each.
MAX_SIGNUPS: Final = 10_000
# zxcvbn holds the event loop, and in a thread the GIL. Its cost grows with the square
# of the length, and doubles with each symbol that it may read as a letter. So of a
# password with many of them less is looked at. A common password is short.
_EXAMINED_CHARS: Final = 32
_EXAMINED_SYMBOLS: Final = 12
_SYMBOLS: Final = frozenset("4@8({[<369#1!|70$5+%2")
_MANY_SYMBOLS: Final = 5

_SENTENCES: Final = {
    "TOO_SHORT": "is too short",
    "TOO_LONG": "is too long",
    "TOO_COMMON": "is too easy to guess",
    "TOO_SIMILAR": "is too similar to the e-mail address",
    "BREACHED": "is known from a data breach",
    "REFUSED": "is not acceptable",
}


@dataclass(slots=True)
class _Tries:
    """The passwords of one sign-up at this process."""

    refusals: int = 0
    checks: int = 0
    at_work: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the local rules say of a password."""

    broken: tuple[Violation, ...]  # one for each broken rule
    strength: int  # zxcvbn's score, 0 to 4


class PasswordGate:
    """Admits passwords by the local rules, one at a time and so many for a sign-up.

    What it counts is kept in memory: a restart gives a sign-up its refusals and checks
    back.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tries = functools.lru_cache(MAX_SIGNUPS)(lambda _: _Tries())

    @contextlib.contextmanager
    def admit(
        self, signup_id: uuid.UUID, password: str, address: str
    ) -> Iterator[None]:
        """Check a password; inside no other one of this sign-up is admitted.

        Args:
            signup_id: Whose refusals count.
            password: Exactly as received; it is neither trimmed nor normalised.
            address: In canonical form. Passwords built from it are easy to guess.

        Raises:
            PasswordRejected: With one violation per broken rule.
            PasswordAttemptsExhausted: This sign-up has had too many refusals.
            SignupBusy: Another password of it is at work.
        """
        tries = self._tries(signup_id)
        if tries.at_work:
            raise SignupBusy("another password is at work")
        if tries.refusals >= MAX_REFUSALS:
            raise PasswordAttemptsExhausted
        tries.at_work = True
        try:
            if broken := self._judge(password, address).broken:
                tries.refusals += 1
                raise PasswordRejected(violations=broken)
            yield
        finally:
            tries.at_work = False

    def check(self, signup_id: uuid.UUID, password: str, address: str) -> Judgement:
        """Judge a password as ``admit`` does, and count only the check.

        Raises:
            PasswordAttemptsExhausted: This sign-up has had too many checks.
        """
        tries = self._tries(signup_id)
        if tries.checks >= MAX_CHECKS:
            raise PasswordAttemptsExhausted
        tries.checks += 1
        return self._judge(password, address)

    def _judge(self, password: str, address: str) -> Judgement:
        guesses, strength = _estimate(password, address)
        broken = self._broken(password) or ["TOO_COMMON"] * (guesses < MIN_GUESSES)
        return Judgement(violations(broken), strength)

    def _broken(self, password: str) -> list[str]:
        # A short password is easy to guess too; TOO_SHORT says enough.
        form = {
            "REFUSED": CONTROL.search(password) is not None,
            "TOO_SHORT": len(password) < self._rules.password_min_length,
            "TOO_LONG": len(password.encode()) > self._rules.password_max_bytes,
        }
        return [rule for rule, broken in form.items() if broken]


def _estimate(password: str, address: str) -> tuple[float, int]:
    """Return the guesses that the beginning of a password takes, and their score."""
    many = len(_SYMBOLS.intersection(password[:_EXAMINED_CHARS])) >= _MANY_SYMBOLS
    length = _EXAMINED_SYMBOLS if many else _EXAMINED_CHARS
    local, _, domain = address.partition("@")
    hints = [hint[:length] for hint in (address, local, domain)]
    found = zxcvbn(password[:length], hints)
    return found.guesses, int(found.score)


def violations(broken: Iterable[str]) -> tuple[Violation, ...]:
    """Return broken rules as faults of the field ``password``."""
    return tuple(Violation("password", _SENTENCES[rule], rule) for rule in broken)

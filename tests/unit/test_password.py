"""The password rules that need no Kratos."""

import time
import uuid
from dataclasses import replace

import pytest
from signupd.errors import PasswordAttemptsExhausted, PasswordRejected
from signupd.policy.password import MAX_REFUSALS, MAX_SIGNUPS, PasswordGate, violations
from signupd.policy.rules import Rules

from tests.unit.samples import RULES

ADDRESS = "margarethe@grossmueller.example"
GOOD = "x7$kQ9vL"
SNOWY = "\u2603x7$kQ9v"  # a snowman: 3 bytes

TAKEN = [
    GOOD,
    "correct horse battery",
    " leading and trailing ",
    "日本語のパスワード",
    SNOWY,
    "x7$kQ9v\U0001f600",  # eight code points, the last of four bytes
    GOOD * 9,  # 72 bytes
    SNOWY * 7 + "ab",  # 72 bytes
    "soft\u00adhyphen 7$",
    "zero\u200bwidth 7$",
]

REFUSED = [
    ("", "TOO_SHORT"),
    (GOOD[:-1], "TOO_SHORT"),
    ("\U0001f600" * 7, "TOO_SHORT"),  # 28 bytes, seven code points
    (GOOD * 9 + "x", "TOO_LONG"),  # 73 bytes
    (SNOWY * 7 + "abc", "TOO_LONG"),  # 73 bytes, 59 code points
    ("x7$kQ9v\u00e4" * 8 + "\u00e4", "TOO_LONG"),  # 74 bytes, 65 code points
    ("x7$kQ9vL" * 128, "TOO_LONG"),
    ("password", "TOO_COMMON"),
    ("Password1", "TOO_COMMON"),
    ("12345678", "TOO_COMMON"),
    ("qwertyuiop", "TOO_COMMON"),
    ("aaaaaaaaaaaa", "TOO_COMMON"),
    ("a" * 72, "TOO_COMMON"),
    ("a" * 32 + GOOD * 5, "TOO_COMMON"),  # the first 32 characters decide
    ("1" * 12 + "4@8({[<369#1!|70$5+%2", "TOO_COMMON"),  # or 12, of many symbols
    ("1234567890", "TOO_COMMON"),
    ("p@ssw0rd", "TOO_COMMON"),
    ("margarethe", "TOO_COMMON"),
    ("Margarethe", "TOO_COMMON"),
    ("ehteragram", "TOO_COMMON"),
    ("grossmueller.example", "TOO_COMMON"),
    ("margarethe@grossmueller.example", "TOO_COMMON"),
]


def broken(
    password: str,
    address: str = ADDRESS,
    rules: Rules = RULES,
    *,
    gate: PasswordGate | None = None,
    signup_id: uuid.UUID | None = None,
) -> list[str]:
    """Name the rules that a password breaks."""
    gate = gate or PasswordGate(rules)
    try:
        with gate.admit(signup_id or uuid.uuid4(), password, address):
            return []
    except PasswordRejected as refusal:
        return [violation.reason for violation in refusal.violations]


@pytest.mark.parametrize("password", TAKEN)
def test_taken(password: str) -> None:
    """A password of enough code points and few enough bytes passes, in any script."""
    assert [] == broken(password)


@pytest.mark.parametrize(("password", "rule"), REFUSED)
def test_refused(password: str, rule: str) -> None:
    """A password that breaks a rule is refused by the rule's name."""
    assert [rule] == broken(password)


def test_address_is_what_makes_its_name_common() -> None:
    """What is built from one person's address may be good for another."""
    assert ["TOO_COMMON"] == broken("grossmueller.example")
    assert [] == broken("grossmueller.example", "anna@example.com")


def test_costly_password() -> None:
    """What has zxcvbn try all its substitutions takes milliseconds, not seconds."""
    begun = time.process_time()
    broken(("4@8({[<369#1!|70$5+%2" * 4)[:72])

    assert time.process_time() - begun < 0.2


def test_long_address() -> None:
    """A name of 64 characters, the longest there is, is known by its beginning."""
    local = "kzqhwvtxjp" * 6 + "brfg"

    assert ["TOO_COMMON"] == broken(local, f"{local}@example.com")


@pytest.mark.parametrize("char", [*map(chr, range(32)), *map(chr, range(127, 160))])
def test_no_control_character_passes(char: str) -> None:
    """Control characters are refused wherever they stand."""
    assert ["REFUSED"] == broken(GOOD[:4] + char + GOOD[4:])


def test_bounds_are_the_rules_own() -> None:
    """An operator's bounds are the ones that count."""
    strict = replace(RULES, password_min_length=20, password_max_bytes=24)

    assert [] == broken("correct horse batter", rules=strict)
    assert [] == broken("correct horse battery 7$", rules=strict)
    assert ["TOO_SHORT"] == broken("correct horse batte", rules=strict)
    assert ["TOO_LONG"] == broken("correct horse battery 7$x", rules=strict)


def test_refusals_of_the_newest_are_remembered() -> None:
    """A sign-up has its refusals back after as many others as are remembered."""
    gate, signup_id = PasswordGate(RULES), uuid.uuid4()
    for _ in range(MAX_REFUSALS):
        broken("", gate=gate, signup_id=signup_id)
    for others in (MAX_SIGNUPS - 1, MAX_SIGNUPS):
        with pytest.raises(PasswordAttemptsExhausted):
            broken(GOOD, gate=gate, signup_id=signup_id)
        for _ in range(others):
            broken("", gate=gate)

    assert [] == broken(GOOD, gate=gate, signup_id=signup_id)


def test_every_rule_has_a_sentence() -> None:
    """Each reason of the contract is a fault of ``password`` with a description."""
    rules = ["TOO_SHORT", "TOO_LONG", "TOO_COMMON", "TOO_SIMILAR", "BREACHED"]
    faults = violations([*rules, "REFUSED"])

    assert [*rules, "REFUSED"] == [fault.reason for fault in faults]
    assert {"password"} == {fault.field for fault in faults}
    assert all(fault.description.startswith("is ") for fault in faults)

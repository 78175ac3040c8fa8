"""A short soak keeps all promises, and each promise that is broken is noticed."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from devstack.binary import kratos_binary
from tests.documented import ROOT
from tests.e2e.stack import new_address
from tests.soak.__main__ import Plan, report, soak
from tests.soak.promises import (
    Faults,
    Soaked,
    check_accounts,
    check_acknowledged,
    check_answers,
    check_finals,
    check_free,
    check_limits,
    check_memory,
    check_no_others,
    check_sessions,
)

SHORT = Plan(seconds=8.0, people=12, calm=(1.0, 4.0), hurried=True)
# Every person is waited for, on a machine that does other things too.
pytestmark = pytest.mark.timeout(300, func_only=True)


@pytest.fixture(scope="module")
def soaked() -> Iterator[Soaked]:
    """Have a short one."""
    kratos_binary()
    with soak(secrets.token_hex(4), SHORT) as over:
        yield over


def test_short(soaked: Soaked) -> None:
    """People signed up, servers were killed, and no documented promise is broken."""
    tables, kept = report(soaked, "short")
    promises, looked_at, broken = zip(*tables[1].rows, strict=True)
    documented = (ROOT / "docs" / "reliability.md").read_text()

    assert kept, tables[1].markdown()
    assert [] == [one for one in promises if f"| {one} |" not in documented]
    assert {"0"} == {*broken}
    assert "0" not in looked_at
    assert soaked.site.ended


def stranger(soaked: Soaked) -> None:
    """Make an account past the service, as an operator would."""
    soaked.site.admin.import_accounts([new_address()])


def held(soaked: Soaked) -> None:
    """Let a sign-up that was not finished hold its address."""
    one = soaked.person("completed", new_address())
    soaked.site.admin.import_accounts([one.address])
    soaked.people.append(one)


def surprised(soaked: Soaked) -> None:
    """Let somebody expect another answer to the right code."""
    soaked.person("address taken", new_address()).live()


def removed(soaked: Soaked) -> None:
    """Delete a completed sign-up's account."""
    soaked.site.admin.remove(soaked.completed[0].identity_id)


def forgotten(soaked: Soaked) -> None:
    """Let somebody have set another password than Kratos has."""
    soaked.completed[1].password += "x"


def signed_in(soaked: Soaked) -> None:
    """Leave a session."""
    one = soaked.completed[2]
    soaked.site.visitor.login(one.address, one.password)


def undone(soaked: Soaked) -> None:
    """Write down a completed sign-up as expired."""
    change(soaked, "state = 'expired', identity_id = NULL")


def leased(soaked: Soaked) -> None:
    """Reserve a sign-up for work that nobody does."""
    change(soaked, "lease = 'setting', lease_until = 9000000000000000")


def mailed(soaked: Soaked) -> None:
    """Let a sign-up have had too many mails."""
    change(soaked, "sends = 6")


def fattened(soaked: Soaked) -> None:
    """Let a replica hold a gigabyte."""
    soaked.site.memory[0].append(1024)


def change(soaked: Soaked, values: str) -> None:
    """Change a row of the ledger."""
    soaked.site.books.change(soaked.completed[3].signup_id, values)


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (stranger, check_no_others),
        (held, check_free),
        (surprised, check_answers),
        (removed, check_accounts),
        (forgotten, check_accounts),
        (signed_in, check_sessions),
        (undone, check_acknowledged),
        (leased, check_finals),
        (mailed, check_limits),
        (fattened, check_memory),
    ],
)
def test_harm(
    soaked: Soaked, harm: Callable[[Soaked], None], check: Callable[[Soaked], Faults]
) -> None:
    """Each promise is seen to be broken, so the soak fails."""
    before = check(soaked)[1]
    harm(soaked)

    assert len(before) < len(check(soaked)[1])


def test_red(soaked: Soaked) -> None:
    """A broken promise is shown, and the run fails."""
    stranger(soaked)
    tables, kept = report(soaked, "red")
    counts = {name: broken for name, _, broken in tables[1].rows}

    assert not kept
    assert "0" != counts["Kratos has no account but those of completed sign-ups"]

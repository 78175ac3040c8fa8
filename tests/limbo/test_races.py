"""Calls at the same moment: one outcome, and the truth for everybody.

Two servers on one PostgreSQL, which Kratos' hooks reach in turn.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests.limbo.books import FINAL
from tests.limbo.caller import Caller, Outcome, Request
from tests.limbo.conftest import GetStage
from tests.limbo.stage import (
    OTHER_PASSWORD,
    PASSWORD,
    POSTGRESQL,
    Scene,
    cancel_request,
    get_request,
    password_request,
)
from tests.limbo.warm import WarmSignupd

ROUNDS = 16
# So many where an outcome has not been seen yet; a busy machine shifts the moments.
MOST_ROUNDS = 10 * ROUNDS
# Rounds that run at the same time; more would only wait for the processor.
ABREAST = 4
MICROSECONDS = 1_000_000
# About as long as a SetPassword takes here.
SPREAD_SECONDS = 0.12
SWEEP_INTERVAL = "20ms"


@dataclass(slots=True, kw_only=True)
class Pair(Scene):
    """A scene with two servers.

    Attributes:
        other: The caller of the second one.
    """

    other: Caller

    def both(self, first: Request, second: Request, gap: float = 0.0) -> list[Outcome]:
        """Make a call to each server, and repeat if told.

        Args:
            first: For the first server.
            second: For the other one.
            gap: How much later the second is made, in seconds; below 0 the first.
        """

        def after(seconds: float, caller: Caller, request: Request) -> Outcome:
            time.sleep(max(seconds, 0))  # the moment is what is tried out here
            return caller.persist(request)

        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(after, -gap, self.caller, first)
            other = pool.submit(after, gap, self.other, second)
            return [one.result(), other.result()]

    def truth(self, address: str) -> list[str]:
        """Name the passwords that open the account; more accounts are a fault."""
        assert self.world.accounts(address) <= 1
        passwords = (PASSWORD, OTHER_PASSWORD)
        return [one for one in passwords if self.world.opens(address, one)]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Sweep all the time: the sweeper is in the race too."""
    return {"SWEEP_INTERVAL": SWEEP_INTERVAL}


@pytest.fixture(scope="module")
def pair(
    get_stage: GetStage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Start a second server on the ledger of the first."""
    stage = get_stage(POSTGRESQL)
    second = WarmSignupd(
        stage.proxy.public_url,
        stage.proxy.admin_url,
        directory=tmp_path_factory.mktemp("second"),
        settings=stage.settings,
    )
    with second, Caller(second.target) as other:
        second.wait_for_proof()
        stage.proxy.hook_ports = (stage.server.hook_port, second.hook_port)
        yield Pair(
            world=stage.world,
            books=stage.books,
            caller=stage.caller,
            secrets=stage.secrets,
            other=other,
        )


def many(play: Callable[[int], list[str]]) -> list[list[str]]:
    """Play many rounds, a few at a time."""
    with ThreadPoolExecutor(ABREAST) as pool:
        return list(pool.map(play, range(ROUNDS)))


def all_kinds(
    play: Callable[[int], list[str]], kinds: list[list[str]]
) -> list[list[str]]:
    """Play many rounds, and more, until each kind of outcome has been seen."""
    seen = many(play)
    while len(seen) < MOST_ROUNDS and any(kind not in seen for kind in kinds):
        seen.append(play(len(seen)))
    return [list(kind) for kind in sorted({tuple(one) for one in seen})]


def gaps(number: int) -> float:
    """Spread the rounds over the time that a call takes, and a bit of chance.

    Rounds beyond the usual number wait longer.
    """
    spread = SPREAD_SECONDS * number / ROUNDS
    return spread + random.random() * SPREAD_SECONDS / ROUNDS  # noqa: S311


def test_two_passwords(pair: Pair) -> None:
    """Two passwords at once: one is set; its caller and the other's know which."""

    def play(number: int) -> list[str]:
        address = pair.new_address()
        proved = pair.proved(address)
        outcomes = pair.both(
            password_request(proved, PASSWORD),
            password_request(proved, OTHER_PASSWORD),
            gap=gaps(number) if number % 2 else 0.0,
        )
        won = [o.what == "COMPLETED" for o in outcomes]

        assert pair.truth(address) == [
            password
            for password, right in zip((PASSWORD, OTHER_PASSWORD), won, strict=True)
            if right
        ]
        assert "completed" == pair.books.state(proved.shown.signup_id)
        return sorted(one.what for one in outcomes)

    assert [["COMPLETED", "PASSWORD_ALREADY_SET"]] * ROUNDS == many(play)


def test_two_sign_ups(pair: Pair) -> None:
    """Two proofs of one mailbox: the first password has the account, with no mix."""

    def play(_: int) -> list[str]:
        address = pair.new_address()
        proofs = [pair.proved(address) for _ in range(2)]
        outcomes = pair.both(
            password_request(proofs[0], PASSWORD),
            password_request(proofs[1], OTHER_PASSWORD),
        )
        first = outcomes[0].what == "COMPLETED"

        assert [PASSWORD if first else OTHER_PASSWORD] == pair.truth(address)
        states = [pair.books.state(one.shown.signup_id) for one in proofs]

        assert ["already_registered", "completed"] == sorted(states)
        return sorted(one.what for one in outcomes)

    assert [["ALREADY_REGISTERED", "COMPLETED"]] * ROUNDS == many(play)


def test_cancel(pair: Pair) -> None:
    """A cancel during SetPassword: either all of it happens, or nothing."""

    def play(number: int) -> list[str]:
        address = pair.new_address()
        proved = pair.proved(address)
        # The cancel, quicker than the password, also goes ahead of it now and then.
        gap = gaps(number) if number % 4 else -gaps(number)
        done, cancelled = pair.both(
            password_request(proved), cancel_request(proved), gap=gap
        )
        completed = done.what == "COMPLETED"

        assert ([PASSWORD] if completed else []) == pair.truth(address)
        state = "completed" if completed else "cancelled"

        assert state == pair.books.state(proved.shown.signup_id)
        return [done.what, cancelled.what]

    fair = [["COMPLETED", "STEP_MISMATCH"], ["SIGNUP_CANCELLED", "CANCELLED"]]

    assert fair == all_kinds(play, fair)


def test_expiry(pair: Pair) -> None:
    """A password at the very moment of expiry: an account in time, or none ever."""

    def play(number: int) -> list[str]:
        address = pair.new_address()
        proved = pair.proved(address)
        signup_id = proved.shown.signup_id
        moment = int((time.time() + gaps(number)) * MICROSECONDS)
        pair.books.change(signup_id, f"expire_time = {moment}")
        outcome = pair.caller.persist(password_request(proved))
        later = pair.other.persist(get_request(proved))
        again = pair.other.persist(password_request(proved))
        completed = outcome.what == "COMPLETED"

        assert ([PASSWORD] if completed else []) == pair.truth(address)
        assert outcome.what == again.what
        assert later.what == ("COMPLETED" if completed else "EXPIRED")
        assert (pair.books.state(signup_id) == "completed") == completed
        return [outcome.what]

    fair = [["COMPLETED"], ["SIGNUP_EXPIRED"]]

    assert fair == all_kinds(play, fair)


def test_everything_at_once(pair: Pair) -> None:
    """Passwords, a cancel, expiry and readers at once end in one truth."""

    def play(number: int) -> list[str]:
        address = pair.new_address()
        proved = pair.proved(address)
        signup_id = proved.shown.signup_id
        moment = int((time.time() + 0.3) * MICROSECONDS)
        pair.books.change(signup_id, f"expire_time = {moment}")
        asks = [
            partial(pair.caller.persist, password_request(proved, PASSWORD)),
            partial(pair.other.persist, password_request(proved, OTHER_PASSWORD)),
            partial(pair.other.persist, get_request(proved)),
        ]
        if number % 2:
            asks.append(partial(pair.caller.persist, cancel_request(proved)))
        random.shuffle(asks)
        with ThreadPoolExecutor(len(asks)) as pool:
            list(pool.map(lambda ask: ask(), asks))
        told = [
            pair.caller.persist(password_request(proved, one)).what
            for one in (PASSWORD, OTHER_PASSWORD)
        ]
        opens = [pair.world.opens(address, one) for one in (PASSWORD, OTHER_PASSWORD)]

        assert opens == [one == "COMPLETED" for one in told]
        assert pair.books.state(signup_id) in FINAL
        return told

    many(play)

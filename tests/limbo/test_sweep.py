"""The sweeper: what time has done is written down, what the dead left is settled."""

import os
import subprocess
import sys

import pytest

from devstack.config import INHERITED
from devstack.waiting import wait_until
from tests.doubles.proxy import ADMIN, PUBLIC
from tests.limbo.caller import UNAVAILABLE, Outcome
from tests.limbo.stage import (
    OTHER_PASSWORD,
    PASSWORD,
    Stage,
    cancel_request,
    get_request,
    password_request,
    start_request,
    verify_request,
)

COMMAND_SECONDS = 120.0
HOUR = 3600 * 1_000_000


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Sweep every second."""
    return {"SWEEP_INTERVAL": "1s"}


def sweep(stage: Stage, **settings: str) -> str:
    """Run `signupd sweep` as an operator would, and give what it prints."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    named = {
        "KRATOS_PUBLIC_URL": stage.proxy.public_url,
        "KRATOS_ADMIN_URL": stage.proxy.admin_url,
        **stage.settings,
        **settings,
    }
    done = subprocess.run(
        (sys.executable, "-m", "signupd", "sweep"),
        cwd=stage.server.directory,
        env=inherited | {f"SIGNUPD_{name}": value for name, value in named.items()},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=True,
    )
    return done.stdout.strip()


def signup_id(outcome: Outcome) -> str:
    """Name the sign-up of an answer."""
    return outcome.shown.signup_id


def struck(stage: Stage) -> tuple[str, Outcome, Outcome]:
    """Have the server die with an account made, and a code proved, unwritten.

    Returns:
        The address and the proof of the one, the start of the other.
    """
    address, other = stage.new_address(), stage.new_address()
    proved, started = stage.proved(address), stage.started(other)
    code = stage.code(other)
    steps = [stage.proxy.hold_answer(call) for call in ("password", "code")]
    requests = (password_request(proved), verify_request(started, code))
    # A call that nobody keeps is a call that is cancelled.
    calls = [stage.caller.begin(one) for one in requests]
    for step in steps:
        step.wait()
    stage.server.kill()

    assert [UNAVAILABLE] * 2 == [one.outcome().what for one in calls]
    for step in steps:
        step.release()
    stage.proxy.wait_idle()
    stage.books.end_leases()
    return address, proved, started


class TestCommand:
    """`signupd sweep` does one round, with no server there."""

    def test_round(self, stage: Stage) -> None:
        """It expires, it settles by what Kratos says, and it says so."""
        late = [stage.started(stage.new_address()), stage.proved(stage.new_address())]
        address, proved, started = struck(stage)
        for one in late:
            stage.books.change(signup_id(one), "expire_time = 1")
        said = [sweep(stage), sweep(stage)]
        states = [stage.books.state(signup_id(one)) for one in (proved, started)]
        stage.server.start()
        shown = [stage.caller.persist(get_request(one)).what for one in late]

        assert "settled 2, not settled 0, expired 2, forgotten 0" == said[0]
        assert "settled 0, not settled 0, expired 0, forgotten 0" == said[1]
        assert ["completed", "password_required"] == states
        assert ["EXPIRED", "EXPIRED"] == shown
        stage.check_completed(address, signup_id(proved), PASSWORD)

    def test_dead_and_late(self, stage: Stage) -> None:
        """A dead lease with nothing in Kratos is settled, and then it is too late."""
        proved = stage.proved(stage.new_address())
        step = stage.proxy.before("password", stage.server.kill, forward=False)
        stage.caller.ask(password_request(proved))
        step.wait_over()
        stage.books.end_leases()
        stage.books.change(signup_id(proved), "expire_time = 1")
        said = sweep(stage)
        stage.server.start()

        assert "settled 1, not settled 0, expired 1, forgotten 0" == said
        assert "EXPIRED" == stage.caller.persist(get_request(proved)).what

    def test_unfinished_starts(self, stage: Stage) -> None:
        """Starts that only their callers can carry on stand in nobody's way."""
        for _ in range(5):
            for call in ("send", "flow_state", "flow_state"):
                stage.proxy.cut(call)
            lost = stage.caller.ask(start_request(stage.new_address()))

            assert "KRATOS_UNAVAILABLE" == lost.what
        address, proved, started = struck(stage)
        said = [sweep(stage, SWEEP_BATCH="1") for _ in range(3)]
        states = [stage.books.state(signup_id(one)) for one in (proved, started)]
        stage.server.start()
        one = "settled 1, not settled 0, expired 0, forgotten 0, more is due"

        assert [one, one] == said[:2]
        assert "settled 0, not settled 0, expired 0, forgotten 0" == said[2]
        assert ["completed", "password_required"] == states
        stage.check_completed(address, signup_id(proved), PASSWORD)

    def test_no_kratos(self, stage: Stage) -> None:
        """Without Kratos it settles nothing and loses nothing; the next round does."""
        address, proved, started = struck(stage)
        with stage.proxy.down(PUBLIC), stage.proxy.down(ADMIN):
            without = sweep(stage)
            states = [stage.books.state(signup_id(one)) for one in (proved, started)]
        with_kratos = sweep(stage)
        stage.server.start()

        assert "settled 0, not settled 2, expired 0, forgotten 0" == without
        assert ["password_required", "code_required"] == states
        assert "settled 2, not settled 0, expired 0, forgotten 0" == with_kratos
        stage.check_completed(address, signup_id(proved), PASSWORD)


class TestRunning:
    """A server sweeps by itself."""

    def test_dead_lease(self, stage: Stage) -> None:
        """It finds out what became of a call that nobody repeats."""
        address = stage.new_address()
        started = stage.started(address)
        code = stage.code(address)
        for call in ("code", "look_up", "look_up", "look_up", "look_up"):
            stage.proxy.cut(call)
        lost = stage.caller.ask(verify_request(started, code))
        stage.proxy.clear()
        wait_until(
            lambda: stage.books.state(signup_id(started)) == "password_required",
            "the sweeper",
        )

        assert lost.what == "KRATOS_UNAVAILABLE"

    def test_retention(self, stage: Stage) -> None:
        """It deletes what was final long ago."""
        address = stage.new_address()
        started = stage.started(address)
        cancelled = stage.caller.ask(cancel_request(started))
        stage.books.change(signup_id(started), "state_time = 1")
        wait_until(
            lambda: stage.caller.ask(get_request(started)).what == "TOKEN_INVALID",
            "the sweeper",
        )

        assert "CANCELLED" == cancelled.what

    def test_password_digests(self, stage: Stage) -> None:
        """It forgets the password's digest after a day; then nobody is told."""
        address = stage.new_address()
        proved = stage.proved(address)
        done = stage.caller.ask(password_request(proved))
        of_row = signup_id(done)
        other = stage.caller.ask(password_request(proved, OTHER_PASSWORD))
        stage.books.change(of_row, f"state_time = state_time - {25 * HOUR}")
        wait_until(
            lambda: stage.books.row(of_row, "sealed_passwords")[0] is None,
            "the sweeper",
        )
        later = [
            stage.caller.ask(password_request(proved, one)).what
            for one in (PASSWORD, OTHER_PASSWORD)
        ]

        assert "PASSWORD_ALREADY_SET" == other.what
        assert ["STEP_MISMATCH"] * 2 == later
        assert "COMPLETED" == stage.caller.ask(get_request(proved)).what

"""Replicas behind a balancer come and go under load, and nobody notices.

The balancer looks at `/readyz`, as Kubernetes does, and spreads TCP connections: calls,
and Kratos' hooks.
"""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

import httpx
import pytest
from signup_example.channel import channel_options

from devstack.ports import LOOPBACK
from devstack.server import Signupd
from devstack.waiting import wait_until
from tests.doubles.balancer import Balancer
from tests.limbo.caller import REPEATABLE, Caller, Outcome, Request
from tests.limbo.conftest import GetStage
from tests.limbo.stage import (
    PASSWORD,
    POSTGRESQL,
    Stage,
    new_request_id,
    password_request,
    resend_request,
    start_request,
    verify_request,
)
from tests.limbo.warm import WarmSignupd

# People who sign up at the same time, each through a channel of their own.
ABREAST = 6
# Sign-ups that are to end after each event; not more, or all could be stuck.
SOME = ABREAST
LOOK_SECONDS = 0.1
SETTINGS = {"MAX_CONNECTION_AGE": "2s", "DRAIN_WAIT": "2s"}


# What a caller may see of a kill.
KILLED = {"SIGNUP_BUSY", "CODE_EXPIRED"}


class Entrance:
    """The balancers, and the look-out for replicas that are ready. A context manager.

    Attributes:
        calls: To the replicas' gRPC ports.
        hooks: To their hook ports.
        replicas: May be added to at any time.
    """

    def __init__(self) -> None:
        self.calls, self.hooks = Balancer(), Balancer()
        self.replicas: list[Signupd] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def target(self) -> str:
        """Where callers connect to."""
        return f"{LOOPBACK}:{self.calls.port}"

    def add(self, replica: Signupd) -> None:
        """Look at a replica from now on, and wait until it is ready."""
        self.replicas.append(replica)
        port = call_port(replica)
        wait_until(lambda: port in self.calls.ports, "the replica to be let in")

    def renewed(self) -> list[int]:
        """Wait until each open connection was closed; give the ports of later ones."""
        before = [*self.calls.given]
        wait_until(lambda: all(one.done() for one in before), "new connections")
        return [*self.calls.given.values()][len(before) :]

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            ready = [one for one in self.replicas if is_ready(one)]
            self.calls.ports = [call_port(one) for one in ready]
            self.hooks.ports = [one.hook_port for one in ready]


def is_ready(replica: Signupd) -> bool:
    """Ask a replica."""
    url = replica.metrics_url.replace("/metrics", "/readyz")
    try:
        return httpx.get(url, trust_env=False, timeout=30).is_success
    except httpx.TransportError:
        return False


def call_port(replica: Signupd) -> int:
    """Give the port that a replica serves gRPC on."""
    return int(replica.target.rpartition(":")[2])


def completions(replica: Signupd) -> float:
    """Read how many accounts a replica has made."""
    text = httpx.get(replica.metrics_url, trust_env=False).text
    found = re.search(
        r'^signupd_signups_total{event="completed"} (\S+)', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


@dataclass(slots=True)
class Crowd:
    """People who sign up, one after the other in each of some channels.

    Attributes:
        stage: The world, and the ledger.
        target: Where to connect to.
        done: What ended each sign-up, by its address.
        failed: What callers saw although gRPC had repeated the call.
        stuck: How many wait for a sign-up that another call is at work on.
    """

    stage: Stage
    target: str
    done: dict[str, tuple[Request, Outcome]] = field(default_factory=dict)
    failed: list[Outcome] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def visit(self) -> None:
        """Sign up one person after the other."""
        with Caller(self.target, channel_options()) as caller:
            while not self.over.is_set():
                self._sign_up(caller)

    @contextmanager
    def at_work(self) -> Iterator[list[Future[None]]]:
        """Let people sign up meanwhile; those who have begun go on to the end."""
        with ThreadPoolExecutor(ABREAST) as pool:
            visits = [pool.submit(self.visit) for _ in range(ABREAST)]
            try:
                yield visits
            finally:
                self.over.set()
        for visit in visits:
            visit.result()

    def check(self) -> None:
        """Hold each sign-up against Kratos and the ledger, and repeat its last call."""
        with Caller(self.target, channel_options()) as caller:
            for address, (request, done) in self.done.items():
                assert "COMPLETED" == done.what
                assert done == caller.ask(request)
                self.stage.check_completed(address, done.shown.signup_id, PASSWORD)

        assert [(len(self.done),)] == self.stage.books.run(
            "SELECT count(*) FROM signups"
        )

    def wait_for_more(self) -> None:
        """Wait until some more sign-ups have ended, or are stuck."""
        enough = len(self.done) + SOME
        wait_until(lambda: len(self.done) + len(self.stuck) >= enough, "more sign-ups")

    def _sign_up(self, caller: Caller) -> None:
        address = self.stage.new_address()

        def ask(request: Request) -> Outcome:
            outcome = caller.ask(request)
            if outcome.what not in REPEATABLE:
                return outcome
            self.failed.append(outcome)
            self.stuck.add(address)
            outcome = caller.persist(request)
            self.stuck.remove(address)
            return outcome

        started = ask(start_request(address, new_request_id()))
        proved = ask(verify_request(started, self.stage.code(address)))
        if "CODE_EXPIRED" == proved.what:  # a kill can use up a code; see test_kill.py
            self.failed.append(proved)
            started = ask(resend_request(started, new_request_id()))
            proved = ask(verify_request(started, self.stage.code(address)))
        request = password_request(proved)
        self.done[address] = request, ask(request)


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Renew connections often, and leave the balancer time to notice."""
    return SETTINGS


@pytest.fixture
def stage(get_stage: GetStage) -> Stage:
    """Give the first replica's."""
    return get_stage(POSTGRESQL)


@pytest.fixture
def entrance(stage: Stage) -> Iterator[Entrance]:
    """Put balancers before the first replica."""
    with Entrance() as entrance, entrance.calls, entrance.hooks:
        entrance.add(stage.server)
        stage.proxy.hook_ports = (entrance.hooks.port,)
        yield entrance


@pytest.fixture
def new_replica(
    stage: Stage, entrance: Entrance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Signupd]]:
    """Start a further replica and let it in."""
    with ExitStack() as resources:

        def start() -> Signupd:
            replica = WarmSignupd(
                stage.proxy.public_url,
                stage.proxy.admin_url,
                directory=tmp_path_factory.mktemp("replica"),
                settings=stage.settings,
            )
            resources.enter_context(replica)
            resources.callback(replica.kill)  # need not wait for a balancer
            entrance.add(replica)
            return replica

        yield start


def test_come_and_go(
    stage: Stage, entrance: Entrance, new_replica: Callable[[], Signupd]
) -> None:
    """One joins and gets its share, one is drained, one is killed: nothing is lost.

    Callers retry as the published service config says. Only the kill may show, and
    only as calls to be repeated.
    """
    new_replica()
    crowd = Crowd(stage, entrance.target)
    with crowd.at_work() as visits:
        crowd.wait_for_more()
        third = new_replica()
        later = entrance.renewed()
        crowd.wait_for_more()
        served = completions(third)
        exit_code = stage.server.stop()
        crowd.wait_for_more()
        unnoticed = [*crowd.failed]
        entrance.replicas[1].kill()
        crowd.wait_for_more()
        crowd.over.set()
        wait_until(
            lambda: sum(not one.done() for one in visits) == len(crowd.stuck),
            "everybody but those whose call was killed",
        )
        stage.proxy.wait_idle()
        stage.books.end_leases()

    assert later.count(call_port(third)) >= len(later) // 3 > 0
    assert served > 0
    assert 0 == exit_code
    assert [] == unnoticed
    assert {*KILLED} >= {outcome.what for outcome in crowd.failed}
    crowd.check()

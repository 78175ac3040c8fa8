"""How long calls took and how they ended, as Prometheus reads it."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from signupd.telemetry.metrics import BUCKETS_SECONDS, Metrics

METHOD = "/kratos_signup.v1.SignupService/StartSignup"
RPC = 'method="SignupService/StartSignup",reason="OK"'
CALL = 'call="password",outcome="400"'


class Scene:
    """Metrics by a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = Metrics(lambda: self.now)

    def rpc(self, seconds: float, reason: str = "OK") -> None:
        """Have an RPC take a while."""
        watch = self.metrics.rpc(METHOD, lambda: None)
        self.now += seconds
        watch.end(reason, 0)

    def call(self, seconds: float, outcome: str) -> None:
        """Have a call to Kratos take a while."""
        watch = self.metrics.call("password", "POST")
        self.now += seconds
        watch.end(outcome)

    def lines(self) -> set[str]:
        """Read what a scrape shows."""
        return set(generate_latest(self.metrics.registry).decode().splitlines())


@pytest.fixture
def scene() -> Scene:
    """Set the scene."""
    return Scene()


def test_rpcs(scene: Scene) -> None:
    """RPCs are measured by their service's and their own name, and how they ended."""
    scene.rpc(0.25)
    scene.rpc(3.0)
    scene.rpc(0.25, "TOKEN_INVALID")

    name = "signupd_rpc_duration_seconds"
    expected = {
        f"{name}_count{{{RPC}}} 2.0",
        f"{name}_sum{{{RPC}}} 3.25",
        f'{name}_bucket{{le="0.1",{RPC}}} 0.0',
        f'{name}_bucket{{le="0.25",{RPC}}} 1.0',
        f'{name}_bucket{{le="+Inf",{RPC}}} 2.0',
        f"{name}_count{{{RPC.replace('OK', 'TOKEN_INVALID')}}} 1.0",
    }

    assert set() == expected - scene.lines()


def test_calls(scene: Scene) -> None:
    """Calls to Kratos are measured by what they are for, and how they ended."""
    scene.call(0.25, "400")
    scene.call(10.0, "lost")

    name = "signupd_kratos_call_duration_seconds"
    expected = {
        f"{name}_count{{{CALL}}} 1.0",
        f"{name}_sum{{{CALL}}} 0.25",
        f'{name}_sum{{call="password",outcome="lost"}} 10.0',
    }

    assert set() == expected - scene.lines()


def test_nothing_yet(scene: Scene) -> None:
    """The families are there, with their types, before anything happened."""
    assert {
        "# TYPE signupd_rpc_duration_seconds histogram",
        "# TYPE signupd_kratos_call_duration_seconds histogram",
    } <= scene.lines()


def test_two_at_once(scene: Scene) -> None:
    """Each call has a time of its own."""
    first = scene.metrics.rpc(METHOD, lambda: None)
    scene.now += 1
    second = scene.metrics.rpc(METHOD, lambda: None)
    scene.now += 1
    second.end("OK", 0)
    first.end("OK", 0)

    assert f"signupd_rpc_duration_seconds_sum{{{RPC}}} 3.0" in scene.lines()


def test_no_slower_than_a_caller_waits() -> None:
    """The buckets rise, up to what a caller without a deadline is held to wait."""
    assert sorted(set(BUCKETS_SECONDS)) == list(BUCKETS_SECONDS)
    assert 60.0 == BUCKETS_SECONDS[-1]

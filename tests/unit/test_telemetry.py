"""What operators' machines read: metrics and probes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from signupd.errors import LedgerUnavailable
from signupd.ledger.backlog import Backlog
from signupd.signup.events import Event
from signupd.telemetry.metrics import Metrics
from signupd.telemetry.probes import COUNT_SECONDS, Telemetry

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
LINES = [
    "signupd_ledger_up 1.0",
    'signupd_signups{state="code_required"} 2.0',
    'signupd_signups{state="password_required"} 0.0',
    'signupd_signups_total{event="started"} 2.0',
    'signupd_signups_total{event="verified"} 1.0',
    'signupd_signups_total{event="completed"} 0.0',
    'signupd_signups_total{event="already_registered"} 0.0',
    'signupd_signups_total{event="expired"} 0.0',
    'signupd_signups_total{event="cancelled"} 0.0',
    "signupd_wrong_codes_total 1.0",
]


class AnsweringBacklog(Backlog):
    """A backlog that answers, or not, and counts how often it is counted."""

    def __init__(self) -> None:
        self.away = False
        self.counted = 0

    async def ping(self) -> None:
        """Answer, or not."""
        if self.away:
            raise LedgerUnavailable("away")

    async def under_way(self) -> dict[str, int]:
        """Count two sign-ups."""
        await self.ping()
        self.counted += 1
        return {"code_required": 2}


class Scene:
    """Telemetry of a backlog, by a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.backlog = AnsweringBacklog()
        self.metrics = Metrics(lambda: self.now)
        for event in (Event.STARTED, Event.STARTED, Event.VERIFIED):
            self.metrics.event(event)
        self.metrics.wrong_code()
        self.telemetry = Telemetry(self.backlog, self.metrics, lambda: self.now)
        self.telemetry.ready = True

    async def get(self, path: str) -> tuple[int, str]:
        """Ask for a page, by the routes of the application."""
        request = make_mocked_request("GET", path)
        match = await self.telemetry.app().router.resolve(request)
        answer = await match.handler(request)
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        return answer.status, answer.body.decode()


@pytest.fixture
def scene() -> Scene:
    """Set the scene."""
    return Scene()


async def test_metrics(scene: Scene) -> None:
    """All counts come in Prometheus' text format."""
    status, text = await scene.get("/metrics")

    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert 200 == status
    assert LINES == [line for line in lines if "_created" not in line]
    assert "# TYPE signupd_signups_total counter" in text
    assert "# TYPE signupd_signups gauge" in text


async def test_alerts(scene: Scene) -> None:
    """The alerts of deploy/ watch what is counted here, by its names and labels."""
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    watched = {
        one for r in rules for one in re.findall(r"signupd_[\w{}=\"]+", r["expr"])
    }
    _, text = await scene.get("/metrics")

    counted = {line.split()[0] for line in text.splitlines()}
    assert {"signupd_wrong_codes_total"} < watched
    assert watched < counted


async def test_documented(scene: Scene) -> None:
    """The table of docs/operations.md names the metrics, all and no others."""
    page = (ROOT / "docs" / "operations.md").read_text()
    _, text = await scene.get("/metrics")

    told = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    assert sorted(told) == sorted(
        re.findall(r"^\| `(signupd_\w+)` \|", page, re.MULTILINE)
    )


async def test_metrics_are_plain_text(scene: Scene) -> None:
    """The content type is one that Prometheus reads."""
    answer = await scene.telemetry.metrics(make_mocked_request("GET", "/metrics"))

    assert "text/plain" == answer.content_type


async def test_scrapes_share_a_count(scene: Scene) -> None:
    """Scrapes close together cost the ledger one count."""
    await scene.get("/metrics")
    scene.now += COUNT_SECONDS - 0.001
    await scene.get("/metrics")

    assert 1 == scene.backlog.counted
    scene.now += 0.001
    await scene.get("/metrics")
    assert 2 == scene.backlog.counted


async def test_metrics_without_ledger(scene: Scene) -> None:
    """With no ledger there are no counts, and old ones do not stand for new ones.

    The rest is wanted most at such a time.
    """
    scene.metrics.call("find", "GET").end("200")
    scene.backlog.away = True
    await assert_uncounted(scene)

    scene.backlog.away = False
    assert "signupd_ledger_up 1.0" in (await scene.get("/metrics"))[1]

    scene.backlog.away = True
    scene.now += COUNT_SECONDS
    await assert_uncounted(scene)


async def assert_uncounted(scene: Scene) -> None:
    """See that a scrape has all but what only the ledger knows."""
    status, text = await scene.get("/metrics")

    assert 200 == status
    assert "signupd_ledger_up 0.0" in text
    assert "signupd_signups{" not in text
    assert 'signupd_kratos_call_duration_seconds_count{call="find"' in text


async def test_ready(scene: Scene) -> None:
    """A server that serves and reaches its ledger is ready."""
    assert (200, "ready\n") == await scene.get("/readyz")


async def test_not_ready_while_draining(scene: Scene) -> None:
    """A server that does not serve yet, or no more, is not ready."""
    scene.telemetry.ready = False

    assert (503, "not serving\n") == await scene.get("/readyz")


async def test_not_ready_at_first() -> None:
    """Nobody is sent to a server before it says that it serves."""
    metrics, backlog = Metrics(lambda: 0.0), AnsweringBacklog()

    assert not Telemetry(backlog, metrics, lambda: 0.0).ready


async def test_not_ready_without_ledger(scene: Scene) -> None:
    """A server that does not reach its ledger is not ready, and comes back."""
    scene.backlog.away = True
    assert (503, "no ledger\n") == await scene.get("/readyz")

    scene.backlog.away = False
    assert (200, "ready\n") == await scene.get("/readyz")


async def test_alive_whatever_is_wrong(scene: Scene) -> None:
    """Being alive needs neither ledger nor readiness: a restart would not help."""
    scene.backlog.away, scene.telemetry.ready = True, False

    assert (200, "alive\n") == await scene.get("/livez")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/kratos/password"])
async def test_nothing_else(scene: Scene, path: str) -> None:
    """The port answers nothing else."""
    with pytest.raises(web.HTTPNotFound):
        await scene.get(path)

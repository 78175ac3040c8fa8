"""What operators' machines read: metrics and probes."""

import asyncio
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from signupd.errors import LedgerUnavailable
from signupd.ledger.ledger import Ledger
from signupd.ports.probes import COUNT_SECONDS, Probes
from signupd.signup.transitions import Event
from signupd.telemetry.observer import Observer

ROOT = Path(__file__).parents[2]
CALLS = "signupd_kratos_call_duration_seconds"


class AnsweringLedger(Ledger):
    """A ledger that answers, or not, and counts how often it is asked."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def under_way(self) -> dict[str, int]:
        """Count two sign-ups, at one of which somebody is at work, or be away.

        Others have their turn first.
        """
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("away")
        return {"code_required": 2, "sending": 1}

    def connections(self) -> dict[str, int]:
        """Count a pool's."""
        return {"in_use": 3}


class Scene:
    """An observer and the metrics port, by a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ledger = AnsweringLedger()
        self.observer = Observer(Event)
        self.proved = False
        self.probes = Probes(
            self.ledger, self.observer.registry, self.clock, lambda: self.proved
        )

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def call(self, seconds: float, outcome: str) -> None:
        """Have had a call to Kratos take a while."""
        self.observer.calls.labels("password", outcome).observe(seconds)

    async def get(self, path: str) -> tuple[int, str]:
        """Request a page, by the routes of the application."""
        request = make_mocked_request("GET", path)
        match = await self.probes.app().router.resolve(request)
        answer = await match.handler(request)
        assert isinstance(answer, web.Response)
        assert "text/plain" == answer.content_type
        assert isinstance(answer.body, bytes)
        return answer.status, answer.body.decode()

    async def scrape(self) -> list[str]:
        """Request the metrics; return the lines."""
        status, text = await self.get("/metrics")
        assert 200 == status
        return text.splitlines()


@pytest.fixture
def scene() -> Scene:
    """Set the scene."""
    return Scene()


async def test_sign_ups(scene: Scene) -> None:
    """Sign-ups are counted by state in the ledger, and by event in this process."""
    for event in (Event.STARTED, Event.STARTED, Event.VERIFIED):
        scene.observer.events.labels(event).inc()
    scene.observer.wrong_codes.inc()
    lines = await scene.scrape()

    assert {
        "signupd_ledger_up 1.0",
        'signupd_signups{state="code_required"} 2.0',
        'signupd_signups{state="password_required"} 0.0',
        'signupd_leases{lease="sending"} 1.0',
        'signupd_leases{lease="setting"} 0.0',
        'signupd_ledger_connections{state="in_use"} 3.0',
        "signupd_password_hook_proved 0.0",
        f'signupd_build_info{{version="{version("signupd")}"}} 1.0',
        'signupd_signups_total{event="started"} 2.0',
        'signupd_signups_total{event="verified"} 1.0',
        'signupd_signups_total{event="completed"} 0.0',
        'signupd_signups_total{event="cancelled"} 0.0',
        'signupd_sweeper_rounds_total{outcome="done"} 0.0',
        "signupd_wrong_codes_total 1.0",
        "signupd_wrong_passwords_total 0.0",
        "signupd_log_lines_dropped_total 0.0",
        'signupd_log_errors_total{event="certificate_not_reloaded"} 0.0',
    } < set(lines)
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert "# TYPE signupd_signups_total counter" in lines
    assert "# TYPE signupd_signups gauge" in lines


async def test_hook_proof(scene: Scene) -> None:
    """Whether the password hook is proved is told as it is at each scrape."""
    for proved in (False, True, False):
        scene.proved = proved

        assert f"signupd_password_hook_proved {proved:.1f}" in await scene.scrape()


async def test_documented(scene: Scene) -> None:
    """The table of docs/operations.md names the metrics, all and no others."""
    page = (ROOT / "docs" / "operations.md").read_text()
    text = "\n".join(await scene.scrape())

    told = re.findall(r"^# TYPE ((?:grpc|signupd)_\w+)", text, re.MULTILINE)
    assert sorted(told) == sorted(
        re.findall(r"^\| `((?:grpc|signupd)_\w+)` \|", page, re.MULTILINE)
    )


@pytest.mark.parametrize("away", [False, True])
async def test_scrapes_share_a_count(scene: Scene, *, away: bool) -> None:
    """Scrapes close together, also at once, cost the ledger one statement."""
    scene.ledger.away = away
    for seconds, expected in ((0, 1), (COUNT_SECONDS - 0.5, 1), (0.5, 2)):
        scene.now += seconds
        await asyncio.gather(scene.scrape(), scene.scrape())
        assert expected == scene.ledger.asked


async def test_metrics_without_ledger(scene: Scene) -> None:
    """Without the ledger there are no counts, not even old ones, but all the rest."""
    scene.call(0.25, "400")
    await scene.scrape()
    for away in (True, False, True):
        scene.ledger.away = away
        scene.now += COUNT_SECONDS
        lines = await scene.scrape()

        assert f"signupd_ledger_up {0.0 if away else 1.0}" in lines
        assert away is not any(line.startswith("signupd_signups{") for line in lines)
        assert f'{CALLS}_count{{call="password",outcome="400"}} 1.0' in lines


@pytest.mark.parametrize(
    ("path", "ready", "away", "expected"),
    [
        ("/readyz", True, False, (200, "ready\n")),
        ("/readyz", True, True, (503, "no ledger\n")),
        ("/readyz", False, False, (503, "not serving\n")),
        # A restart would bring neither back.
        ("/livez", False, True, (200, "alive\n")),
    ],
)
async def test_probes(
    scene: Scene, path: str, *, ready: bool, away: bool, expected: tuple[int, str]
) -> None:
    """Ready is a server that serves and reaches its ledger; alive is a process."""
    assert not scene.probes.ready
    scene.probes.ready, scene.probes.writable = ready, not away

    assert expected == await scene.get(path)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/kratos/password"])
async def test_nothing_else(scene: Scene, path: str) -> None:
    """The port answers nothing else."""
    with pytest.raises(web.HTTPNotFound):
        await scene.get(path)

"""A real Prometheus scrapes a server while people sign up and things go wrong."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from signupd.ledger.migrate import migrate

from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres
from devstack.waiting import wait_until
from tests.deployed import queries, read, rules
from tests.e2e.broken import hook_key
from tests.e2e.caller import refusal
from tests.e2e.marked import Keys
from tests.e2e.prometheus import Prometheus
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack, attached, new_address, wrong_codes

PANELS = queries()
EXPRESSIONS = {**{rule["alert"]: rule["expr"] for rule in rules()}, **PANELS}
# What the fixture makes happen.
FIRING = (
    'alertname="SignupErrorsLogged",event="blocked_domains_not_reloaded"',
    'alertname="SignupHookKeyWrong"',
)
# Prometheus itself adds these.
TARGET = {"instance", "job"}


@dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus has seen of a server, and what the server shows."""

    prometheus: Prometheus
    labels: dict[str, set[str]]


@pytest.fixture(scope="module")
def watched(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Have sign-ups go well and go wrong, with the ledger in PostgreSQL."""
    blocked = tmp_path_factory.mktemp("blocked") / "domains"
    blocked.write_text("trash.example\n")
    keys, (hook_port,) = Keys(), free_ports(1)
    with ExitStack() as resources:
        url = resources.enter_context(Postgres()).create_database("watched")
        asyncio.run(migrate(url))
        kratos = resources.enter_context(site.kratos(hook_port, hook_key(keys.hook)))
        settings = {"LEDGER_URL": url, "BLOCKED_EMAIL_DOMAINS_FILE": str(blocked)}
        server = site.server(kratos, hook_port, settings | keys.settings())
        resources.enter_context(server)
        stack = resources.enter_context(attached(site.mailbox, kratos, server))
        prometheus = resources.enter_context(Prometheus(server.metrics_url))
        stack.wait_for_proof()
        # A rate needs a series to grow: what happened before its first scrape is not
        # seen.
        for times in (1, 2):
            _sign_up(stack, hook_port)
            _wait_for(prometheus, 'signupd_signups_total{event="completed"}', times)
        blocked.write_text("not a domain\n")
        stack.caller.start(new_address())
        kratos.stop()
        for times in (1, 2):
            away = refusal(stack.caller.start, new_address())
            assert "KRATOS_UNAVAILABLE" == away.reason
            reason = 'signupd_rpc_reasons_total{reason="KRATOS_UNAVAILABLE"}'
            _wait_for(prometheus, reason, times)
        yield Watched(prometheus, _labels(server.metrics_url))


def _sign_up(stack: Stack, hook_port: int) -> None:
    """Make an account, after a wrong code; a stranger is at the hook port too."""
    address, caller = new_address(), stack.caller
    token = caller.start(address).continuation_token
    code = stack.code(address)
    refusal(caller.verify, token, *wrong_codes(code, 1))
    verified = caller.verify(token, code)
    caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    stranger = httpx.post(f"http://{LOOPBACK}:{hook_port}/kratos/code", trust_env=False)
    assert 403 == stranger.status_code


def _wait_for(prometheus: Prometheus, series: str, value: int) -> None:
    wait_until(lambda: value in prometheus.query(series), f"{series} {value}")


def _labels(metrics_url: str) -> dict[str, set[str]]:
    """Read the labels of each metric from the server itself."""
    text = httpx.get(metrics_url, trust_env=False).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_names(watched: Watched, name: str) -> None:
    """Each metric and each label of the alerts and the dashboard is in a scrape."""
    reading = read(EXPRESSIONS[name])
    known = [watched.labels[metric] for metric in reading.metrics]

    assert known
    assert reading.grouping <= {*TARGET}.union(*known)
    assert [] == [one for one in reading.labels if one[1] not in watched.labels[one[0]]]


@pytest.mark.parametrize("name", PANELS)
def test_panel(watched: Watched, name: str) -> None:
    """Each query of the dashboard returns figures."""
    values = watched.prometheus.query(PANELS[name])

    assert values
    assert not all(math.isnan(value) for value in values)


def test_rules(watched: Watched) -> None:
    """Prometheus evaluates each alert without an error, and fires those it should."""
    prometheus = watched.prometheus
    for alert in FIRING:
        _wait_for(prometheus, f'ALERTS{{alertstate="firing",{alert}}}', 1)
    found = prometheus.rules()

    assert [rule["alert"] for rule in rules()] == [rule["name"] for rule in found]
    assert {("ok", "")} == {(r["health"], r.get("lastError", "")) for r in found}

"""Alerts and dashboard fit the documents and the code."""

import re
from typing import Any

import pytest
import yaml
from signupd.errors import KratosIncompatible
from signupd.rpc import interceptor
from signupd.rpc.statuses import STATUSES
from signupd.signup.transitions import Event
from signupd.telemetry import observer

from tests.deployed import PROMETHEUS, ROOT, dashboard, queries, read, rules

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
EXPRESSIONS = {**{rule["alert"]: rule["expr"] for rule in rules()}, **queries()}
CASES = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
KINDS = {"stat", "timeseries", "bargauge"}


def documented(metric: str) -> set[str]:
    """Read what the table of docs/operations.md says of a metric, word by word."""
    (row,) = re.findall(rf"^\| `{metric}` \|.*", OPERATIONS, re.MULTILINE)
    return {*re.findall(r"`(\w+)`", row)}


VALUES = {
    "reason": {*STATUSES, observer.OK, observer.CALLER_GONE},
    "event": {*Event},
    "outcome": {*("done", "failed"), *("429", "503", "unreached", "lost")},
    "answer": documented("signupd_hook_requests_total"),
    "state": documented("signupd_ledger_connections"),
    "grpc_method": {"StartSignup"},
}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_alert(rule: dict[str, Any]) -> None:
    """An alert says how grave it is, what is wrong, and where its runbook is."""
    name, notes = rule["alert"], rule["annotations"]

    assert {"severity"} == rule["labels"].keys()
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook_url"} == notes.keys()
    assert f"docs/operations.md#{name.lower()}" == notes["runbook_url"]
    assert len(notes["summary"]) < 90


def test_runbooks() -> None:
    """Each alert has a section, in the same order, and there are no others."""
    section = OPERATIONS.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    names = [rule["alert"] for rule in rules()]

    assert names == re.findall(r"^### (\w+)$", section, re.MULTILINE)


@pytest.mark.parametrize("verb", ["fires", "is silent"])
def test_alerts_are_tried(verb: str) -> None:
    """Each alert has a case in which it fires, and one in which it is silent."""
    tried = set()
    for case in CASES:
        (query,) = case["promql_expr_test"]
        (name,) = re.findall(r'alertname="(\w+)"', query["expr"])
        assert case["name"].startswith(f"{name} ")
        assert ("is silent" in case["name"]) is not bool(query["exp_samples"])
        tried |= {name} if f" {verb} " in case["name"] else set()

    assert {rule["alert"] for rule in rules()} == tried


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_values(name: str) -> None:
    """Each value that an expression looks for is one that the code can set."""
    for _, label, value in read(EXPRESSIONS[name]).matchers:
        for one in value.split("|"):
            fitting = [known for known in VALUES[label] if re.fullmatch(one, known)]

            assert fitting, f"{label}={one}"


def test_error_events() -> None:
    """The events that count from zero are those of the code, and have an advice."""
    code = "".join(
        path.read_text() for path in (ROOT / "service" / "signupd").rglob("*.py")
    )
    logged = re.findall(r'\.(?:error|exception)\(\s*"(\w+)"', code)
    loud = {reason.lower() for reason in interceptor.LOUD}
    table = OPERATIONS.partition("\n### SignupErrorsLogged\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (`.*`) \|", table, re.MULTILINE)

    assert KratosIncompatible.reason in interceptor.LOUD
    assert {*observer.ERRORS} == {*logged, *loud, observer.LIBRARY}
    assert sorted(observer.ERRORS) == sorted(re.findall(r"\w+", " ".join(rows)))


def test_dashboard() -> None:
    """It can be provisioned as it is, and shows any Prometheus that is chosen."""
    made = dashboard()
    panels = made["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    source = {"type": "prometheus", "uid": "${datasource}"}
    shown = [panel for panel in panels if panel["type"] != "row"]
    (variable,) = made["templating"]["list"]

    assert "signupd" == made["uid"]
    assert not made.keys() & {"id", "__inputs", "__requires"}
    assert ("datasource", "datasource", "prometheus") == (
        *(variable["name"], variable["type"], variable["query"]),
    )
    assert [
        *("Traffic", "Errors by reason", "Latency", "Funnel"),
        *("Kratos", "Ledger", "Hooks", "Processes"),
    ] == rows
    assert len(panels) == len({panel["id"] for panel in panels})
    for panel in shown:
        assert panel["type"] in KINDS
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert source == panel["datasource"]
        assert all(source == target["datasource"] for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    """No place of Grafana's grid of 24 columns is taken twice."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        x, y, w, h = (panel["gridPos"][side] for side in "xywh")
        places = {(x + i, y + j) for i in range(w) for j in range(h)}

        assert x + w <= 24
        assert not taken & places
        taken |= places

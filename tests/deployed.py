"""What deploy/ tells Prometheus and Grafana to look at."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"

_SELECTOR = re.compile(r"\b((?:signupd|grpc|process|python)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left)\s*\(([^)]*)\)")
# All else that the expressions here consist of.
_LANGUAGE = {"absent", "and", "count", "histogram_quantile", "increase", "max"}
_LANGUAGE |= {"max_over_time", "rate", "sum", "time"}


def rules() -> list[dict[str, Any]]:
    """Read the alerts, in order."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    read: dict[str, Any] = json.loads((GRAFANA / "signupd.json").read_text())
    return read


def queries() -> dict[str, str]:
    """Read the queries of the panels, by the row, the panel and the query's letter."""
    found, row = {}, ""
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        for target in panel.get("targets", ()):
            name = f"{row}: {panel['title']} {target['refId']}"
            found[name] = target["expr"].replace("$__rate_interval", "1m")
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of an expression: metrics, their matchers, labels that group."""

    metrics: set[str] = field(default_factory=set)
    matchers: list[tuple[str, str, str]] = field(default_factory=list)
    labels: set[tuple[str, str]] = field(default_factory=set)
    grouping: set[str] = field(default_factory=set)


def read(expression: str) -> Reading:
    """Read an expression of the kind that deploy/ has; refuse one of another kind."""
    reading = Reading()
    for match in _GROUPING.finditer(expression):
        reading.grouping.update(re.findall(r"\w+", match[1]))
    ungrouped = _GROUPING.sub(" ", expression)
    for match in _SELECTOR.finditer(ungrouped):
        reading.metrics.add(match[1])
        for label, _, value in _MATCHER.findall(match[2] or ""):
            reading.matchers.append((match[1], label, value))
            reading.labels.add((match[1], label))
    rest = re.sub(r"\[\w+\]", " ", _SELECTOR.sub(" ", ungrouped))
    unknown = {*re.findall(r"[a-zA-Z_]\w*", rest)} - _LANGUAGE
    if unknown:
        raise ValueError(f"{unknown} in {expression}")
    return reading

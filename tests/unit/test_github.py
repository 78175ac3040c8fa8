"""The files of .github/ parse, and name what exists."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documented import ROOT

GITHUB = ROOT / ".github"
FORMS = [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
# What each ecosystem's updates are read from.
MANIFESTS = {
    "uv": "uv.lock",
    "gomod": "go.mod",
    "npm": "package-lock.json",
    "docker": "Dockerfile",
    "docker-compose": "compose.yaml",
    "github-actions": ".github/workflows/ci.yml",
}


def read(path: Path) -> Any:
    """Read a YAML file with strings alone: `on` is no boolean here."""
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - only strings


def test_workflow_runs_ci() -> None:
    """The workflow ends with .ci/run, and its cache depends on files that exist."""
    workflow = read(GITHUB / "workflows" / "ci.yml")
    steps = workflow["jobs"]["test"]["steps"]
    [key] = [step["with"]["key"] for step in steps if "key" in step.get("with", {})]

    assert {"push", "pull_request"} == workflow["on"].keys()
    assert {"run": ".ci/run"} == steps[-1]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert all((ROOT / name).is_file() for name in re.findall(r"'(.+?)'", key))


def test_updates_are_of_all_manifests() -> None:
    """The update bot looks at each manifest of the repository, and at no other."""
    updates = read(GITHUB / "dependabot.yml")["updates"]
    looked_at = {
        (ROOT / folder.lstrip("/") / MANIFESTS[update["package-ecosystem"]])
        for update in updates
        for folder in update["directories"]
    }
    depths = "", "*/", "*/*/"
    names = MANIFESTS.values()
    there = {p for depth in depths for n in names for p in ROOT.glob(depth + n)}

    assert there == looked_at
    assert MANIFESTS.keys() == {update["package-ecosystem"] for update in updates}


def test_updates_leave_grpcio() -> None:
    """The update bot does not propose a grpcio that pyproject.toml refuses."""
    [uv, *_] = read(GITHUB / "dependabot.yml")["updates"]
    [bound] = re.findall(r'"grpcio>=.*,<(.+)"', (ROOT / "pyproject.toml").read_text())

    assert [{"dependency-name": "grpcio", "versions": [f">={bound}"]}] == uv["ignore"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms(path: Path) -> None:
    """A form has a name and labelled questions, and the documents it names exist."""
    form = read(path)
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    named = re.findall(r"\b(?:docs/)?[\w-]+\.md\b", path.read_text())

    assert form["name"]
    assert form["description"]
    assert all(part["attributes"]["label"] for part in questions)
    assert len(questions) == len({part["id"] for part in questions})
    assert named
    assert all((ROOT / name).is_file() for name in named)


def test_vulnerabilities_are_no_issues() -> None:
    """The page for a new issue points to SECURITY.md for a vulnerability."""
    config = read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    [link] = config["contact_links"]

    assert "false" == config["blank_issues_enabled"]
    assert (ROOT / link["url"].partition("/blob/main/")[2]).is_file()
    assert "SECURITY.md" in link["url"]

"""The files of deploy/ name what exists: files, ports, settings, versions."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from signupd.cli import app
from signupd.keyfile import new_key
from signupd.settings import Settings
from signupd.sources import PREFIX, SECRETS
from typer.testing import CliRunner

from tests.documented import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
UNIT = DEPLOY / "signupd.service"
# Of images that are not ours, as their documents have them.
FOREIGN_PORTS = {
    "postgres": {5432},
    "mailpit": {1025, 8025},
    "prometheus": {9090},
    "grafana": {3000},
}


def test_versions() -> None:
    """The image has this version, and is made by the uv of the Makefile."""
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [uv] = re.findall(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())

    assert (project["version"], uv) == (arguments["VERSION"], arguments["UV_VERSION"])


def test_settings() -> None:
    """Each SIGNUPD_ variable in these files is a setting."""
    text = DOCKERFILE + (DEPLOY / "compose.yaml").read_text() + UNIT.read_text()
    known = {*Settings.model_fields, *(f"{name}_file" for name in SECRETS)}
    names = {name.lower() for name in re.findall(rf"\b{PREFIX}(\w+)[=:]", text)}

    assert set() == names - known
    assert len(names) > 10


def test_settings_fit(tmp_path: Path) -> None:
    """The container's settings, with those of the image, are such that it starts."""
    variables = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILE))
    variables |= SERVICES["signupd"]["environment"]
    for name in ("hook", "token", "digest"):
        (tmp_path / f"{name}.key").write_text(new_key())
    env = {n: v.replace("/run/made", str(tmp_path)) for n, v in variables.items()}
    done = CliRunner().invoke(app, ["settings", "--json"], env=env)

    assert (0, "") == (done.exit_code, done.stderr)


def ports() -> dict[str, set[int]]:
    """Give the ports that a service may be reached at."""
    exposed = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0]
    kratos = yaml.safe_load((ROOT / "kratos" / "kratos.yml").read_text())["serve"]
    of_kratos = {kratos[name]["port"] for name in ("public", "admin")}
    return {
        **FOREIGN_PORTS,
        "signupd": {*map(int, exposed.split())},
        "kratos": of_kratos,
    }


def test_ports() -> None:
    """Each address is one of a service there, and a published port is its own."""
    files = [DEPLOY / "compose.yaml", *(DEPLOY / "compose").rglob("*.yml")]
    text = "".join(path.read_text() for path in files)
    text = re.sub("image: .*", "", text)
    pattern = rf"\b({'|'.join(SERVICES)}):([0-9]+)\b"
    named = {(host, int(port)) for host, port in re.findall(pattern, text)}
    published = [
        (name, *one.split(":"))
        for name, service in SERVICES.items()
        for one in service.get("ports", [])
    ]

    assert [] == [pair for pair in named if pair[1] not in ports()[pair[0]]]
    assert len(named) > 6
    for name, host, outside, inside in published:
        assert ("127.0.0.1", outside) == (host, inside)
        assert int(inside) in ports()[name]


def test_paths() -> None:
    """Each file that a container is given is there."""
    mounts = [
        one for service in SERVICES.values() for one in service.get("volumes", [])
    ]
    sources = [one.split(":")[0] for one in mounts if one.startswith(".")]
    absent = [one for one in sources if not (DEPLOY / one).exists()]

    assert [] == absent
    assert len(sources) > 5


@pytest.mark.parametrize("name", ["signupd-migrate", "signupd", "HEALTHCHECK"])
def test_commands(name: str) -> None:
    """A container of our image is told a command of ours."""
    [check] = re.findall(r'CMD \["signupd", "(\w+)"\]', DOCKERFILE)
    words = (
        [check] if name == "HEALTHCHECK" else [SERVICES[name].get("command", "serve")]
    )

    assert 0 == CliRunner().invoke(app, [*words, "--help"]).exit_code


def test_kratos() -> None:
    """Its version is documented as tried, and its variables stand in kratos.yml."""
    service = SERVICES["kratos"]
    [version] = re.findall(r"oryd/kratos:v(\d+\.\d+)\.", service["image"])
    known = (ROOT / "kratos" / "kratos.yml").read_text()

    assert version in (ROOT / "docs" / "compatibility.md").read_text()
    assert [] == [name for name in service["environment"] if f"#   {name}" not in known]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_unit(tmp_path: Path) -> None:
    """Systemd understands the unit."""
    copy = tmp_path / UNIT.name
    # The program is not installed here.
    copy.write_text(UNIT.read_text().replace("/opt/signupd/bin/signupd", "/bin/true"))
    done = subprocess.run(  # noqa: S603 - our own argument
        ["systemd-analyze", "verify", copy],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )

    assert (0, "") == (done.returncode, done.stderr)

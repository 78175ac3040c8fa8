"""The manifests of deploy/kubernetes, rendered as their README says."""

import base64
import functools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from signupd.ledger.postgres import CONNECTIONS
from signupd.parts import rules_of
from signupd.ports.hooks import CODE_PATH, PASSWORD_PATH, SHUTDOWN_SECONDS
from signupd.ports.probes import Probes
from signupd.settings import Settings
from signupd.sources import PREFIX
from signupd.telemetry import logs

from devstack.config import inherited
from tests.documented import ROOT, blocks, shell
from tests.doubles.authority import Authority
from tests.gotools import go_tool

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
PAGE = "deploy/kubernetes/README.md"
MAKE, APPLY, CHECK, UPGRADE = blocks(PAGE)
FOLDERS = ("base", "mtls", "kratos-cleanup")
SERVERS = ("base", "mtls")
# Of Kubernetes: one that is some years old, and the newest with a schema.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
MOUNTS = "/etc/signupd/"
# OpenTelemetry's own limit for the spans that are left.
SPANS_SECONDS = 30.0

# Fixtures are not counted: the first one may build kustomize.
pytestmark = pytest.mark.timeout(120, func_only=True)

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What kustomize makes of a folder."""

    manifests: list[Manifest]

    def of(self, kind: str, name: str = "signupd") -> Manifest:
        """Return the one of a kind and a name, without the hash at its end."""
        (found,) = [
            one
            for one in self.manifests
            if one["kind"] == kind
            and re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", one["metadata"]["name"])
        ]
        return found

    def pods(self) -> Iterator[Manifest]:
        """Return what the pods are made from."""
        for one in self.manifests:
            spec = one.get("spec", {})
            spec = spec.get("jobTemplate", one).get("spec", {})
            if "template" in spec:
                yield spec["template"]["spec"]

    def ports(self) -> dict[str, int]:
        """Return the server's ports by name."""
        (container,) = self.of("Deployment")["spec"]["template"]["spec"]["containers"]
        return {port["name"]: port["containerPort"] for port in container["ports"]}

    def settings(self) -> dict[str, str]:
        """Return the server's environment."""
        secret = self.of("Secret")["data"]["ledger_url"]
        url = base64.b64decode(secret).decode()
        return {**self.of("ConfigMap")["data"], f"{PREFIX}LEDGER_URL": url}


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rendered]:
    """Make the secrets by the page's commands, in a copy, and render a folder there."""
    place = tmp_path_factory.mktemp("kubernetes")
    copy = place / "deploy" / "kubernetes"
    shutil.copytree(
        ROOT / "deploy" / "kubernetes", copy, ignore=shutil.ignore_patterns("secrets")
    )
    path = f"{Path(sys.executable).parent}:{inherited()['PATH']}"
    made = shell(MAKE, place, **inherited() | {"PATH": path})
    assert 0 == made.returncode, made.stderr
    kustomize = go_tool(KUSTOMIZE)

    @functools.cache
    def rendered(folder: str) -> Rendered:
        done = subprocess.run(  # noqa: S603 - as installed above
            [kustomize, "build", copy / folder],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return Rendered(list(yaml.safe_load_all(done.stdout)))

    return rendered


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_schema(render: Callable[[str], Rendered], folder: str, version: str) -> None:
    """Each manifest is one that Kubernetes takes, without unknown fields."""
    for manifest in render(folder).manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_commands(render: Callable[[str], Rendered]) -> None:
    """The page's commands name folders and objects that are there."""
    text = APPLY + CHECK + UPGRADE
    names = re.findall(r"\b(job|deployment)[ /]([\w-]+)", text)
    folders = re.findall(r"apply -k deploy/kubernetes/(\S+)", text)

    assert {"mtls", "kratos-cleanup"} == {*folders}
    assert [render("mtls").of(kind.capitalize(), name) for kind, name in names]
    assert {"signupd"} == {*re.findall(r"kubectl -n (\S+)", text)}
    _run({}, *CHECK.partition("-- signupd ")[2].split(), "--help")


def test_addresses(render: Callable[[str], Rendered]) -> None:
    """The addresses in the page are those of the Services and of the hooks."""
    page = (ROOT / PAGE).read_text()
    base = render("base")
    for name, port in (("signupd", "grpc"), ("signupd-hooks", "hooks")):
        service = base.of("Service", name)

        assert f"//{name}.signupd.svc:{base.ports()[port]}" in page
        assert [port] == [one["targetPort"] for one in service["spec"]["ports"]]
        assert base.ports()[port] == service["spec"]["ports"][0]["port"]
    assert f"{CODE_PATH}`" in page
    assert f"`{PASSWORD_PATH}`" in page
    assert "None" == base.of("Service")["spec"]["clusterIP"]


@pytest.mark.parametrize("folder", SERVERS)
def test_settings(
    render: Callable[[str], Rendered], tmp_path: Path, folder: str
) -> None:
    """The server takes the settings, with the files where the pods have them."""
    rendered = render(folder)
    (pod,) = [one for one in rendered.pods() if "topologySpreadConstraints" in one]
    volumes = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"]}
    mounts = pod["containers"][0]["volumeMounts"]
    for mount in mounts:
        place = tmp_path / mount["mountPath"].removeprefix(MOUNTS)
        place.mkdir()
        if volumes[mount["name"]] == "signupd-tls":
            authority = Authority()
            authority.serve_from(place)
            (place / "callers.crt").rename(place / "ca.crt")
        else:
            for name, value in rendered.of("Secret")["data"].items():
                (place / name).write_bytes(base64.b64decode(value))
    here = {
        name: value.replace(MOUNTS, f"{tmp_path}/")
        for name, value in rendered.settings().items()
    }

    _run(here, "settings")


@pytest.mark.parametrize("folder", SERVERS)
def test_listens(render: Callable[[str], Rendered], folder: str) -> None:
    """The server listens at the ports that the pod names, on all addresses."""
    rendered = render(folder)
    listens = {"grpc": "LISTEN", "hooks": "HOOK_LISTEN", "metrics": "METRICS_LISTEN"}
    found = {port: rendered.settings()[PREFIX + name] for port, name in listens.items()}

    assert {p: f"0.0.0.0:{n}" for p, n in rendered.ports().items()} == found


def test_probes(render: Callable[[str], Rendered]) -> None:
    """The probes ask what the metrics port answers, and scrapes go there."""
    base = render("base")
    template = base.of("Deployment")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    asked = [container[probe]["httpGet"] for probe in probes]

    assert ["/livez", "/livez", "/readyz"] == [one["path"] for one in asked]
    assert {"metrics"} == {one["port"] for one in asked}
    assert all(hasattr(Probes, one["path"][1:]) for one in asked)
    port = template["metadata"]["annotations"]["prometheus.io/port"]
    assert base.ports()["metrics"] == int(port)


@pytest.mark.parametrize("folder", SERVERS)
def test_grace_period(render: Callable[[str], Rendered], folder: str) -> None:
    """A pod is not killed while it drains, whatever Kratos and the collector do."""
    rendered = render(folder)
    named = rendered.settings()
    names = ("drain_wait", "drain_timeout")
    settings = Settings.model_validate(
        {name: named[f"{PREFIX}{name.upper()}"] for name in names}
    )
    work = rules_of(settings).lease / 1e6  # microseconds: all calls to Kratos of one
    closing = 3 * SHUTDOWN_SECONDS + logs.FLUSH_SECONDS + SPANS_SECONDS
    least = settings.drain_wait + settings.drain_timeout + work + closing
    pod = rendered.of("Deployment")["spec"]["template"]["spec"]
    readiness = pod["containers"][0]["readinessProbe"]

    assert least < (grace := pod["terminationGracePeriodSeconds"])
    assert (
        f"TimeoutStopSec={grace}s\n"
        in (ROOT / "deploy" / "signupd.service").read_text()
    )
    assert (
        f"stop_grace_period: {grace}s\n"
        in (ROOT / "deploy" / "compose.yaml").read_text()
    )
    assert f"--stop-timeout {grace}" in (ROOT / "deploy" / "README.md").read_text()
    assert readiness["periodSeconds"] <= settings.drain_wait


@pytest.mark.parametrize("folder", FOLDERS)
def test_least_rights(render: Callable[[str], Rendered], folder: str) -> None:
    """Each pod runs without root, capabilities, tokens and a writable disk."""
    pods = [*render(folder).pods()]

    assert pods
    for pod in pods:
        security = pod["securityContext"]
        (container,) = pod["containers"]
        assert (False, False) == (
            *(pod["automountServiceAccountToken"], pod["enableServiceLinks"]),
        )
        assert security["runAsNonRoot"]
        assert security["runAsUser"] > 0
        assert {"type": "RuntimeDefault"} == security["seccompProfile"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        for volume in pod.get("volumes", ()):
            assert 0o400 == volume["secret"]["defaultMode"]
            assert security["fsGroup"] == security["runAsUser"]


def test_network(render: Callable[[str], Rendered]) -> None:
    """In come callers, Kratos and Prometheus; out go calls to Kratos, SQL and DNS."""
    base = render("base")
    policy = base.of("NetworkPolicy")["spec"]
    settings = base.settings()
    names = ("KRATOS_PUBLIC_URL", "KRATOS_ADMIN_URL")
    kratos = [urlsplit(settings[PREFIX + name]) for name in names]
    urls = [*kratos, urlsplit(settings[f"{PREFIX}LEDGER_URL"])]
    rows = [(rule["from"][0], rule["ports"]) for rule in policy["ingress"]]
    out = {
        rule["to"][0]["namespaceSelector"]["matchLabels"][
            "kubernetes.io/metadata.name"
        ]: [port["port"] for port in rule["ports"]]
        for rule in policy["egress"]
    }

    assert [*base.ports()] == [port["port"] for _, (port,) in rows]
    assert ["signupd-caller"] == [*rows[0][0]["podSelector"]["matchLabels"]]
    assert ["kratos", "prometheus"] == [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for peer, _ in rows[1:]
    ]
    assert {"kratos", "postgresql", "kube-system"} == {*out}
    assert [url.port for url in kratos] == out["kratos"]
    assert [53, 53] == out["kube-system"]
    assert [5432] == out["postgresql"]
    assert ["kratos", "kratos", "postgresql"] == [
        str(url.hostname).split(".")[1] for url in urls
    ]


def test_selectors(render: Callable[[str], Rendered]) -> None:
    """Services, budget, spread and policies select the servers, not the job."""
    base = render("base")
    labels = base.of("Deployment")["spec"]["template"]["metadata"]["labels"]
    migrate = base.of("Job", "signupd-migrate")["spec"]["template"]["metadata"]
    pod = base.of("Deployment")["spec"]["template"]["spec"]
    selectors = [
        base.of("Service")["spec"]["selector"],
        base.of("Service", "signupd-hooks")["spec"]["selector"],
        base.of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        base.of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        base.of("Deployment")["spec"]["selector"]["matchLabels"],
        *(
            one["labelSelector"]["matchLabels"]
            for one in pod["topologySpreadConstraints"]
        ),
    ]
    fence = base.of("NetworkPolicy", "signupd-migrate")["spec"]["podSelector"]

    assert [True] * 7 == [one.items() <= labels.items() for one in selectors]
    assert labels != migrate["labels"]
    assert fence["matchLabels"].items() <= migrate["labels"].items()


def test_resources(render: Callable[[str], Rendered]) -> None:
    """Pods get the memory that docs/performance.md measured; PostgreSQL serves all."""
    base = render("base")
    page = (ROOT / "docs" / "performance.md").read_text()
    table = page.partition("<!-- bench:memory -->")[2].partition("<!-- /bench -->")[0]
    measured = [
        float(n)
        for n in re.findall(r"^\|.*\| ([\d.]+) \| \d+ \|$", table, re.MULTILINE)
    ]
    (container,) = base.of("Deployment")["spec"]["template"]["spec"]["containers"]
    size = container["resources"]["requests"]["memory"]
    scaling = base.of("HorizontalPodAutoscaler")["spec"]

    assert len(measured) > 4
    assert max(measured) < int(size.removesuffix("Mi"))
    # PostgreSQL's default is 100, of which Kratos needs some.
    assert scaling["maxReplicas"] * CONNECTIONS <= 60
    assert scaling["minReplicas"] > 1


def test_image(render: Callable[[str], Rendered]) -> None:
    """The image has this version's tag, and runs commands that signupd has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    containers = [pod["containers"][0] for pod in render("base").pods()]

    assert [["serve"], ["migrate"]] == [one["args"] for one in containers]
    for container in containers:
        assert project["version"] == container["image"].partition(":")[2]
        _run({}, *container["args"], "--help")


def _run(environment: dict[str, str], *words: str) -> None:
    """Run a command of signupd, with this environment and no other settings."""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "signupd", *words],
        env=inherited() | environment,
        check=False,
        capture_output=True,
        text=True,
    )

    assert 0 == done.returncode, done.stderr

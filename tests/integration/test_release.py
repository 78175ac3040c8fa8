"""`make release`, tried on a copy of the repository."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import release
from tests.documented import ROOT

COPIED = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "uv.lock")
FOLDERS = ("deploy", "generated", "protos", "service")
VERSION = release.version(ROOT)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what a release is made of, with the section of its version."""
    root = tmp_path / "copy"
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in COPIED:
        shutil.copy(ROOT / name, root / name)
    text = (
        f"# Changelog\n\n## {VERSION} - 2026-12-01\n\nWhat is new.\n\n## 0.0.9\n\nOld."
    )
    (root / "CHANGELOG.md").write_text(text)
    # Whatever the working tree holds, the copy's contract is released.
    build = ("build", "--exclude-source-info", "-o", release.RELEASED, "protos")
    release.output(root, release.BUF, *build)
    return root


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Make a function that changes the text of a file of a copy."""

    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return change


def test_release_makes_its_files(copy: Path, tmp_path: Path) -> None:
    """Both wheels with the stubs, SBOM, section of the changelog, name of the image."""
    target = tmp_path / "dist"
    release.make(copy, target)
    client, server = sorted(target.glob("*.whl"))
    sbom = json.loads((target / f"signupd-{VERSION}.cdx.json").read_text())
    components = {part["name"] for part in sbom["components"]}

    assert [] == release.mistakes(copy)
    assert f"kratos_signup_client-{VERSION}-py3-none-any.whl" == client.name
    assert f"signupd-{VERSION}-py3-none-any.whl" == server.name
    for wheel in (client, server):
        assert "kratos_signup/v1/errors_pb2.py" in zipfile.ZipFile(wheel).namelist()
    assert (True, False) == ("grpcio" in components, "pytest" in components)
    assert "What is new.\n" == (target / f"signupd-{VERSION}.md").read_text()
    assert f"signupd:{VERSION}\n" == (target / "image.txt").read_text()
    assert 5 == len(list(target.iterdir()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            replace("generated/pyproject.toml", f'"{VERSION}"', '"9.9"'),
            "generated/pyproject.toml has another version",
        ),
        (
            replace("uv.lock", f'"signupd"\nversion = "{VERSION}"', '"signupd"\n'),
            "uv.lock has another version",
        ),
        (
            replace("deploy/Dockerfile", f"VERSION={VERSION}", "VERSION=9.9"),
            "deploy/Dockerfile has another version",
        ),
        (
            replace("deploy/kubernetes/base/kustomization.yaml", VERSION, "9.9"),
            "deploy/kubernetes/base/kustomization.yaml has another version",
        ),
        (
            replace("CHANGELOG.md", f"## {VERSION} -", "## Unreleased -"),
            "CHANGELOG.md has no section",
        ),
        (
            replace("protos/kratos_signup/v1/errors.proto", "INTERNAL =", "OTHER ="),
            "protos/released.binpb is not the contract",
        ),
    ],
)
def test_release_is_refused(
    copy: Path, change: Callable[[Path], None], said: str
) -> None:
    """What does not agree with the version is named, and nothing is made."""
    change(copy)
    [mistake] = release.mistakes(copy)

    assert mistake.startswith(said)

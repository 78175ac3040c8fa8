"""Make the files of a release in dist/, and publish none: `make release`."""

import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sysconfig.get_path("scripts")) / "buf"
RELEASED = Path("protos", "released.binpb")


def version(root: Path) -> str:
    """Read the version that pyproject.toml gives the server."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def notes(root: Path) -> str:
    """Cut the version's section out of CHANGELOG.md, "" if there is none."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading = rf"^## {re.escape(version(root))} - \d{{4}}-\d\d-\d\d\n"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found else ""


def mistakes(root: Path) -> list[str]:
    """Name the files that do not agree with the version or the contract."""
    number = re.escape(version(root))
    found = []
    for name, line in (
        ("generated/pyproject.toml", f'version = "{number}"'),
        ("uv.lock", f'name = "signupd"\nversion = "{number}"'),
        ("deploy/Dockerfile", f"ARG VERSION={number}"),
        ("deploy/kubernetes/base/kustomization.yaml", f" +newTag: {number}"),
    ):
        if not re.search(f"^{line}$", (root / name).read_text("utf-8"), re.MULTILINE):
            found.append(f"{name} has another version than pyproject.toml")
    if not notes(root):
        found.append(f"CHANGELOG.md has no section '## {version(root)} - YYYY-MM-DD'")
    build = ("build", "--exclude-source-info", "-o", "-", "protos")
    if output(root, BUF, *build) != (root / RELEASED).read_bytes():
        found.append(
            f"{RELEASED} is not the contract: run "
            f"buf build protos --exclude-source-info -o {RELEASED}"
        )
    return found


def make(root: Path, target: Path) -> None:
    """Write the wheels, the SBOM, the notes and the image's name into `target`."""
    uv = runpy.run_path(str(root / "protos" / "generate.py"))["find_uv"]()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    export = (uv, "export", "--frozen", "--quiet")
    # As in deploy/Dockerfile, the lock file also pins what builds the wheels.
    pins = target / "build.txt"
    pins.write_bytes(output(root, *export, "--only-dev"))
    pinned = ("--build-constraints", pins, "--require-hashes")
    for project in (root, root / "generated"):
        build = (uv, "build", "--quiet", "--wheel", "--out-dir", target)
        output(root, *build, *pinned, project)
    pins.unlink()
    (target / ".gitignore").unlink(missing_ok=True)
    sbom = output(root, *export, "--no-dev", "--format=cyclonedx1.5")
    name = f"signupd-{version(root)}"
    (target / f"{name}.cdx.json").write_bytes(sbom)
    (target / f"{name}.md").write_text(notes(root), "utf-8")
    (target / "image.txt").write_text(f"signupd:{version(root)}\n", "utf-8")


def output(root: Path, *command: str | Path) -> bytes:
    """Run a command in `root`; what it has to say on standard error is shown."""
    return subprocess.run(  # noqa: S603 - our own words
        command, cwd=root, check=True, stdout=subprocess.PIPE
    ).stdout


def main() -> int:
    """Make the release, or say what stands against it; return the exit code."""
    if found := mistakes(ROOT):
        sys.stderr.writelines(f"{mistake}\n" for mistake in found)
        return 1
    target = ROOT / "dist"
    make(ROOT, target)
    sys.stdout.writelines(f"dist/{path.name}\n" for path in sorted(target.iterdir()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

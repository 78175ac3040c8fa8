"""The image of deploy/Dockerfile, built and run by buildah, which needs no daemon."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from devstack.server import Signupd
from devstack.waiting import wait_until
from tests.documented import ROOT

# Debian's own Python is new enough, and its packages can be had where no registry of
# images can. Built once; `buildah rmi` with this name removes it.
BASE = "localhost/signupd-test-base"
SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"
# Where an index is, and whom to trust, differs from machine to machine.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
ISOLATION = ("--isolation", "chroot")
# Mounts of its own; and processes of its own, which end with their parent.
ALONE = (
    *("/usr/bin/unshare", "--mount", "--pid", "--mount-proc"),
    *("--fork", "--kill-child=KILL"),
)


def buildah(*words: str) -> str:
    """Run buildah to its end; give what it prints."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["buildah", *words],  # noqa: S607
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(f"buildah {words[0]}: {done.stdout}{done.stderr}"[-4000:])
    return done.stdout.strip()


@contextmanager
def container_of(image: str) -> Iterator[str]:
    """Make a container, which lasts as long as the context."""
    container = buildah("from", image)
    try:
        yield container
    finally:
        buildah("rm", container)


def base_image(directory: Path, environ: Mapping[str, str]) -> str:
    """Make the base image, if it is not there."""
    if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        root = directory / "root"
        words = ("--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
        subprocess.run(  # noqa: S603 - our own arguments
            ["debootstrap", *words],  # noqa: S607
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with container_of("scratch") as container:
            buildah("copy", "--quiet", container, str(root), "/")
            buildah("copy", container, str(CERTIFICATES), str(CERTIFICATES))
            names = {name: environ[name] for name in PASSED if name in environ}
            names |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), str(CERTIFICATES))
            for name, value in names.items():
                buildah("config", "--env", f"{name}={value}", container)
            buildah("commit", "--quiet", container, BASE)
        shutil.rmtree(root)
    return BASE


@contextmanager
def built_image(base: str, directory: Path) -> Iterator[str]:
    """Build deploy/Dockerfile; give the image's id."""
    file = directory / "id"
    # Docker's format knows HEALTHCHECK; OCI's does not.
    how = ("--format=docker", "--layers=false", f"--build-arg=BASE={base}")
    buildah(
        *("bud", *ISOLATION, *how, f"--iidfile={file}", "--file=deploy/Dockerfile", ".")
    )
    image = file.read_text().strip()
    try:
        yield image
    finally:
        buildah("rmi", image)


class Container(Signupd):
    """A server in a container of the image, on a root file system that is read-only.

    Args:
        container: Of buildah.
        named: As of `Signupd`. The ledger is where the image has it.
    """

    def __init__(self, container: str, **named: Any) -> None:
        super().__init__(**named)
        self.container = container
        self._root = buildah("mount", container)
        # buildah puts this file there itself, while it can.
        (Path(self._root) / "run/.containerenv").touch()
        ours = {**self.settings}
        for name in ("LEDGER_URL", "LOG_FORMAT"):
            del ours[name]
        self._options = [f"--env=SIGNUPD_{name}={ours[name]}" for name in ours]

    @cached_property
    def config(self) -> dict[str, Any]:
        """How the image is to be run, in Docker's names."""
        seen = json.loads(buildah("inspect", "--type=container", self.container))
        return dict(seen["Docker"]["config"])

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, with the server's settings.

        Its exit code is lost: buildah 1.28 fails at tidying a root that is read-only.
        """
        return subprocess.run(  # noqa: S603 - our own arguments
            self._sealed(*words),
            check=False,
            capture_output=True,
            text=True,
            env=self._environment,
        )

    def stop(self) -> int:
        """Tell the server itself, as an engine does; buildah then ends too."""
        if self.pid is not None:
            ours = f"--pgroup={self.pid}"
            subprocess.run(["pkill", ours, "--exact", "signupd"], check=False)  # noqa: S603, S607
            with contextlib.suppress(TimeoutError):
                wait_until(self._is_over, "the end", self.STOP_SECONDS)
        return self.kill()

    def _is_over(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _command(self, name: str) -> list[str]:
        return self._sealed(*self.config["Entrypoint"], name)

    def _sealed(self, *words: str) -> list[str]:
        """Give the command that runs another one where only the volume is writable.

        buildah cannot do this by itself, but it passes on how its root is mounted.
        """
        seal = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
        run = ("buildah", "run", *ISOLATION, *self._options, self.container, "--")
        return [*ALONE, "sh", "-ec", seal, self._root, *run, *words]

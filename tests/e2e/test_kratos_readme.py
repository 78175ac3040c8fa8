"""The commands of kratos/README.md, run in a copy of that directory."""

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

from devstack.binary import BUILD_ENVIRONMENT, KRATOS_DIRECTORY, build_command
from devstack.config import inherited
from devstack.ports import free_ports, is_served
from devstack.waiting import wait_until
from tests.documented import blocks, shell
from tests.e2e.site import Site

[GO] = blocks("kratos/README.md")
README = (KRATOS_DIRECTORY / "README.md").read_text()
SCRIPTS = sysconfig.get_path("scripts")


def test_with_go(site: Site, tmp_path: Path) -> None:
    """The build is that of `make demo`; what follows it makes a Kratos that serves."""
    copy = shutil.copytree(KRATOS_DIRECTORY, tmp_path / "kratos")
    exports, build, *start, serve = GO.splitlines()
    [version] = re.findall(r"ory/kratos (v\S+)", (copy / "go.mod").read_text())
    program = Path("../.cache/kratos")
    (tmp_path / ".cache").mkdir()
    (copy / program).symlink_to(site.binary)
    public, admin = free_ports(2)
    ports = {"SERVE_PUBLIC_PORT": str(public), "SERVE_ADMIN_PORT": str(admin)}

    assert [f"{k}={v}" for k, v in BUILD_ENVIRONMENT.items()] == exports.split()[1:]
    assert build_command("go", program, version) == shlex.split(build)
    commands = ["bash", "-ec", "\n".join([*start, f"exec {serve}"])]
    with subprocess.Popen(commands, cwd=copy, env=inherited() | ports) as kratos:  # noqa: S603
        try:
            wait_until(lambda: is_served(admin), "Kratos", 60)
        finally:
            kratos.terminate()
    spans = "\n".join(re.findall(r"`((?:kratos|\S+/aiosmtpd) [^`\n]+)`", README))
    here = spans.replace("kratos", str(site.binary)).replace("../.venv/bin", SCRIPTS)
    done = shell(re.sub("$", " --help", here, flags=re.MULTILINE), copy, **inherited())

    assert (0, 2) == (done.returncode, done.stdout.lower().count("usage:")), done.stderr

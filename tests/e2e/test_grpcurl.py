"""grpcurl against the server, as the documents and `make run` show it."""

import os
import re
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from devstack.ports import LOOPBACK
from tests.documented import ROOT, lines, shell
from tests.e2e.prompt import Prompt
from tests.e2e.site import Site
from tests.e2e.stack import Stack, wrong_codes


def test_make_run(site: Site, grpcurl: Path, tmp_path: Path) -> None:
    """What `make run` shows can be pasted, also again after a mistyped code.

    The pages that it names are there, and taken ports are no obstacle.
    """
    for name in ("devstack", "kratos", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    path = f"{grpcurl.parent}{os.pathsep}{os.environ['PATH']}"
    here = {"PATH": path, "TERM": "dumb", "KRATOS_BIN": str(site.binary)}
    run = (sys.executable, "-m", "devstack.run")
    with (
        _taken(8080),
        Prompt(*run, directory=tmp_path, environment=here) as up,
        Prompt("bash", "--norc", directory=tmp_path, environment=here) as shell,
    ):
        up.expect("Ctrl-C stops everything")
        shown = up.seen.replace("\r", "")
        texts = shown.partition("In another terminal")[2].split("\n\n")[1:7]
        look, start, code, *rest = [text.split("\n", 1)[1] for text in texts]
        shell.type(f"{look}\n{start}")
        shell.expect("rpc StartSignup (")
        up.expect("CODE=")
        up.expect("\n")
        right = up.seen.split("CODE=")[-1].strip()
        for typed in (*wrong_codes(right, 1), right):
            shell.type(code.replace("123456", typed) + "\n" + rest[0])
            shell.expect("SIGNUP_STATE_")
        shell.type("\n".join(rest[1:]))
        shell.expect('"state":"active"')
        [metrics] = re.findall(r"http://\S+/metrics", shown)
        assert "signupd_build_info" in httpx.get(metrics, trust_env=False).text
        [web] = re.findall(r"sign up +(\S+)", shown)
        [inbox] = re.findall(r"read the mails +(\S+)", shown)
        assert f'href="{inbox}"' in httpx.get(web, trust_env=False).text
        assert right in httpx.get(inbox, trust_env=False).text
        assert re.search(r"In use, so .* 8080", shown)


@contextmanager
def _taken(port: int) -> Iterator[None]:
    """Take a port, if nobody has taken it yet."""
    with ExitStack() as resources:
        with suppress(OSError):
            resources.enter_context(socket.create_server((LOOPBACK, port)))
        yield


@pytest.mark.parametrize("page", ["README.md", "docs/integration.md"])
def test_documented(stack: Stack, grpcurl: Path, page: str) -> None:
    """The documented calls reach the server, and show an error's details decoded."""
    commands = lines(page, r"\S*grpcurl -")
    for command in commands:
        here = command.replace("127.0.0.1:50051", stack.server.target)
        here = re.sub(r"^\S+", str(grpcurl), here.replace("ada@example.com", "nobody"))
        done = shell(re.sub(r"\.venv/\S+", sysconfig.get_path("purelib"), here), ROOT)

        assert '"EMAIL_INVALID"' in done.stderr
        assert '"field": "email"' in done.stderr
    assert commands

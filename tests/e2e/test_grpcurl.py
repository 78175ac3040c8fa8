"""grpcurl against the server, as the documents and `make run` show it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import reduce
from pathlib import Path

import httpx
import pytest
from google.protobuf import json_format
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.binary import cache_directory
from tests.e2e.prompt import Prompt
from tests.e2e.site import Site
from tests.e2e.stack import Stack, wrong_codes

ROOT = Path(__file__).parents[2]

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
SIGNUP_SERVICE = "kratos_signup.v1.SignupService"


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """Find grpcurl, or have Go install it, once."""
    found = shutil.which("grpcurl")
    if found is not None:
        return Path(found)
    program = cache_directory() / "bin" / "grpcurl"
    if not program.exists():
        go = shutil.which("go")
        assert go is not None, "neither grpcurl nor Go, which installs it, is there"
        subprocess.run(  # noqa: S603 - go, at a version of our choice
            [go, "install", GRPCURL],
            env=os.environ | {"GOBIN": str(program.parent), "GOFLAGS": ""},
            check=True,
            capture_output=True,
            text=True,
        )
    return program


def test_make_run(site: Site, grpcurl: Path, tmp_path: Path) -> None:
    """What `make run` shows can be pasted, also again after a mistyped code."""
    for name in ("devstack", "kratos"):
        shutil.copytree(ROOT / name, tmp_path / name)
    path = f"{grpcurl.parent}{os.pathsep}{os.environ['PATH']}"
    here = {"PATH": path, "TERM": "dumb", "KRATOS_BIN": str(site.binary)}
    run = (sys.executable, "-m", "devstack.run")
    with (
        Prompt(*run, directory=tmp_path, environment=here) as up,
        Prompt("bash", "--norc", directory=tmp_path, environment=here) as shell,
    ):
        up.expect("Ctrl-C stops everything")
        shown = up.seen.replace("\r", "")
        texts = shown.partition("In another terminal")[2].split("\n\n")[1:7]
        look, start, code, *rest = [text.split("\n", 1)[1] for text in texts]
        shell.type(f"{look}\n{start}")
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


@pytest.mark.parametrize("page", ["README.md", "docs/integration.md"])
def test_documented(stack: Stack, grpcurl: Path, page: str) -> None:
    """The documented calls reach the server, and show an error's details decoded."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^\S*(grpcurl -(?:.*\\\n)*.*)$", text, re.MULTILINE)
    here = {
        "grpcurl ": f"{grpcurl} ",
        ".venv/lib/python*/site-packages": sysconfig.get_path("purelib"),
        "ada@example.com": "nobody",
        "127.0.0.1:50051": stack.server.target,
    }
    for command in found:
        line = reduce(lambda text, name: text.replace(name, here[name]), here, command)
        done = subprocess.run(  # noqa: S603 - our own documents
            ["bash", "-c", line],  # noqa: S607
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )

        assert '"EMAIL_INVALID"' in done.stderr
        assert '"field": "email"' in done.stderr
    assert found


def test_grpcurl(stack: Stack, grpcurl: Path, address: str) -> None:
    """It lists, describes and calls the services; the sign-up begun so goes on."""
    services = _run(grpcurl, stack, "list").split()
    described = _run(grpcurl, stack, "describe", SIGNUP_SERVICE)
    request = {"email": address, "traits": {"newsletter": True}, "locale": "de"}
    method = f"{SIGNUP_SERVICE}/StartSignup"
    output = _run(grpcurl, stack, method, options=("-d", json.dumps(request)))
    answer = json_format.Parse(output, pb.StartSignupResponse())
    verified = stack.caller.verify(answer.continuation_token, stack.code(address))

    assert SIGNUP_SERVICE in services
    assert "rpc StartSignup (" in described.replace("( ", "(")
    assert pb.SIGNUP_STATE_CODE_REQUIRED == answer.signup.state
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state


def _run(
    grpcurl: Path, stack: Stack, *arguments: str, options: tuple[str, ...] = ()
) -> str:
    """Run grpcurl against the server and give its output."""
    command = [str(grpcurl), "-plaintext", *options, stack.server.target, *arguments]
    done = subprocess.run(  # noqa: S603 - the fixture's program
        command, check=True, capture_output=True, text=True
    )
    return done.stdout

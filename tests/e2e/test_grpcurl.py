"""grpcurl against the server, without any .proto files."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import json_format
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.binary import cache_directory
from tests.e2e.stack import Stack

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

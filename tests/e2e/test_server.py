"""What the server offers besides its services: health and reflection."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.binary import cache_directory
from tests.e2e.stack import Stack

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
SIGNUP_SERVICE = "kratos_signup.v1.SignupService"
ACCOUNT_SERVICE = "kratos_signup.v1.AccountService"


class TestHealth:
    """grpc.health.v1."""

    @pytest.mark.parametrize("service", ["", SIGNUP_SERVICE, ACCOUNT_SERVICE])
    def test_serving(self, stack: Stack, service: str) -> None:
        """The server as a whole serves, and so do both services, on loopback."""
        assert "SERVING" == stack.caller.health_of(service)

    def test_unknown(self, stack: Stack) -> None:
        """Of others nothing is known."""
        with pytest.raises(grpc.RpcError) as caught:
            stack.caller.health_of("kratos_signup.v2.SignupService")

        assert grpc.StatusCode.NOT_FOUND == caught.value.code()


class TestReflection:
    """grpc.reflection."""

    def test_services(self, stack: Stack) -> None:
        """All services are listed."""
        database = ProtoReflectionDescriptorDatabase(stack.caller.channel)

        assert {
            SIGNUP_SERVICE,
            ACCOUNT_SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        } == set(database.get_services())


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


class TestGrpcurl:
    """grpcurl, without any files."""

    def test_list(self, stack: Stack, grpcurl: Path) -> None:
        """It lists the services."""
        services = _run(grpcurl, stack, "list").split()

        assert {SIGNUP_SERVICE, ACCOUNT_SERVICE} < set(services)

    def test_describe(self, stack: Stack, grpcurl: Path) -> None:
        """It describes them."""
        described = _run(grpcurl, stack, "describe", SIGNUP_SERVICE)

        assert "rpc StartSignup (" in described.replace(" ( .", " ( .").replace(
            "( ", "("
        )

    def test_call(self, stack: Stack, grpcurl: Path, address: str) -> None:
        """It calls them: a mail goes, and the sign-up goes on."""
        request = {"email": address, "traits": {"newsletter": True}, "locale": "de"}
        method = f"{SIGNUP_SERVICE}/StartSignup"
        output = _run(grpcurl, stack, method, options=("-d", json.dumps(request)))
        answer = json_format.Parse(output, pb.StartSignupResponse())
        code = stack.code(address)
        verified = stack.caller.verify(answer.continuation_token, code)

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

"""The .proto files and the stubs made from them, tried with the real tools."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from signupd.rpc import statuses

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated"
BUF = str(Path(sysconfig.get_path("scripts")) / "buf")

FLOORS = "1.71.2", "5.29.0"
# Versions of grpcio and protobuf that clients have: the floors, protobuf 6, and ours.
CLIENTS = [FLOORS, ("1.78.0", "6.32.1"), (version("grpcio"), version("protobuf"))]

STATUSES = {reason: row.code.name for reason, row in statuses.STATUSES.items()}

# What a client does first, up to a call.
FIRST_STEPS = """
from concurrent.futures import ThreadPoolExecutor
import google.protobuf
import grpc
from kratos_signup.v1 import (
    account_service_pb2, account_service_pb2_grpc, errors_pb2, errors_pb2_grpc,
    signup_service_pb2, signup_service_pb2_grpc,
)

message = signup_service_pb2.StartSignupRequest(email="ada@example.com")
message.traits["age"] = 36
copy = signup_service_pb2.StartSignupRequest.FromString(message.SerializeToString())
assert message == copy, copy
class Signups(signup_service_pb2_grpc.SignupServiceServicer):
    def StartSignup(self, request, context):
        signup = signup_service_pb2.Signup(masked_email=request.email)
        return signup_service_pb2.StartSignupResponse(signup=signup)

server = grpc.server(ThreadPoolExecutor(1))
signup_service_pb2_grpc.add_SignupServiceServicer_to_server(Signups(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    account_service_pb2_grpc.AccountServiceStub(channel)
    signups = signup_service_pb2_grpc.SignupServiceStub(channel)
    answer = signups.StartSignup(message, timeout=10)
    assert answer.signup.masked_email == "ada@example.com", answer
server.stop(None).wait()
print(grpc.__version__, google.protobuf.__version__)
"""


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program of ours to its end; the caller looks at how it ended."""
    return subprocess.run(  # noqa: S603 - the words are this module's own
        command, capture_output=True, check=False, env=os.environ | env
    )


def uv() -> str:
    """Name the uv program, where generate.py finds it."""
    return str(runpy.run_path(str(PROTOS / "generate.py"))["find_uv"]())


def generate(root: Path, *options: str) -> tuple[int, list[str]]:
    """Run the copy of generate.py under `root`: its exit code and its lines."""
    done = run(sys.executable, root / "protos" / "generate.py", *options, UV=uv())
    return done.returncode, (done.stdout + done.stderr).decode().splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the protos and the stubs that a test may spoil."""
    for folder in (PROTOS, GENERATED):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, tmp_path / folder.name, ignore=ignored)
    return tmp_path


@pytest.fixture(scope="module")
def files() -> list[FileDescriptorProto]:
    """Our .proto files, parsed, with their comments."""
    output = ("-o", "-#format=binpb", "--as-file-descriptor-set")
    built = run(BUF, "build", PROTOS, "--exclude-imports", *output)

    assert 0 == built.returncode, built.stderr
    return list(descriptor_pb2.FileDescriptorSet.FromString(built.stdout).file)


def elements(
    node: Message, path: tuple[int, ...] = (), names: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the descriptor path, and a name such as Signup.state, of all in a file.

    These are its messages, fields, oneofs, enums, values, services and RPCs.
    """
    for field, children in node.ListFields():
        kind = field.message_type
        if field.is_repeated and kind and "name" in kind.fields_by_name:
            for index, child in enumerate(children):
                inner, called = (*path, field.number, index), (*names, child.name)
                yield inner, ".".join(called)
                yield from elements(child, inner, called)


def comments(files: list[FileDescriptorProto]) -> dict[str, str]:
    """Return the leading comment of everything declared, by name."""
    found = {}
    for file in files:
        said = {
            tuple(x.path): x.leading_comments for x in file.source_code_info.location
        }
        for path, name in elements(file):
            found[name] = " ".join(said.get(path, "").split())
    return found


def test_check_names_what_differs(copy: Path) -> None:
    """A stub that a changed .proto file no longer makes, or that is left, is named."""
    package = copy / "generated" / "kratos_signup"
    (package / "left_over.py").touch()
    proto = copy / "protos" / "kratos_signup" / "v1" / "account_service.proto"
    proto.write_text(proto.read_text().replace("bool complete = 5", "bool whole = 5"))
    lines = [
        "differs: kratos_signup/left_over.py",
        "differs: kratos_signup/v1/account_service_pb2.py",
        "differs: kratos_signup/v1/account_service_pb2.pyi",
    ]

    assert (1, lines) == generate(copy, "--check")


@pytest.mark.parametrize(("grpcio", "protobuf"), CLIENTS)
def test_stubs_work_with_versions(grpcio: str, protobuf: str) -> None:
    """The client's wheel installs beside them, and makes a call without a warning."""
    # Else uv takes the wheel that it built before the stubs changed.
    wheel = ("--refresh-package=kratos-signup-client", "--with", GENERATED)
    versions = ("--with", f"grpcio=={grpcio}", "--with", f"protobuf=={protobuf}")
    isolated = ("run", "--quiet", "--isolated", "--no-project", "--python", "3.11")
    python = ("python", "-W", "error", "-c", FIRST_STEPS)
    done = run(uv(), *isolated, *wheel, *versions, *python)

    said = f"{grpcio} {protobuf}\n".encode()
    assert (0, said) == (done.returncode, done.stdout), done.stderr


def test_floors_are_the_generators() -> None:
    """The client's wheel asks for the versions that the stubs themselves demand."""
    project = tomllib.loads((GENERATED / "pyproject.toml").read_text())["project"]
    stubs = GENERATED / "kratos_signup" / "v1"
    grpc_stub = (stubs / "signup_service_pb2_grpc.py").read_text()
    message_stub = (stubs / "signup_service_pb2.py").read_text()
    grpcio = re.findall(r"^GRPC_GENERATED_VERSION = '(.+)'$", grpc_stub, re.MULTILINE)
    protobuf = re.findall(
        r"^# Protobuf Python Version: (.+)$", message_stub, re.MULTILINE
    )

    floors = [f"grpcio>={grpcio[0]}", f"protobuf>={protobuf[0]}"]
    assert FLOORS == (grpcio[0], protobuf[0])
    assert floors == project["dependencies"]


@pytest.mark.parametrize(
    ("page", "program", "absent"),
    [
        ("README.md", ["signupd", "--version"], "kratos_signup_client-*"),
        ("docs/integration.md", ["python", "-c", FIRST_STEPS], "signupd"),
    ],
)
def test_installs_alone(
    tmp_path: Path, page: str, program: list[str], absent: str
) -> None:
    """The documented commands need no index for a name of ours, and do install."""
    folder = tmp_path / "venv"
    pattern = r"`(python3 -m venv (\S+) && \S+/pip install \S+)`"
    [(command, place)] = re.findall(pattern, (ROOT / page).read_text())
    # What others publish is found here, built with and installed; no index is asked.
    foreign = {"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_INDEX": "1"}
    local = command.replace("python3", sys.executable, 1).replace(place, str(folder))
    unisolated = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_CACHE_DIR": "1"}
    installed = run("sh", "-ec", f"cd {ROOT}; {local}", **foreign, **unisolated)

    assert 0 == installed.returncode, installed.stderr
    assert 0 == run(folder / "bin" / program[0], *program[1:], **foreign).returncode
    assert list(folder.rglob("site-packages/kratos_signup/v1/errors_pb2.py"))
    assert not list(folder.rglob(f"site-packages/{absent}"))


def test_lint_has_no_exceptions() -> None:
    """`make lint` has all of Buf's rules, and the last release's contract."""
    rules = yaml.safe_load((PROTOS / "buf.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()

    assert {"use": ["STANDARD"]} == rules["lint"]
    assert {"use": ["FILE"]} == rules["breaking"]
    assert "breaking protos --against protos/released.binpb" in makefile
    assert not any("buf:lint" in path.read_text() for path in PROTOS.rglob("*.proto"))


def test_everything_is_commented(files: list[FileDescriptorProto]) -> None:
    """Each message, field, oneof, enum, value, service and RPC has a comment."""
    found = comments(files)

    assert [] == [name for name, comment in found.items() if not comment]
    assert "Signup.state" in found
    assert "SignupService.StartSignup" in found
    assert "GetAccountRequest.key" in found
    assert "ErrorReason.ERROR_REASON_INTERNAL" in found


def test_reasons_tell_their_status(files: list[FileDescriptorProto]) -> None:
    """A reason's comment starts with its gRPC status and ends with its details."""
    prefix = "ErrorReason.ERROR_REASON_"
    found = {
        name.removeprefix(prefix): comment
        for name, comment in comments(files).items()
        if name.startswith(prefix) and not name.endswith("_UNSPECIFIED")
    }

    assert STATUSES == {name: text.split(".")[0] for name, text in found.items()}
    assert [] == [name for name, text in found.items() if "Details: " not in text]


def test_services_name_every_reason(files: list[FileDescriptorProto]) -> None:
    """The services and RPCs, between them, name all reasons as their errors."""
    said = " ".join(
        comment
        for name, comment in comments(files).items()
        if name.split(".")[0] in {"SignupService", "AccountService"}
    )

    assert set() == STATUSES.keys() - set(re.findall(r"[A-Z_]+", said))


def test_comments_name_only_what_exists(files: list[FileDescriptorProto]) -> None:
    """A name in capitals is a reason, a gRPC status, a value or an input's fault."""
    found = comments(files)
    faults = {"TOO_SHORT", "TOO_LONG", "TOO_COMMON", "TOO_SIMILAR", "DOMAIN_BLOCKED"}
    known = STATUSES.keys() | set(STATUSES.values()) | faults
    said = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", " ".join(found.values())))

    assert set() == {
        name
        for name in said - known
        if not any(value.endswith(f"_{name}") for value in found)
    }

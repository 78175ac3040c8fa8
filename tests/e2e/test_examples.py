"""The examples, run as their readers would, to an account in a real Kratos."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.binary import cache_directory
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wrong_codes

ROOT = Path(__file__).parents[2]
# node_modules are no part of what is committed, nor are stubs or what was compiled.
LEFT_OUT = shutil.ignore_patterns("node_modules", "stubs", "dist", "__pycache__")
COMMON_PASSWORD = "password1"
STEP_SECONDS = 60.0
# What an example may see of this process: no proxy, no credentials, no other setting.
SEEN = ("HOME", "PATH")


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the contract and the examples, to make stubs outside of the tree."""
    root = tmp_path_factory.mktemp("examples")
    for name in ("protos", "examples"):
        shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
    return root / "examples"


@pytest.fixture(scope="session")
def go_example(copy: Path) -> list[str]:
    """Build the Go example; Go keeps what it has compiled in its own cache."""
    go = shutil.which("go")
    assert go is not None, "Go, which builds the example, is not there"
    scripts = sysconfig.get_path("scripts")  # where buf is
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    _run([go, "generate"], copy / "go", **env)
    _run([go, "build", "-o", "signup"], copy / "go", **env)
    return [str(copy / "go" / "signup")]


@pytest.fixture(scope="session")
def typescript_example(copy: Path) -> list[str]:
    """Build the TypeScript example; packages come through a cache of our own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node, which runs the TypeScript example, is not there")
    cache = str(cache_directory() / "npm")
    options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    _run([npm, "ci", *options], copy / "typescript", npm_config_cache=cache)
    _run([npm, "run", "build"], copy / "typescript", npm_config_cache=cache)
    return [node, str(copy / "typescript" / "dist" / "main.js")]


@pytest.fixture(params=["synchronous", "asynchronous", "go", "typescript"])
def example(request: pytest.FixtureRequest) -> list[str]:
    """Give the command of each example."""
    python = [sys.executable, "-m", "signup_example"]
    match request.param:
        case "synchronous":
            return python
        case "asynchronous":
            return [*python, "--async"]
        case language:
            command: list[str] = request.getfixturevalue(f"{language}_example")
            return command


def test_sign_up(example: list[str], stack: Stack, address: str) -> None:
    """Through a wrong code and a poor password to a whole account, whose id it says."""
    with _signing_up(example, stack, address) as process:
        code = stack.code(address)
        wrong = wrong_codes(code, 1)
        answers = [*wrong, code, COMMON_PASSWORD, GOOD_PASSWORD]
        output, questions = process.communicate(
            "".join(f"{answer}\n" for answer in answers), STEP_SECONDS
        )

    account = stack.caller.account(email=address)
    assert (0, f"{account.identity_id}\n") == (process.returncode, output)
    assert account.complete
    assert "4 attempts left" in questions
    assert "TOO_COMMON" in questions


def test_taken_address(example: list[str], stack: Stack, address: str) -> None:
    """An address with an account learns so after its code, and no earlier."""
    stack.registered(address)
    with _signing_up(example, stack, address) as process:
        code = stack.code(address, 2)
        output, questions = process.communicate(f"{code}\n", STEP_SECONDS)

    assert (1, "") == (process.returncode, output)
    assert "has an account already" in questions


def test_refused(example: list[str], stack: Stack) -> None:
    """A failure that asking again does not mend is told by its reason."""
    with _signing_up(example, stack, f"{new_address()}.") as process:
        output, questions = process.communicate("", STEP_SECONDS)

    assert (1, "") == (process.returncode, output)
    assert "EMAIL_INVALID" in questions


@contextmanager
def _signing_up(
    example: list[str], stack: Stack, address: str
) -> Iterator[subprocess.Popen[str]]:
    """Run an example; what it left running is ended."""
    process = subprocess.Popen(  # noqa: S603 - our own example
        [*example, stack.server.target, address],
        cwd=ROOT / "examples" / "python",
        env={name: os.environ[name] for name in SEEN},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _run(command: list[str], directory: Path, **env: str) -> None:
    done = subprocess.run(  # noqa: S603 - a build of our own example
        command,
        cwd=directory,
        env=os.environ | env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert 0 == done.returncode, done.stdout

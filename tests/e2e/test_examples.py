"""The examples, run as their readers would, to an account in a real Kratos."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.binary import cache_directory
from tests.documented import ROOT, lines, shell
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wrong_codes

# node_modules are no part of what is committed, nor are stubs or what was compiled.
LEFT_OUT = shutil.ignore_patterns("node_modules", "stubs", "dist", "__pycache__")
COMMON_PASSWORD = "password1"
STEP_SECONDS = 60.0
# What an example sees of this process, besides HOME: no proxy, no credentials.
TOOLS = {
    "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
    "GOFLAGS": "-mod=readonly",
    "GOWORK": "off",
    # Packages come through a cache of our own; `npm start` adds no lines of its own.
    "npm_config_cache": str(cache_directory() / "npm"),
    "npm_config_prefer_offline": "true",
    "npm_config_ignore_scripts": "true",
    "npm_config_audit": "false",
    "npm_config_loglevel": "silent",
}


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the contract and the examples, to make stubs outside of the tree."""
    root = tmp_path_factory.mktemp("examples")
    for name in ("protos", "examples"):
        shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
    return root / "examples"


@pytest.fixture(
    scope="session", params=["python", "python --async", "go", "typescript"]
)
def example(copy: Path, request: pytest.FixtureRequest) -> tuple[list[str], Path]:
    """Build an example as documented; give its command and where that is run."""
    language, *options = request.param.split()
    if language == "typescript" and shutil.which("npm") is None:
        pytest.skip("Node, which runs the TypeScript example, is not there")
    [line] = lines("docs/integration.md", rf"\(cd examples/{language} ")
    _, *build, start = line.strip("()").split(" && ")
    done = shell("; ".join(build), copy / language, **os.environ | TOOLS)

    assert 0 == done.returncode, done.stdout + done.stderr
    return [*start.split()[:-2], *options], copy / language


def test_sign_up(example: tuple[list[str], Path], stack: Stack, address: str) -> None:
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


def test_taken_address(
    example: tuple[list[str], Path], stack: Stack, address: str
) -> None:
    """An address with an account learns so after its code, and no earlier."""
    stack.registered(address)
    with _signing_up(example, stack, address) as process:
        code = stack.code(address, 2)
        output, questions = process.communicate(f"{code}\n", STEP_SECONDS)

    assert (1, "") == (process.returncode, output)
    assert "has an account already" in questions


def test_refused(example: tuple[list[str], Path], stack: Stack) -> None:
    """A failure that asking again does not mend is told by its reason."""
    with _signing_up(example, stack, f"{new_address()}.") as process:
        output, questions = process.communicate("", STEP_SECONDS)

    assert (1, "") == (process.returncode, output)
    assert "EMAIL_INVALID" in questions


@contextmanager
def _signing_up(
    example: tuple[list[str], Path], stack: Stack, address: str
) -> Iterator[subprocess.Popen[str]]:
    """Run an example; what it left running is ended."""
    process = subprocess.Popen(  # noqa: S603 - our own example
        [*example[0], stack.server.target, address],
        cwd=example[1],
        env={"HOME": os.environ["HOME"]} | TOOLS,
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

# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Make the Python stubs in generated/kratos_signup from the .proto files.

The generators run in environments of their own, pinned below, because the versions
of protoc and of the gRPC plugin become the floors of every client: stubs made by
grpcio-tools 1.71.2 can be imported under grpcio 1.71.2 and protobuf 5.29.0 or newer.
So these move only on purpose, and never with the versions the server uses.
Equal inputs give equal bytes; `--check` compares them with what is committed.

    python protos/generate.py            wipe and rewrite generated/kratos_signup
    python protos/generate.py --check    change nothing; exit 1 on any difference
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = "kratos_signup"
COMMITTED = ROOT / "generated" / PACKAGE

# A run of protoc: the plugins with their options, and everything that they load, so
# that no release changes the output. mypy-protobuf needs a newer protobuf than
# grpcio-tools 1.71.2 can be installed with, and sets no floor.
SETUPTOOLS = "setuptools==84.2.1"
RUNS = (
    (
        {"python": "", "grpc_python": ""},
        ("grpcio-tools==1.71.2", "grpcio==1.71.2", "protobuf==5.29.6", SETUPTOOLS),
    ),
    (
        {"mypy": "quiet:", "mypy_grpc": "quiet:"},
        (
            "grpcio-tools==1.78.0",
            "mypy-protobuf==5.1.0",
            "grpcio==1.78.0",
            "protobuf==6.33.6",
            SETUPTOOLS,
            "types-protobuf==7.35.1.20260906",
            "typing-extensions==4.16.0",
        ),
    ),
)
# Those for which both grpcio-tools have wheels.
PYTHON = ">=3.11,<3.14"

# What protoc does not write. Proto path = Python path, so no import is rewritten.
WRITTEN_HERE = {
    "__init__.py": '"""Stubs of the kratos_signup contract, by version."""\n',
    "py.typed": "",
    "v1/__init__.py": '"""Stubs of the package kratos_signup.v1."""\n',
}


def find_uv() -> str:
    """Name the uv program: $UV (set by `uv run`), on PATH, or the Makefile's.

    Raises:
        SystemExit: There is none.
    """
    own = ROOT / ".tools" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which(own)
    if not found:
        sys.exit("uv is missing: put it on PATH, name it in UV, or let make fetch it.")
    return found


def generate(target: Path) -> None:
    """Write the whole package into the folder `target` / kratos_signup.

    Raises:
        SystemExit: uv or a generator failed; it has said why.
    """
    files = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    for plugins, pins in RUNS:
        outs = [f"--{name}_out={options}{target}" for name, options in plugins.items()]
        command = [
            *(find_uv(), "run", "--quiet", "--isolated", "--no-project"),
            *("--python", PYTHON, *(word for pin in pins for word in ("--with", pin))),
            *("python", "-m", "grpc_tools.protoc"),
            *(f"--proto_path={PROTOS}", *outs, *files),
        ]
        done = subprocess.run(command, check=False)  # noqa: S603 - our own words
        if done.returncode:
            sys.exit(f"the generators failed: exit {done.returncode}")
    for name, text in WRITTEN_HERE.items():
        (target / PACKAGE / name).write_text(text, encoding="utf-8", newline="\n")


def read(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files under `folder`, but Python's own caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> int:
    """Write the stubs or, with --check, compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the stubs from the protos.")
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh, committed = read(Path(scratch) / PACKAGE), read(COMMITTED)
        if not check:
            shutil.rmtree(COMMITTED, ignore_errors=True)
            shutil.copytree(Path(scratch) / PACKAGE, COMMITTED)
    names = sorted(fresh.keys() | committed.keys())
    changed = [name for name in names if fresh.get(name) != committed.get(name)]
    verb = "differs" if check else "rewritten"
    sys.stdout.writelines(f"{verb}: {PACKAGE}/{name}\n" for name in changed)
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())

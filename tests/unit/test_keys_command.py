"""``signupd keys new``."""

from __future__ import annotations

import base64
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from signupd.cli import app
from signupd.settings import load
from typer.testing import CliRunner

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*options: str) -> Result:
    """Make a key."""
    return CliRunner().invoke(app, ["keys", "new", *options])


def test_key() -> None:
    """Standard output is a key and nothing else, and another one each time."""
    first, second = new(), new()

    assert [0, 0] == [first.exit_code, second.exit_code]
    assert 32 == len(base64.b64decode(first.stdout.strip(), validate=True))
    assert first.stdout != second.stdout


def test_explained() -> None:
    """Beside it stand the settings it is for, and how to rotate."""
    done = new()

    for words in ("SIGNUPD_TOKEN_KEYS", "SIGNUPD_DIGEST_KEY", "rotate", "--out FILE"):
        assert words in done.stderr
    assert done.stdout.strip() not in done.stderr


def test_json() -> None:
    """For scripts there are the key and the settings' names, and no explanation."""
    done = new("--json")

    told = json.loads(done.stdout)
    assert ["key", "settings"] == list(told)
    assert 32 == len(base64.b64decode(told["key"]))
    assert {"SIGNUPD_TOKEN_KEYS", "SIGNUPD_DIGEST_KEY"} == set(told["settings"])
    assert "" == done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_file(folder: Path, options: list[str]) -> None:
    """In a file it is its owner's alone, whatever the mask, and is not shown."""
    mask = os.umask(0)
    try:
        done = new("--out", "key", *options)
    finally:
        os.umask(mask)

    key = (folder / "key").read_text().strip()
    assert 32 == len(base64.b64decode(key, validate=True))
    assert 0o600 == stat.S_IMODE((folder / "key").stat().st_mode)
    assert key not in done.output
    assert "key" in done.stdout
    assert ["key"] == [path.name for path in folder.iterdir()]


def test_file_serves_as_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings take such files."""
    for name in ("token_keys", "digest_key"):
        new("--out", name)
        monkeypatch.setenv(f"SIGNUPD_{name.upper()}_FILE", name)
    settings = load(None)

    assert settings.digest_key is not None
    assert settings.token_keys[0] != settings.digest_key


def test_never_overwrites(folder: Path) -> None:
    """A file that is there, a key in it perhaps, stays as it is."""
    (folder / "key").write_text("the only one")
    done = new("--out", "key")

    assert (1, "") == (done.exit_code, done.stdout)
    assert "key already exists" in done.stderr
    assert "the only one" == (folder / "key").read_text()


def test_no_folder() -> None:
    """Where no file can be made it says why, in a line."""
    done = new("--out", "none/key")

    assert (1, "") == (done.exit_code, done.stdout)
    assert "signupd: none/key: No such file or directory\n" == done.stderr

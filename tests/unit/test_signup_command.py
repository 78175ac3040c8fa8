"""``signupd signup``: its options. What it says is test_dialogue.py's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from signupd.cli import app
from signupd.cli.page import printable
from signupd.cli.signup import tls_of
from signupd.client.channel import Tls
from typer.testing import CliRunner

CA, CERT, KEY = Path("ca.pem"), Path("cert.pem"), Path("key.pem")
LOCAL, FAR = "127.0.0.1:50051", "signup.example:443"


@pytest.mark.parametrize(
    ("target", "files", "insecure", "expected"),
    [
        (LOCAL, Tls(), False, None),
        ("unix:/run/signupd.sock", Tls(), False, None),
        ("[::1]:1", Tls(), False, None),
        (LOCAL, Tls(CA), False, Tls(CA)),
        (LOCAL, Tls(None, CERT, KEY), False, Tls(None, CERT, KEY)),
        (FAR, Tls(), False, Tls()),
        (FAR, Tls(CA, CERT, KEY), False, Tls(CA, CERT, KEY)),
        (FAR, Tls(), True, None),
        ("10.0.0.1:50051", Tls(), False, Tls()),
    ],
)
def test_tls(target: str, files: Tls, *, insecure: bool, expected: Tls | None) -> None:
    """Plaintext is for this machine, or where it is asked for."""
    assert expected == tls_of(target, files, insecure=insecure)


@pytest.mark.parametrize(
    ("files", "insecure"),
    [
        (Tls(None, CERT), False),
        (Tls(None, None, KEY), False),
        (Tls(CA, CERT), False),
        (Tls(CA), True),
        (Tls(CA, CERT, KEY), True),
    ],
)
def test_options_that_contradict(files: Tls, *, insecure: bool) -> None:
    """A certificate needs its key, and plaintext has no use for either."""
    with pytest.raises(typer.BadParameter):
        tls_of(FAR, files, insecure=insecure)


@pytest.mark.parametrize("traits", ["", "{", "[]", "3", "null", '"name"'])
def test_traits_that_are_none(traits: str) -> None:
    """Traits are a JSON object; what is none is not repeated."""
    options = ["signup", "--target", LOCAL, "--traits", traits]
    done = CliRunner().invoke(app, options)

    assert 2 == done.exit_code
    assert "is not a JSON object" in done.stderr


def test_no_target() -> None:
    """The server must be named."""
    assert 2 == CliRunner().invoke(app, ["signup"]).exit_code


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named, and nothing asked."""
    missing = tmp_path / "ca.pem"
    done = CliRunner().invoke(app, ["signup", "--target", FAR, "--ca", str(missing)])

    assert (1, "") == (done.exit_code, done.stdout)
    assert f"signupd: {missing}: No such file or directory\n" == done.stderr


def test_password_from_a_pipe() -> None:
    """Where there is no terminal a hidden answer is read like any other."""
    ask = (
        "from signupd.cli.terminal import StandardTerminal;"
        "print(StandardTerminal().ask_hidden('?'))"
    )
    done = subprocess.run(  # noqa: S603 - the words are this module's own
        (sys.executable, "-W", "error", "-c", ask),
        input=" a b \n",
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )

    assert ("? a b \n", "") == (done.stdout, done.stderr)


def test_printable() -> None:
    """What a server says moves no cursor and starts no colour."""
    assert "�[31mred�" == printable("\x1b[31mred\x07")
    assert "Übung, 例" == printable("Übung, 例")

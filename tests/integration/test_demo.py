"""The demo and the running stack, as far as they go without a Kratos."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import paste
from devstack.foreign import ForeignKratos, ForeignKratosError
from devstack.page import MAX_COLUMNS, Page
from devstack.places import is_free
from devstack.ports import LOOPBACK, free_ports

ROOT = Path(__file__).parent.parent.parent
URLS = {"KRATOS_PUBLIC_URL": "http://a:1/", "KRATOS_ADMIN_URL": "http://b:2"}


class TestSetUp:
    """What a newcomer meets: one clear message, exit code 1, no traceback."""

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            ({"PATH": ""}, "Go is not installed."),
            ({"KRATOS_BIN": "/nowhere"}, "KRATOS_BIN names no executable file"),
            ({"KRATOS_ADMIN_URL": "http://a:1"}, "KRATOS_PUBLIC_URL is not set"),
            (
                {
                    "KRATOS_PUBLIC_URL": "http://127.0.0.1:1",
                    "KRATOS_ADMIN_URL": "http://127.0.0.1:1",
                },
                "No Kratos answers at KRATOS_PUBLIC_URL",
            ),
        ],
    )
    def test_message(
        self, tmp_path: Path, environment: dict[str, str], message: str
    ) -> None:
        """The message says what is missing; nothing in it is for terminals only."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KRATOS_", "SIGNUPD_"))
        }
        ran = subprocess.run(
            [sys.executable, "-m", "devstack.demo"],
            cwd=ROOT,
            env=clean | {"XDG_CACHE_HOME": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (1, "") == (ran.returncode, ran.stderr)
        assert f"✗ {message}" in ran.stdout
        assert "\x1b" not in ran.stdout


class TestForeignKratos:
    """A Kratos that the environment names."""

    def test_none(self) -> None:
        """Without the URLs there is none."""
        assert ForeignKratos.named({"SIGNUPD_HOOK_KEY": "k"}) is None

    def test_both(self) -> None:
        """Both URLs name one; its hooks come in at the contract's default."""
        named = ForeignKratos.named(URLS)

        assert named is not None
        assert ("http://a:1", "http://b:2") == (named.public_url, named.admin_url)
        assert "127.0.0.1:9465" == named.hook_listen

    def test_hooks(self) -> None:
        """Where its hooks point and their key are handed down, and nothing else."""
        hooks = {"SIGNUPD_HOOK_LISTEN": "127.0.0.1:7", "SIGNUPD_HOOK_KEY": "k"}
        named = ForeignKratos.named(URLS | hooks | {"SIGNUPD_LISTEN": "127.0.0.1:8"})

        assert named is not None
        assert {"HOOK_LISTEN": "127.0.0.1:7", "HOOK_KEY": "k"} == named.settings

    @pytest.mark.parametrize("missing", URLS)
    def test_one(self, missing: str) -> None:
        """One URL alone is a mistake, and the message names the missing one."""
        environ = {name: url for name, url in URLS.items() if name != missing}

        with pytest.raises(ForeignKratosError, match=f"{missing} is not set"):
            ForeignKratos.named(environ)


class TestPage:
    """Claims, checked."""

    def test_held(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A true claim is counted and shows what was seen."""
        page = Page()

        assert page.claim("Mails", 1, 1)
        assert (1, 0) == (page.held, page.failed)
        assert "✓ Mails: 1\n" == capsys.readouterr().out

    def test_failed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A false claim is counted and shows both what was expected and seen."""
        page = Page()

        assert not page.claim("Mails", 1, 2)
        assert (0, 1) == (page.held, page.failed)
        assert ["✗ Not so: Mails", "  expected  1", "  seen      2"] == [
            line.rstrip() for line in capsys.readouterr().out.splitlines()
        ]


class TestPaste:
    """The commands that the running stack prints."""

    @pytest.mark.parametrize("name", ["continuation_token", "continuationToken"])
    def test_token(self, name: str) -> None:
        """The shell function keeps the token of an answer and shows the answer."""
        answer = f'{{\n  "{name}":  "AQ_-9",\n  "signup": {{"state": "X"}}\n}}\n'
        function = paste.START.partition("\nTOKEN=")[0]
        ran = subprocess.run(  # noqa: S603 - our own script
            ["/bin/sh", "-c", f"{function}\ntoken"],
            input=answer,
            capture_output=True,
            text=True,
            check=True,
        )

        assert ("AQ_-9\n", answer) == (ran.stdout, ran.stderr)

    def test_columns(self) -> None:
        """No line is broken on a terminal of the usual width."""
        blocks = paste.blocks("127.0.0.1:50051", "http://127.0.0.1:4434")
        lines = [
            line for block in blocks for text in block for line in text.split("\n")
        ]

        assert max(map(len, lines)) <= MAX_COLUMNS


def test_is_free() -> None:
    """A port is free until somebody listens on it."""
    (port,) = free_ports(1)
    before = is_free(port)
    with socket.create_server((LOOPBACK, port)):
        meanwhile = is_free(port)

    assert (True, False) == (before, meanwhile)

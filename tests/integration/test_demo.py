"""The demo and the running stack, as far as they go without a Kratos."""

import os
import re
import smtplib
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from devstack import inbox
from devstack.foreign import ForeignKratos
from devstack.inbox import open_inbox
from devstack.mailbox import Mailbox
from devstack.page import Page
from devstack.ports import free_ports

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

    def test_hooks(self) -> None:
        """Where its hooks point and their key are handed down, and nothing else."""
        hooks = {"SIGNUPD_HOOK_LISTEN": "127.0.0.1:7", "SIGNUPD_HOOK_KEY": "k"}
        named = ForeignKratos.named(URLS | hooks | {"SIGNUPD_LISTEN": "127.0.0.1:8"})

        assert named is not None
        assert {"HOOK_LISTEN": "127.0.0.1:7", "HOOK_KEY": "k"} == named.settings


def test_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailbox page shows mails as text, whatever is in them, the newest first."""
    with Mailbox() as mailbox, open_inbox(mailbox, free_ports(1)[0]) as url:
        host, port = mailbox.uri.split("/")[2].split(":")
        for code, subject in (("1234", "Grüße"), ("5678", "<script>")):
            mail = EmailMessage()
            mail["Subject"] = subject
            mail.set_content(f"<b>&\n\n    {code}\n")
            with smtplib.SMTP(host, int(port)) as sender:
                sender.send_message(mail, "a@example.com", "a&b@example.com")
        monkeypatch.setattr(inbox, "SHOWN", 1)
        newest = httpx.get(url, trust_env=False).text
        monkeypatch.undo()
        shown = httpx.get(url, trust_env=False).text

    assert "Mails: 2. The newest 1 are shown." in newest
    assert "Grüße" not in newest
    assert "Mails: 2.</p>" in shown
    assert ["5678", "1234"] == re.findall(r"<code.*?>(\d+)</code>", shown)
    assert ["&lt;script&gt;", "Grüße"] == re.findall(r"<h2>(.*)</h2>", shown)
    assert 2 == shown.count("&lt;b&gt;&amp;")
    assert 2 == shown.count("To a&amp;b@example.com")


class TestPage:
    """Claims, checked."""

    def test_claims(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Claims are counted; a false one shows what was expected and what was seen."""
        page = Page()

        assert (True, False) == (page.claim("Mails", 1, 1), page.claim("Codes", 1, 2))
        assert (1, 1) == (page.held, page.failed)
        assert ["✓ Mails: 1", "✗ Not so: Codes", "  expected  1", "  seen      2"] == [
            line.rstrip() for line in capsys.readouterr().out.splitlines()
        ]

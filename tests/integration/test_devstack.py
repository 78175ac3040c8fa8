"""The development stack, as far as it goes without a Kratos."""

import smtplib
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
import yaml

from devstack.binary import KRATOS_DIRECTORY, KratosMissingError, kratos_binary
from devstack.config import KratosConfig
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox, MailMissingError
from devstack.process import TETHER, ServerFailedError

MakeProgram = Callable[[str, str], Path]

GO_VERSION = "go1.24.0"

# Speaks as much of go as a build asks for: two packages to compile.
GO = f"""
case "$1 $3 $4" in
  "env "*) echo {GO_VERSION} ;;
  "list -m "*) echo v1.3.1 ;;
  "list "*) printf 'go: downloading one\\nfirst\\nsecond\\n' ;;
  "build "*)
    printf 'go: downloading two\\nfirst\\nsecond\\n' >&2
    for word; do case $word in -o=*) echo built > "${{word#-o=}}" ;; esac; done
    exit "${{GO_EXIT:-0}}" ;;
esac
"""


@pytest.fixture
def make_program(tmp_path: Path) -> MakeProgram:
    """Write a shell script that can be run by its name or its path."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o700)
        return path

    return make


@pytest.fixture
def cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_program: MakeProgram
) -> Path:
    """Give an empty cache, and a go that is a double."""
    go = make_program("go", GO)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KRATOS_BIN", raising=False)
    return tmp_path / "cache" / "kratos-signup"


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    """Open a mailbox that keeps its mails in a directory as well."""
    with Mailbox(tmp_path / "mails") as opened:
        yield opened


@pytest.fixture
def config() -> KratosConfig:
    """Configure a Kratos that is never started."""
    return KratosConfig(
        hook_url="http://127.0.0.1:5", smtp_uri="smtp://127.0.0.1:6/", ports=(7, 8)
    )


def post(mailbox: Mailbox, to: str, text: str) -> None:
    """Send a mail."""
    message = EmailMessage()
    message["From"] = "no-reply@example.com"
    message["To"] = to
    message.set_content(text)
    port = int(mailbox.uri.split(":")[2].split("/")[0])
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message)


class TestBinary:
    """Named, cached or built; go is a double."""

    def test_named(
        self, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """KRATOS_BIN is taken as it is."""
        program = make_program("kratos", "")
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("KRATOS_BIN", str(program))

        assert program == kratos_binary()

    def test_built_once(self, cache: Path) -> None:
        """A build counts its packages and leaves one file, for the next call."""
        counts: list[tuple[int, int]] = []
        first = kratos_binary(lambda *count: counts.append(count))
        again = kratos_binary(lambda *_: pytest.fail("built again"))

        assert first == again
        assert [first] == [one for one in cache.iterdir() if one.suffix != ".lock"]
        assert "built\n" == first.read_text()
        # Downloads are not counted.
        assert [(0, 1), (0, 2), (1, 2), (2, 2)] == counts

    def test_failed_build(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A failed build shows what go said and leaves no binary."""
        monkeypatch.setenv("GO_EXIT", "1")

        with pytest.raises(KratosMissingError, match=r"(?s)go build.*second.*KRATOS_B"):
            kratos_binary()
        assert [] == [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_config(
    config: KratosConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are written for their owner alone, and Kratos gets no variable of ours."""
    # Kratos would take it for a setting.
    monkeypatch.setenv("LOG_LEVEL", "trace")
    path, environment = config.write(tmp_path), config.environment(tmp_path)
    files = (path, tmp_path / "secrets.json")

    assert [0o600, 0o600] == [stat.S_IMODE(file.stat().st_mode) for file in files]
    assert "LOG_LEVEL" not in environment
    assert environment == config.environment(tmp_path)


def test_reference() -> None:
    """It has our two methods, each with its hook, and no secrets."""
    reference = yaml.safe_load((KRATOS_DIRECTORY / "kratos.yml").read_text())
    methods = reference["selfservice"]["methods"]
    mails = [
        (KRATOS_DIRECTORY / f"mail/registration_code/body.{kind}.gotmpl").read_text()
        for kind in ("txt", "html")
    ]

    assert {"code", "password"} == {
        name for name, method in methods.items() if method["enabled"]
    }
    assert {"code", "password"} == set(
        reference["selfservice"]["flows"]["registration"]["after"]
    )
    assert "15m" == methods["code"]["config"]["lifespan"]
    assert all("15 minutes" in one and "15 Minuten" in one for one in mails)
    assert {"secrets", "dsn"}.isdisjoint(reference)
    assert "connection_uri" not in reference["courier"]["smtp"]


class TestMailbox:
    """Over real SMTP."""

    def test_wait(self, mailbox: Mailbox, tmp_path: Path) -> None:
        """Waiting for the second mail ends when it comes; all are kept in files."""
        post(mailbox, "ann@example.com", "It is valid for 15 minutes of 2026.")
        post(mailbox, "bob@example.com", "not hers")
        late = threading.Thread(target=post, args=(mailbox, "ann@example.com", "2nd"))
        late.start()
        mail = mailbox.wait_for("ann@example.com", count=2)
        late.join()
        first, second = mailbox.mails_to("ann@example.com")

        assert ("2nd\n", "2nd\n", "") == (mail.text, second.text, first.code)
        assert ["0001.eml", "0002.eml", "0003.eml"] == sorted(
            path.name for path in (tmp_path / "mails").iterdir()
        )
        with pytest.raises(MailMissingError, match="2 of 3 mails"):
            mailbox.wait_for("ann@example.com", 3, timeout_seconds=0.01)


class TestKratos:
    """A process that fails, and one that must not be left behind."""

    @pytest.mark.parametrize(
        ("script", "what"),
        [
            ("echo no such table; exit 1", "could not migrate.*no such table"),
            ('[ "$1" = migrate ] || { echo port taken; exit 1; }', "ended.*port taken"),
        ],
    )
    def test_failure(
        self, make_program: MakeProgram, config: KratosConfig, script: str, what: str
    ) -> None:
        """A Kratos that does not come up is an error that ends with its log."""
        kratos = Kratos(make_program("kratos", script), config)

        with pytest.raises(ServerFailedError, match=f"(?s){what}"), kratos:
            pass
        assert kratos.pid is None
        assert not kratos.directory.exists()

    def test_tether(self) -> None:
        """A tethered program dies when its parent is killed."""
        # Both write to the pipe; when it ends, neither is left.
        starter = (
            "import os, subprocess, sys;"
            f"subprocess.run([sys.executable, {str(TETHER)!r}, str(os.getpid()),"
            "'/bin/sh', '-c', 'echo up; exec sleep 100'])"
        )
        with subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", starter], stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            up = parent.stdout.readline()
            parent.kill()
            rest = parent.stdout.read()

        assert (b"up\n", b"") == (up, rest)

"""The development stack, as far as it goes without a Kratos."""

import smtplib
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.binary import (
    KRATOS_DIRECTORY,
    KratosMissingError,
    cache_directory,
    cache_key,
    kratos_binary,
)
from devstack.config import KratosConfig
from devstack.kratos import TETHER, Kratos, KratosFailedError
from devstack.mailbox import Mailbox, MailMissingError
from devstack.ports import free_ports

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
    """Send a mail with a text and an HTML part."""
    message = EmailMessage()
    message["Subject"] = "Ihr Bestätigungscode"
    message["From"] = "no-reply@example.com"
    message["To"] = to
    message.set_content(text)
    message.add_alternative("<p>Grüße</p>", subtype="html")
    port = int(mailbox.uri.split(":")[2].split("/")[0])
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message)


def strings(value: Any) -> Iterator[str]:
    """Walk through all strings of a configuration."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


class TestBinary:
    """Named, cached or built; go is a double."""

    def test_named(
        self, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """KRATOS_BIN is taken as it is, Go or no Go."""
        program = make_program("kratos", "")
        monkeypatch.setenv("KRATOS_BIN", str(program))
        monkeypatch.setenv("PATH", "")

        assert program == kratos_binary()

    def test_named_wrongly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A KRATOS_BIN that cannot be run is said to be the reason."""
        monkeypatch.setenv("KRATOS_BIN", str(tmp_path))

        with pytest.raises(KratosMissingError, match="KRATOS_BIN names no executable"):
            kratos_binary()

    @pytest.mark.parametrize(
        "way",
        ["install Go", "KRATOS_BIN", "KRATOS_PUBLIC_URL and KRATOS_ADMIN_URL"],
    )
    def test_three_ways(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        """Without Go the error names every way to a Kratos."""
        monkeypatch.setenv("PATH", "")

        with pytest.raises(KratosMissingError, match=way):
            kratos_binary()

    def test_built_once(self, cache: Path) -> None:
        """A build leaves one file in the cache, and the next call finds it."""
        first, again = kratos_binary(), kratos_binary(on_line=pytest.fail)
        kept = [path for path in cache.iterdir() if path.suffix != ".lock"]

        assert first == again
        assert [first] == kept
        assert "built\n" == first.read_text()

    def test_older_binaries_stay(self, cache: Path) -> None:
        """A binary of another key is left alone."""
        cache.mkdir(parents=True)
        older = cache / "kratos-0123456789abcdef"
        older.write_text("older")

        assert older != kratos_binary()
        assert "older" == older.read_text()

    def test_progress(self, cache: Path) -> None:
        """Packages are counted, downloads are only told."""
        lines: list[str] = []
        counts: list[tuple[int, int]] = []
        kratos_binary(lines.append, lambda *count: counts.append(count))

        assert [(1, 2), (2, 2)] == counts
        assert "go: downloading one" in lines
        assert "go: downloading two" in lines

    def test_failed_build(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A failed build shows what go said and leaves no binary."""
        monkeypatch.setenv("GO_EXIT", "1")

        with pytest.raises(KratosMissingError, match=r"(?s)go build.*second.*KRATOS_B"):
            kratos_binary()
        assert [] == [path for path in cache.iterdir() if path.suffix != ".lock"]

    @pytest.mark.parametrize("changed", ["go.mod", "go.sum", "Go"])
    def test_cache_key(self, tmp_path: Path, changed: str) -> None:
        """The key follows go.mod, go.sum and the Go version."""
        for name in ("go.mod", "go.sum"):
            (tmp_path / name).write_text("pinned")
        before = cache_key(tmp_path, GO_VERSION)
        same = cache_key(tmp_path, GO_VERSION)
        if changed != "Go":
            (tmp_path / changed).write_text("pinned differently")
        after = cache_key(tmp_path, "go9" if changed == "Go" else GO_VERSION)

        assert before == same
        assert before != after

    @pytest.mark.parametrize("value", ["", "relative/cache"])
    def test_default_cache(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """Without an absolute XDG_CACHE_HOME the cache is in the home directory."""
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("HOME", "/home/somebody")

        assert Path("/home/somebody/.cache/kratos-signup") == cache_directory()


class TestConfig:
    """The reference configuration, rendered for this machine."""

    def test_hooks(self, config: KratosConfig) -> None:
        """Both hooks point at the given server, keep their paths and are parsed."""
        after = config.render()["selfservice"]["flows"]["registration"]["after"]
        last = {kind: after[kind]["hooks"][-1]["config"] for kind in after}

        assert {
            "code": "http://127.0.0.1:5/kratos/code",
            "password": "http://127.0.0.1:5/kratos/password",
        } == {kind: hook["url"] for kind, hook in last.items()}
        assert all(hook["response"] == {"parse": True} for hook in last.values())

    def test_files(self, config: KratosConfig) -> None:
        """Every file that the reference configuration names is put in its place."""
        texts = list(strings(config.render()))

        assert 6 == len([one for one in texts if one.startswith("base64://")])
        assert [] == [one for one in texts if one.startswith("file://")]

    def test_ports(self, config: KratosConfig) -> None:
        """The ports are in the addresses and in the configuration."""
        serve = config.render()["serve"]

        assert "http://127.0.0.1:7" == config.public_url
        assert "http://127.0.0.1:8" == config.admin_url
        assert (7, "http://127.0.0.1:7/") == (
            serve["public"]["port"],
            serve["public"]["base_url"],
        )
        assert 8 == serve["admin"]["port"]

    def test_secrets(self, config: KratosConfig, tmp_path: Path) -> None:
        """Secrets go by the environment; the file is private and holds none."""
        path = config.write(tmp_path)
        environment = config.environment(tmp_path)

        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        assert 32 == len(environment["SECRETS_CIPHER"])
        assert environment["SECRETS_CIPHER"] != environment["SECRETS_COOKIE"]
        for name in ("DSN", "SECRETS_COOKIE", "SECRETS_CIPHER"):
            assert environment[name] not in path.read_text()

    def test_environment(
        self, config: KratosConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables that Kratos would take for settings are not handed down."""
        monkeypatch.setenv("LOG_LEVEL", "trace")

        assert "LOG_LEVEL" not in config.environment(tmp_path)

    def test_mutation(self, tmp_path: Path) -> None:
        """A test can break the configuration."""

        def unhook(config: dict[str, Any]) -> None:
            del config["selfservice"]["flows"]["registration"]["after"]

        path = KratosConfig(hook_url="", smtp_uri="", mutate=unhook).write(tmp_path)
        written = yaml.safe_load(path.read_text())

        assert "after" not in written["selfservice"]["flows"]["registration"]


class TestReference:
    """What the reference configuration promises to the service."""

    @pytest.fixture
    def reference(self) -> dict[str, Any]:
        """Read the reference configuration as it is."""
        loaded: dict[str, Any] = yaml.safe_load(
            (KRATOS_DIRECTORY / "kratos.yml").read_text()
        )
        return loaded

    def test_methods(self, reference: dict[str, Any]) -> None:
        """Code and password are the only methods, and each has its hook."""
        methods = reference["selfservice"]["methods"]
        hooked = reference["selfservice"]["flows"]["registration"]["after"]

        assert {"code", "password"} == {
            name for name, method in methods.items() if method["enabled"]
        }
        assert {"code", "password"} == set(hooked)

    @pytest.mark.parametrize("kind", ["txt", "html"])
    def test_code_lifespan(self, reference: dict[str, Any], kind: str) -> None:
        """The mail names the lifespan that codes have, in both languages."""
        lifespan = reference["selfservice"]["methods"]["code"]["config"]["lifespan"]
        body = KRATOS_DIRECTORY / f"mail/registration_code/body.{kind}.gotmpl"

        assert "15m" == lifespan
        assert "15 minutes" in body.read_text()
        assert "15 Minuten" in body.read_text()

    def test_no_secrets(self, reference: dict[str, Any]) -> None:
        """No secret, no database and no mail server is committed."""
        assert {"secrets", "dsn"}.isdisjoint(reference)
        assert "connection_uri" not in reference["courier"]["smtp"]


class TestMailbox:
    """Over real SMTP."""

    def test_mail(self, mailbox: Mailbox) -> None:
        """A mail is decoded, its code found, and the address compared in any case."""
        post(mailbox, "ann@example.com", "Für Sie:\n\n    012345\n\n15 Minuten.")
        mail = mailbox.wait_for("Ann@Example.com")

        assert "ann@example.com" == mail.to
        assert "Ihr Bestätigungscode" == mail.subject
        assert "012345" == mail.code
        assert mail.text.startswith("Für Sie:\n")
        assert "<p>Grüße</p>" == mail.html.strip()

    def test_no_code(self, mailbox: Mailbox) -> None:
        """Digits within a sentence are no code."""
        post(mailbox, "ann@example.com", "It is valid for 15 minutes of 2026.")

        assert "" == mailbox.wait_for("ann@example.com").code

    def test_wait(self, mailbox: Mailbox) -> None:
        """Waiting for the second mail ends when it comes, and gives the second."""
        post(mailbox, "ann@example.com", "first")
        post(mailbox, "bob@example.com", "not hers")
        late = threading.Thread(target=post, args=(mailbox, "ann@example.com", "2nd"))
        late.start()
        mail = mailbox.wait_for("ann@example.com", count=2)
        late.join()

        assert "2nd\n" == mail.text
        assert ["first\n", "2nd\n"] == [
            one.text for one in mailbox.mails_to("ann@example.com")
        ]

    def test_missing(self, mailbox: Mailbox) -> None:
        """A mail that does not come is an error."""
        with pytest.raises(MailMissingError, match="0 of 1 mails"):
            mailbox.wait_for("ann@example.com", timeout_seconds=0.01)

    def test_kept(self, mailbox: Mailbox, tmp_path: Path) -> None:
        """Each mail is written into the directory too."""
        post(mailbox, "ann@example.com", "first")
        post(mailbox, "bob@example.com", "second")

        assert ["0001.eml", "0002.eml"] == sorted(
            path.name for path in (tmp_path / "mails").iterdir()
        )


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

        with pytest.raises(KratosFailedError, match=f"(?s){what}"), kratos:
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


def test_free_ports() -> None:
    """Free ports differ from each other."""
    assert 20 == len(set(free_ports(20)))

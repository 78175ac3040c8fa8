"""The log: what it hides, and that libraries' lines come the same way."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from kratos_signup.v1 import account_service_pb2, signup_service_pb2
from opentelemetry.util.re import parse_env_headers
from signupd import logs
from signupd.logs import SECRET_NAMES, redact
from signupd.settings import SECRETS
from signupd.signup.sealed import Contents
from signupd.signup.start import StartRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


PASSWORD = "plum-violin-harbor-42"


@pytest.fixture
def _restored() -> Iterator[None]:
    """Give the process its own logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def broken(password: str) -> None:
    """Fail with a secret in hand."""
    raise LookupError(len(password))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read what was written, one JSON object a line."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("name", sorted(SECRET_NAMES))
def test_redacted(name: str) -> None:
    """The value of a secret name is hidden, whatever it is."""
    event = redact(None, "info", {"event": "x", name: {"hunter2": 1}, "why": "y"})

    assert {"event": "x", name: "[redacted]", "why": "y"} == event


def test_not_redacted() -> None:
    """Other names are left alone."""
    event = {"event": "signup_started", "signup_id": "1", "path": "/kratos/code"}

    assert event == redact(None, "info", dict(event))


def test_secret_names() -> None:
    """What callers mark as secret in the contract has its name here."""
    messages = [
        message
        for file in (signup_service_pb2, account_service_pb2)
        for message in file.DESCRIPTOR.message_types_by_name.values()
    ]
    marked = {
        field.name
        for message in messages
        for field in message.fields
        if field.GetOptions().debug_redact
    }

    assert {"code", "client_ip", "password"} < marked
    assert set() == marked - SECRET_NAMES


def test_secret_settings() -> None:
    """Settings that are secret have their names here, too."""
    assert set() == set(SECRETS) - SECRET_NAMES


@pytest.mark.usefixtures("_restored")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is one JSON object with event, level and time; secrets are hidden."""
    log = logs.configure(json=True, level="info")
    log.info("signup_started", signup_id="1", email="ann@example.com")
    (line,) = lines(capsys)

    assert line.pop("timestamp").endswith("Z")
    assert {
        "event": "signup_started",
        "level": "info",
        "signup_id": "1",
        "email": "[redacted]",
    } == line


class FullDisk(io.StringIO):
    """A file that nothing more goes into."""

    def flush(self) -> None:
        """Find out."""
        raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("closed", [True, False])
def test_nobody_reads(monkeypatch: pytest.MonkeyPatch, *, closed: bool) -> None:
    """A line that cannot be written is lost, and nothing else."""
    stream = io.StringIO() if closed else FullDisk()
    monkeypatch.setattr(sys, "stderr", stream)
    log = logs.configure(json=True, level="info")
    if closed:
        stream.close()
    log.info("signup_started")

    assert closed == stream.closed


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(
    capsys: pytest.CaptureFixture[str], level: str, expected: list[str]
) -> None:
    """The level is the lowest that is written."""
    log = logs.configure(json=True, level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")

    assert expected == [line["level"] for line in lines(capsys)]


@pytest.mark.usefixtures("_restored")
def test_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of libraries come the same way, from warnings on."""
    logs.configure(json=True, level="debug")
    logging.getLogger("aiohttp.access").info("GET /secret")
    logging.getLogger("sqlalchemy").warning("pool is %s", "full")
    (line,) = lines(capsys)

    assert ("pool is full", "warning") == (line["event"], line["level"])


LIBRARIES = (
    *("aiohttp", "alembic", "asyncio", "grpc", "httpcore", "httpx"),
    *("opentelemetry", "psycopg", "sqlalchemy", "urllib3"),
)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("name", [f"{one}.part" for one in LIBRARIES])
def test_libraries_are_never_at_debug(name: str) -> None:
    """Whatever our level is, libraries say no more than warnings: they log requests."""
    logs.configure(json=True, level="debug")

    assert logging.WARNING == logging.getLogger(name).getEffectiveLevel()


@pytest.mark.usefixtures("_restored")
def test_malformed_headers_of_the_collector(capsys: pytest.CaptureFixture[str]) -> None:
    """A key for the collector that is set wrongly is complained of, and not shown."""
    logs.configure(json=True, level="debug")
    parse_env_headers("authorization: Bearer hunter2")
    (line,) = lines(capsys)

    assert line["event"].startswith("Header format invalid!")
    assert "hunter2" not in json.dumps(line)


@pytest.mark.usefixtures("_restored")
def test_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect's traceback is one field, and shows no variables."""
    log = logs.configure(json=True, level="info")
    try:
        broken(PASSWORD)
    except LookupError:
        log.exception("defect", method="/x")
    (line,) = lines(capsys)

    assert "LookupError" in line["exception"]
    assert PASSWORD not in json.dumps(line)


@pytest.mark.usefixtures("_restored")
def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal it is a line to read, with the same things hidden."""
    log = logs.configure(json=False, level="info")
    log.warning("settled", state="completed", password="hunter2")
    text = capsys.readouterr().err

    assert "settled" in text
    assert "completed" in text
    assert "hunter2" not in text


@pytest.mark.usefixtures("_restored")
def test_console_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal a traceback shows no variables either."""
    log = logs.configure(json=False, level="info")
    try:
        broken(PASSWORD)
    except LookupError:
        log.exception("defect")
    text = capsys.readouterr().err

    assert "LookupError" in text
    assert PASSWORD not in text


def test_values_show_nobody() -> None:
    """Values that hold a person's data do not show them."""
    contents = Contents("ann@example.com", {"email": "ann@example.com"}, "de", "flow-1")
    request = StartRequest("ann@example.com", {"name": "Ann"}, "de", None)

    assert "Contents(...)" == repr(contents)
    assert "ann" not in repr(request).lower()

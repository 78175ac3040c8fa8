"""The log: what it hides, and that libraries' lines are written alike."""

import errno
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import structlog
from kratos_signup.v1 import account_service_pb2, signup_service_pb2
from opentelemetry.util.re import parse_env_headers
from signupd.sealing import Contents
from signupd.signup.start import StartRequest
from signupd.sources import SECRETS
from signupd.telemetry import logs
from signupd.telemetry.logs import SECRET_NAMES

PASSWORD = "plum-violin-harbor-42"
LIBRARIES = (
    *("aiohttp", "alembic", "asyncio", "httpcore", "httpx"),
    *("opentelemetry", "psycopg", "sqlalchemy", "urllib3"),
)


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the logging of the process, which must not end the tests."""
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail(f"exit {code}"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("grpc").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read what was written, one JSON object a line."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is one JSON object with event, level and time."""
    log = logs.configure(json=True, level="info")
    log.info("signup_started", signup_id="1", path="/kratos/code")
    (line,) = lines(capsys)

    assert line.pop("timestamp").endswith("Z")
    assert {
        "event": "signup_started",
        "level": "info",
        "signup_id": "1",
        "path": "/kratos/code",
    } == line


def test_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    """Hidden is what the contract marks as secret, and so are secret settings."""
    log = logs.configure(json=True, level="info")
    log.info("x", why="y", **{name: {"hunter2": 1} for name in SECRET_NAMES})
    (line,) = lines(capsys)
    marked = {
        field.name
        for file in (signup_service_pb2, account_service_pb2)
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.GetOptions().debug_redact
    }

    assert {"code", "client_ip", "password"} < marked
    assert {*marked, *SECRETS} <= {k for k, v in line.items() if v == "[redacted]"}
    assert "y" == line["why"]


class FullDisk(io.StringIO):
    """A file on a full disk."""

    def flush(self) -> None:
        """Find out."""
        raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.parametrize("closed", [True, False])
def test_nobody_reads(monkeypatch: pytest.MonkeyPatch, *, closed: bool) -> None:
    """A line that cannot be written is dropped, and nothing fails."""
    stream = io.StringIO() if closed else FullDisk()
    monkeypatch.setattr(sys, "stderr", stream)
    log = logs.configure(json=True, level="info")
    if closed:
        stream.close()
    log.info("signup_started")

    assert closed == stream.closed


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """The level is the lowest that is written."""
    log = logs.configure(json=True, level=level)
    names = ["debug", "info", "warning", "error"]
    for name in names:
        getattr(log, name)("x")

    assert names[names.index(level) :] == [line["level"] for line in lines(capsys)]


def test_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries' lines look alike. grpc's, and those below warnings, show requests."""
    logs.configure(json=True, level="debug")
    logging.getLogger("grpc._cython.cygrpc").error("Invalid encoding on %s", b"secret")
    logging.getLogger("aiohttp.access").info("GET /secret")
    logging.getLogger("sqlalchemy").warning("pool is %s", "full")
    (line,) = lines(capsys)

    assert ("pool is full", "warning") == (line["event"], line["level"])
    for name in LIBRARIES:
        assert logging.WARNING == logging.getLogger(f"{name}.x").getEffectiveLevel()


def test_malformed_headers_of_the_collector(capsys: pytest.CaptureFixture[str]) -> None:
    """The SDK's warning of a malformed key for the collector does not show the key."""
    logs.configure(json=True, level="debug")
    parse_env_headers("authorization: Bearer hunter2")
    (line,) = lines(capsys)

    assert line["event"].startswith("Header format invalid!")
    assert "hunter2" not in json.dumps(line)


def broken(password: str) -> None:
    """Fail with a secret in a variable."""
    raise LookupError(len(password))


@pytest.mark.parametrize("as_json", [True, False])
def test_exceptions(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    """A traceback shows no variables, in JSON and on a terminal."""
    log = logs.configure(json=as_json, level="info")
    try:
        broken(PASSWORD)
    except LookupError:
        log.exception("defect", method="/x", password="hunter2")
    text = capsys.readouterr().err

    assert "LookupError" in text
    assert "defect" in text
    assert [] == [secret for secret in (PASSWORD, "hunter2") if secret in text]
    assert as_json is (1 == len(text.splitlines()))


def test_values_show_nobody() -> None:
    """Values that hold a person's data do not show them."""
    contents = Contents("ann@example.com", {"email": "ann@example.com"}, "de", "flow-1")
    request = StartRequest("ann@example.com", {"name": "Ann"}, "de", None)

    assert "Contents(...)" == repr(contents)
    assert "ann" not in repr(request).lower()


def test_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that cannot wait are dropped and counted; the others are written."""
    dropped: list[None] = []
    log = logs.configure(json=True, level="info")
    (handler,) = logging.getLogger().handlers
    with (
        logs.written_by_a_thread(lambda: dropped.append(None), print, max_lines=2),
        # The thread can take one line, and then waits for this lock.
        handler.lock or nullcontext(),
    ):
        for number in range(5):
            log.info("x", number=number)
    written = [line["number"] for line in lines(capsys)]

    assert written == sorted(written)
    assert 2 <= len(written) <= 3
    assert 5 == len(written) + len(dropped)


def test_errors_are_counted() -> None:
    """Each error is told by its event, those of libraries as one, and no warning."""
    failed: list[str] = []
    log = logs.configure(json=True, level="info")
    with logs.written_by_a_thread(pytest.fail, failed.append):
        log.warning("not_swept")
        log.error("account_left", why="x")
        logging.getLogger("asyncio").error("Task was %s", "destroyed")

    assert ["account_left", "library"] == failed

"""The log: structlog on standard error, JSON for machines or coloured for people."""

import logging
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Final

import structlog

from signupd.telemetry.observer import LIBRARY

# About 3 MiB of lines, some seconds of a busy server.
MAX_LINES: Final = 10_000
# How long the end of the process waits for a reader of standard error.
FLUSH_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.02
_NAME: Final = "signupd"
# A second line of defence: no code should log these. Kratos' URLs contain addresses,
# and a flow's id lets its holder continue a sign-up.
SECRET_NAMES: Final = frozenset(
    {
        *("address", "client_ip", "email", "locale", "traits"),
        *("code", "continuation_token", "password", "token"),
        *("authorization", "cookie", "headers", "payload"),
        *("digest_key", "hook_key", "key", "kratos_admin_token", "token_keys"),
        *("flow_id", "url"),
    }
)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide the values of secret names."""
    for name in SECRET_NAMES & event.keys():
        event[name] = "[redacted]"
    return event


def _hide_values(record: logging.LogRecord) -> bool:
    """Hide the values in a library's message."""
    record.args = ("[redacted]",) if record.args else ()
    return True


def configure(*, json: bool, level: str) -> structlog.typing.FilteringBoundLogger:
    """Send all logging of the process, the libraries' too, to standard error.

    It writes one JSON object a line, or else lines for a terminal. The composition root
    passes on the logger that this returns.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,  # what the interceptor knows of a call
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    handler = logging.StreamHandler(sys.stderr)
    unwrap = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[unwrap, *_rendering(json=json)]
        )
    )
    # A line that cannot be written is dropped: sign-ups go on with a full disk.
    logging.raiseExceptions = False
    # Libraries log requests below this level.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(_NAME).setLevel(level.upper())
    # It logs malformed calls, with their bytes: any client could fill the log.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # It repeats a malformed OTEL_EXPORTER_OTLP_HEADERS, with the key in it.
    logging.getLogger("opentelemetry.util.re").addFilter(_hide_values)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(_NAME)
    return logger


class _Lossy(QueueHandler):
    """Passes lines on to a thread, counts errors, and drops when too many wait."""

    def __init__(
        self,
        lines: queue.Queue[Any],
        dropped: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        super().__init__(lines)
        self._dropped = dropped
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        """Count an error, by its event; the lines of libraries have none."""
        if record.levelno >= logging.ERROR:
            event: Any = record.msg
            self._failed(event["event"] if isinstance(event, dict) else LIBRARY)
        super().emit(record)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Pass a line on, or drop it."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped()


@contextmanager
def written_by_a_thread(
    dropped: Callable[[], None],
    failed: Callable[[str], None],
    max_lines: int = MAX_LINES,
) -> Iterator[None]:
    """Write the log from a thread, so that nothing waits for standard error.

    ``dropped`` is called for each line that is dropped because ``max_lines`` wait, and
    ``failed`` with the event of each error. At the end the lines that wait are written.
    If nobody reads them within FLUSH_SECONDS the process exits without them.
    """
    root = logging.getLogger()
    (direct,) = root.handlers
    lines: queue.Queue[Any] = queue.Queue(max_lines)
    passing = _Lossy(lines, dropped, failed)
    # Lines are formatted, and secrets hidden, before they wait.
    passing.setFormatter(direct.formatter)
    direct.setFormatter(None)
    listener = QueueListener(lines, direct)
    root.handlers[:] = [passing]
    listener.start()
    try:
        yield
    finally:
        deadline = time.monotonic() + FLUSH_SECONDS
        while lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if lines.unfinished_tasks:
            # The thread holds the lock of standard error, which a usual exit flushes.
            os._exit(1 if sys.exc_info()[0] else 0)
        listener.stop()
        direct.setFormatter(passing.formatter)
        root.handlers[:] = [direct]


def _rendering(*, json: bool) -> list[structlog.typing.Processor]:
    processors = structlog.processors
    if json:
        return [processors.format_exc_info, processors.JSONRenderer()]
    # The default formatter shows the values of variables.
    plain = structlog.dev.plain_traceback
    colors = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]

"""The log: structlog on standard error, JSON for machines or coloured for people."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# A second line of defence: nothing here should log these in the first place. Kratos'
# URLs have addresses in them, flows' ids let their holder go on with a sign-up.
SECRET_NAMES: Final = frozenset(
    {
        "address",
        "authorization",
        "client_ip",
        "code",
        "continuation_token",
        "cookie",
        "digest_key",
        "email",
        "flow_id",
        "headers",
        "hook_key",
        "key",
        "kratos_admin_token",
        "locale",
        "password",
        "payload",
        "token",
        "token_keys",
        "traits",
        "url",
    }
)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide the values of names that are secret wherever they come from."""
    for name in SECRET_NAMES & event.keys():
        event[name] = "[redacted]"
    return event


def _hide_values(record: logging.LogRecord) -> bool:
    """Hide what a library puts into its sentence."""
    record.args = ("[redacted]",) if record.args else ()
    return True


class Lines:
    """Writes lines, as the standard library does: a lost one is no reason to fail.

    What reads them may be gone, and the disk full; sign-ups go on.

    Args:
        stream: Where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    # By these names structlog calls it.
    debug = info = warning = error = critical = msg


_SHARED: Final[list[structlog.typing.Processor]] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    redact,
]


def _rendering(*, json: bool) -> list[structlog.typing.Processor]:
    if json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default shows the values of variables.
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def configure(*, json: bool, level: str) -> structlog.typing.FilteringBoundLogger:
    """Send all logging of the process, the libraries' too, to standard error.

    Our own lines do not go by way of the standard library's logging, which costs twice
    as much. Both look alike.

    Args:
        json: One JSON object a line; else lines for a terminal.
        level: The lowest level that is written, such as ``info``.

    Returns:
        The logger that the composition root hands around.
    """
    rendering = _rendering(json=json)
    _configure_libraries(rendering)
    structlog.configure(
        processors=[*_SHARED, *rendering],
        logger_factory=lambda: Lines(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def _configure_libraries(rendering: list[structlog.typing.Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # It repeats a malformed OTEL_EXPORTER_OTLP_HEADERS, with the key in it.
    logging.getLogger("opentelemetry.util.re").addFilter(_hide_values)

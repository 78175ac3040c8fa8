"""The log: structlog on standard error, JSON for machines or coloured for people."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

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

    Args:
        json: One JSON object a line; else lines for a terminal.
        level: The lowest level that is written, such as ``info``.

    Returns:
        The logger that the composition root passes on.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(json=json),
            ],
        )
    )
    # A line that cannot be written is dropped: sign-ups go on with a full disk.
    logging.raiseExceptions = False
    # Libraries log requests below this level.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(_NAME).setLevel(level.upper())
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


def _rendering(*, json: bool) -> list[structlog.typing.Processor]:
    if json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default shows the values of variables.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [console]

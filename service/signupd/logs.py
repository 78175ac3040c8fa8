"""The log: structlog on standard error, JSON for machines or coloured for people."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# A second line of defence: nothing here should log these in the first place.
SECRET_NAMES: Final = frozenset(
    {
        "authorization",
        "code",
        "continuation_token",
        "cookie",
        "email",
        "key",
        "password",
        "token",
        "traits",
    }
)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide the values of names that are secret wherever they come from."""
    for name in SECRET_NAMES & event.keys():
        event[name] = "[redacted]"
    return event


_SHARED: Final[list[structlog.typing.Processor]] = [
    structlog.stdlib.add_log_level,
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


def configure(*, json: bool, level: str) -> structlog.stdlib.BoundLogger:
    """Send all logging of the process, the libraries' too, to standard error.

    Args:
        json: One JSON object a line; else lines for a terminal.
        level: The lowest level that is written, such as ``info``.

    Returns:
        The logger that the composition root hands around.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(json=json),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("signupd").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("signupd")
    return logger

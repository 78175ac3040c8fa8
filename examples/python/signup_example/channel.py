"""The options of the channel: the retry policy. One channel per process."""

from pathlib import Path

SERVICE_CONFIG = Path(__file__).parents[2] / "service_config.json"

# Longer than the slowest answer. All attempts of a call share it.
DEADLINE_SECONDS = 60.0


def channel_options() -> list[tuple[str, str]]:
    """Return the options of a channel, for both `grpc` and `grpc.aio`."""
    config = SERVICE_CONFIG.read_text(encoding="utf-8")
    return [("grpc.service_config", config)]

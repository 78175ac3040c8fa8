"""The channel to a server: plaintext or TLS, with or without a certificate."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

# As docs/integration.md tells callers; every RPC of the service may be repeated.
_RETRY_POLICY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "1s",
    "maxBackoff": "4s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"],
}
_SERVICE: Final = {"service": "kratos_signup.v1.SignupService"}
RETRIES: Final = json.dumps(
    {"methodConfig": [{"name": [_SERVICE], "retryPolicy": _RETRY_POLICY}]}
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to authenticate the server, and this client; files in PEM.

    Args:
        ca: Certificates to trust instead of the system's.
        cert: The client's certificate, if the server demands one.
        key: Its private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def open_channel(target: str, tls: Tls | None, *, retry: bool = False) -> grpc.Channel:
    """Open a channel. It connects at the first call.

    Args:
        target: ``host:port`` or ``unix:path``.
        tls: None for plaintext.
        retry: Whether gRPC retries calls that fail as UNAVAILABLE or ABORTED.

    Raises:
        OSError: A file cannot be read.
    """
    # A proxy of the environment is for the web, and would see where people sign up.
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if retry:
        options.append(("grpc.service_config", RETRIES))
    if tls is None:
        return grpc.insecure_channel(target, options)
    ca, key, cert = (
        None if path is None else path.read_bytes()
        for path in (tls.ca, tls.key, tls.cert)
    )
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.secure_channel(target, credentials, options)

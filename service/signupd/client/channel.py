"""The channel to a server: plaintext or TLS, with or without a certificate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

if TYPE_CHECKING:
    from pathlib import Path

# A proxy of the environment is for the web, and would see where people sign up.
_NO_PROXY: Final = ("grpc.enable_http_proxy", 0)
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
    options: list[tuple[str, int | str]] = [_NO_PROXY]
    if retry:
        options.append(("grpc.service_config", RETRIES))
    if tls is None:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca),
        private_key=_content(tls.key),
        certificate_chain=_content(tls.cert),
    )
    return grpc.secure_channel(target, credentials, options)


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()

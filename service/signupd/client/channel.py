"""The way to a server: plaintext or TLS, with a certificate of one's own or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

if TYPE_CHECKING:
    from pathlib import Path

# A proxy of the environment is for the web; it would see where people sign up.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to know the server, and be known to it; all of them files in PEM.

    Args:
        ca: Certificates to trust instead of the system's.
        cert: Our own certificate, where the server wants one.
        key: Its private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def open_channel(target: str, tls: Tls | None) -> grpc.Channel:
    """Open a channel; nothing is connected yet.

    Args:
        target: ``host:port`` or ``unix:path``.
        tls: None for plaintext.

    Raises:
        OSError: A file cannot be read.
    """
    if tls is None:
        return grpc.insecure_channel(target, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca),
        private_key=_content(tls.key),
        certificate_chain=_content(tls.cert),
    )
    return grpc.secure_channel(target, credentials, _OPTIONS)


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()

"""TLS for an HTTP port: renewed, without a restart, with its files."""

import ssl
from typing import Any

import structlog

from signupd.certificates import CertificateFiles, Renewal


def server_context(
    files: CertificateFiles, log: structlog.typing.FilteringBoundLogger
) -> ssl.SSLContext:
    """Make a context, for TLS 1.2 at least, from files that were checked.

    Each handshake looks whether the files have changed.
    """
    renewal, context = Renewal(files, log), _loaded(files)
    newest = context

    def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal newest
        if renewal.changed() is not None:
            newest = _loaded(files)
        connection.context = newest

    # It is called for each handshake, also for one that names no server.
    context.sni_callback = choose
    return context


def _loaded(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.cert, files.key)
    return context

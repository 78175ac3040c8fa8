"""The server's TLS credentials: read anew, without a restart, when the files change."""

from pathlib import Path

import grpc
import structlog

from signupd.certificates import (
    CertificateFiles,
    CertificatesUnusable,
    read_certificates,
)

# Differs once a file is written or replaced, whatever times its writer sets.
_Stamp = tuple[int, int, int] | None
_OTHERS_MAY_READ = 0o004


class Credentials:
    """Makes the credentials that a port is opened with, and keeps them fresh.

    gRPC asks before each new connection's handshake, from a thread of its own. Open
    connections stay as they are. If changed files cannot be used, that is logged once,
    and the credentials before stay in use.
    """

    def __init__(
        self, files: CertificateFiles, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._files = files
        self._log = log
        self._seen = self._stamps()

    def make(self) -> grpc.ServerCredentials:
        """Make the credentials, for TLS 1.2 at least, or raise CertificatesUnusable."""
        if self._files.key.stat().st_mode & _OTHERS_MAY_READ:
            self._log.warning("tls_key_open_to_others", cure="chmod o-r TLS_KEY")
        return grpc.dynamic_ssl_server_credentials(
            self._read(),
            self.changed,  # type: ignore[arg-type]  # None: no change
            require_client_authentication=self._files.client_ca is not None,
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what the files hold, if that is new and can be used."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        # Noted before reading: what is written meanwhile is found the next time.
        self._seen = stamps
        try:
            configuration = self._read()
        except CertificatesUnusable as error:
            self._log.error("certificate_not_reloaded", why=error.detail)
            return None
        self._log.info("certificate_reloaded")
        return configuration

    def _stamps(self) -> list[_Stamp]:
        files = (self._files.cert, self._files.key, self._files.client_ca)
        return [_stamp(file) for file in files if file is not None]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pem = read_certificates(self._files)
        return grpc.ssl_server_certificate_configuration(
            [(pem.key, pem.cert)], root_certificates=pem.client_ca
        )


def _stamp(file: Path) -> _Stamp:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_ctime_ns

"""The gRPC server's TLS credentials: renewed, without a restart, with their files."""

import grpc
import structlog

from signupd.certificates import CertificateFiles, Certificates, Renewal


def credentials(
    files: CertificateFiles, log: structlog.typing.FilteringBoundLogger
) -> grpc.ServerCredentials:
    """Make the credentials, for TLS 1.2 at least, or raise CertificatesUnusable.

    gRPC asks for changes before each new connection's handshake, from a thread of its
    own. Open connections stay as they are.
    """
    renewal = Renewal(files, log)

    def changed() -> grpc.ServerCertificateConfiguration | None:
        found = renewal.changed()
        return None if found is None else _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(renewal.first),
        changed,  # type: ignore[arg-type]  # None: no change
        require_client_authentication=files.client_ca is not None,
    )


def _configuration(pem: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pem.key, pem.cert)], root_certificates=pem.client_ca
    )

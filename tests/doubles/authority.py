"""A certificate authority, and the certificates it makes."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from signupd.certificates import CertificateFiles

DAY = dt.timedelta(days=1)
LOOPBACK = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, in PEM."""

    cert: bytes
    key: bytes = field(repr=False)

    def write(self, cert: Path, key: Path) -> None:
        """Put them where a server looks for them, in place of what is there."""
        for path, content in ((cert, self.cert), (key, self.key)):
            fresh = path.with_suffix(".fresh")
            fresh.touch(mode=0o600)
            fresh.write_bytes(content)
            fresh.replace(path)


class Authority:
    """An authority of its own, its key nowhere but in memory.

    Attributes:
        pem: Its certificate.
    """

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("An authority")
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._key, self._name, DAY)
        made = builder.add_extension(constraint, critical=True)
        self.pem = _pem(made.sign(self._key, hashes.SHA256()))

    def issue(
        self,
        *sans: x509.GeneralName | x509.UnrecognizedExtension,
        common_name: str = "",
        lasts: dt.timedelta = DAY,
        password: bytes = b"",
    ) -> Issued:
        """Issue a certificate.

        Args:
            sans: The names it is made out to; or, to have what no authority should
                sign, the extension that holds them.
            common_name: Its subject's.
            lasts: From now on; less than nothing for one that has lapsed.
            password: Locks the key, where given.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(key, _subject(common_name), lasts)
        names = [san for san in sans if isinstance(san, x509.GeneralName)]
        if names:
            san = x509.SubjectAlternativeName(names)
            builder = builder.add_extension(san, critical=False)
        for raw in sans:
            if isinstance(raw, x509.UnrecognizedExtension):
                builder = builder.add_extension(raw, critical=False)
        lock: KeySerializationEncryption
        lock = BestAvailableEncryption(password) if password else NoEncryption()
        return Issued(
            _pem(builder.sign(self._key, hashes.SHA256())),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock),
        )

    def serve_from(self, directory: Path) -> CertificateFiles:
        """Lay out a server's files: its own certificate, and whose its callers have."""
        files = CertificateFiles(
            directory / "tls.crt", directory / "tls.key", directory / "callers.crt"
        )
        self.issue(*LOOPBACK).write(files.cert, files.key)
        (directory / "callers.crt").write_bytes(self.pem)
        return files

    def trusted_by(self, client: Issued | None = None) -> grpc.ChannelCredentials:
        """Make the credentials of a caller who trusts this authority.

        Args:
            client: What the caller shows, where it shows anything.
        """
        if client is None:
            return grpc.ssl_channel_credentials(self.pem)
        return grpc.ssl_channel_credentials(self.pem, client.key, client.cert)

    def _builder(
        self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, lasts: dt.timedelta
    ) -> x509.CertificateBuilder:
        today = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - 2 * DAY)
            .not_valid_after(today + lasts)
        )


def dns(name: str) -> x509.DNSName:
    """Name a host."""
    return x509.DNSName(name)


def uri(name: str) -> x509.UniformResourceIdentifier:
    """Name something by its URI."""
    return x509.UniformResourceIdentifier(name)


def raw_sans(names: Sequence[tuple[int, bytes]]) -> x509.UnrecognizedExtension:
    """Put together what the library refuses to: names of any bytes.

    Args:
        names: Each with its tag (RFC 5280, 4.2.1.6: 0x82 DNS, 0x86 URI).
    """
    body = b"".join(bytes([tag, len(name)]) + name for tag, name in names)
    oid = x509.SubjectAlternativeName.oid
    return x509.UnrecognizedExtension(oid, bytes([0x30, len(body)]) + body)


def _subject(common_name: str) -> x509.Name:
    kind = x509.NameOID.COMMON_NAME
    return x509.Name([x509.NameAttribute(kind, common_name)] if common_name else [])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)

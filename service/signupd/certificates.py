"""X.509: the server's certificate files, and what callers' certificates say."""

import re
import ssl
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from signupd.errors import SignupdError
from signupd.textfile import FileUnusableError, Stamp, read_file, shown, stamp_of

# A bundle of all public authorities is a quarter of that.
MAX_FILE_BYTES: Final = 1024 * 1024
UNREADABLE: Final = "holds no certificate in PEM, or one that cannot be read"
_DNS: Final = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_*.-]{0,252}")
# RFC 3986, 3; a SPIFFE ID has 2048 bytes at most.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2048}")


class CertificatesUnusable(SignupdError, reason="INTERNAL"):
    """The certificate's files cannot be used; the faults repeat nothing of a file."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The server's certificate files."""

    cert: Path  # and its chain
    key: Path  # without a password
    client_ca: Path | None = None  # the authorities of callers; None if they need none
    settings: str = "TLS"  # how the names of the settings begin


@dataclass(frozen=True, slots=True)
class Certificates:
    """The content of the files, in PEM; certificate and key match."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def read_certificates(files: CertificateFiles) -> Certificates:
    """Read the files, and check that they can be used together.

    Raises:
        CertificatesUnusable: With every fault.
    """
    faults: list[str] = []
    cert = _read(f"{files.settings}_CERT", files.cert, faults)
    key = _read(f"{files.settings}_KEY", files.key, faults)
    ca = files.client_ca
    client_ca = _read("TLS_CLIENT_CA", ca, faults) if ca else None
    if not faults:
        faults += _pair_faults(files, cert, key)
        if ca and client_ca is not None and not _certificates(client_ca):
            faults.append(f"TLS_CLIENT_CA: {shown(ca)}: {UNREADABLE}")
    if faults:
        raise CertificatesUnusable(faults)
    _demand_loadable(files)
    # Written anew: gRPC is less lenient about PEM than the parser is.
    unlocked = load_pem_private_key(key, password=None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return Certificates(_pem(cert), unlocked, client_ca and _pem(client_ca))


def names_and_validity(certificate: bytes) -> tuple[frozenset[str], range]:
    """Read a certificate in PEM: its DNS and URI SANs, and when it is valid.

    The subject and addresses do not count. Malformed names do not count either, so that
    a name of one kind cannot pass for one of the other. The range has seconds since the
    Unix epoch. A certificate that cannot be read has no names, and is valid in none.
    """
    try:
        (parsed,) = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        return frozenset(), range(0)
    first, last = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    # Both ends are included (RFC 5280, 4.1.2.5).
    valid = range(int(first.timestamp()), int(last.timestamp()) + 1)
    try:
        kind = x509.SubjectAlternativeName
        sans = parsed.extensions.get_extension_for_class(kind).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return frozenset(), valid
    hosts = sans.get_values_for_type(x509.DNSName)
    uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
    names = (*filter(_DNS.fullmatch, hosts), *filter(_URI.fullmatch, uris))
    return frozenset(names), valid


def is_name(text: str) -> bool:
    """Return whether a certificate can be issued for exactly this name."""
    return "*" not in text and bool(_DNS.fullmatch(text) or _URI.fullmatch(text))


def _read(name: str, path: Path, faults: list[str]) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES, regular=True)
    except FileUnusableError as error:
        faults.append(f"{name}: {error.of(shown(path))}")
        return b""


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _pem(text: bytes) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in _certificates(text))


def _demand_loadable(files: CertificateFiles) -> None:
    """Demand of files without another fault that OpenSSL loads them."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert, files.key)
    except OSError as error:  # ssl.SSLError, or a file is gone meanwhile
        why = (
            "OpenSSL cannot load it with its key; is there white space before a line, "
            "or no end of line between two certificates?"
        )
        fault = f"{files.settings}_CERT: {shown(files.cert)}: {why}"
        raise CertificatesUnusable([fault]) from error


def _pair_faults(files: CertificateFiles, cert: bytes, key: bytes) -> list[str]:
    """List the faults of a certificate and its key."""
    of_cert = f"{files.settings}_CERT: {shown(files.cert)}"
    of_key = f"{files.settings}_KEY: {shown(files.key)}"
    certificates = _certificates(cert)
    faults = [] if certificates else [f"{of_cert}: {UNREADABLE}"]
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        return [*faults, f"{of_key}: is locked by a password"]
    except (ValueError, UnsupportedAlgorithm):
        return [*faults, f"{of_key}: holds no private key in PEM"]
    if certificates and private.public_key() != certificates[0].public_key():
        first = f"the first certificate in {files.settings}_CERT"
        faults.append(f"{of_key}: is not the key of {first}")
    return faults


class Renewal:
    """Reads certificate files anew when they change.

    If changed files cannot be used, that is logged once, and the ones before stay in
    use. ``first`` is what they held at the beginning, or CertificatesUnusable.
    """

    def __init__(
        self, files: CertificateFiles, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.files = files
        self._log = log
        self._seen = self._stamps()
        self.first = read_certificates(files)
        self._warn_of_validity(self.first)
        if files.key.stat().st_mode & stat.S_IROTH:
            key = f"{files.settings}_KEY"
            log.warning("tls_key_open_to_others", cure=f"chmod o-r {key}")

    def changed(self) -> Certificates | None:
        """Return what the files hold, if that is new and can be used."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        # Noted before reading: what is written meanwhile is found the next time.
        self._seen = stamps
        try:
            certificates = read_certificates(self.files)
        except CertificatesUnusable as error:
            self._log.error("certificate_not_reloaded", why=error.detail)
            return None
        self._log.info("certificate_reloaded", setting=f"{self.files.settings}_CERT")
        self._warn_of_validity(certificates)
        return certificates

    def _warn_of_validity(self, certificates: Certificates) -> None:
        first = _certificates(certificates.cert)[0]
        begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
        if not begins <= datetime.now(UTC) <= ends:
            self._log.warning(
                "certificate_not_valid",
                setting=f"{self.files.settings}_CERT",
                valid_from=begins.isoformat(),
                valid_until=ends.isoformat(),
            )

    def _stamps(self) -> list[Stamp]:
        files = (self.files.cert, self.files.key, self.files.client_ca)
        return [stamp_of(file) for file in files if file is not None]

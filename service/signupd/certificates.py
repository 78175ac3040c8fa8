"""X.509 as far as the service looks into it: its own files, and its callers' names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signupd.errors import SignupdError

if TYPE_CHECKING:
    from pathlib import Path

# A bundle of all public authorities is a quarter of that.
MAX_FILE_BYTES: Final = 1024 * 1024
_DNS: Final = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_*.-]{0,252}")
# RFC 3986, 3; a SPIFFE ID has 2048 bytes at most.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2048}")


class CertificatesUnusable(SignupdError):
    """The certificate's files cannot be used.

    Args:
        faults: Each begins with its setting; none repeats anything of a file.
    """

    reason = "INTERNAL"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the server's certificate lies.

    Args:
        cert: The certificate, and those that lead from it to its authority.
        key: The certificate's private key, without a password.
        client_ca: The authorities that callers' certificates come from; None if
            callers need none.
    """

    cert: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the files hold, in PEM, fitting together.

    Args:
        cert: The certificate and its chain.
        key: The private key.
        client_ca: The callers' authorities, where callers need a certificate.
    """

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def read_certificates(files: CertificateFiles) -> Certificates:
    """Read the files, and look whether they can be used together.

    Raises:
        CertificatesUnusable: With everything that is wrong.
    """
    faults: list[str] = []
    cert = _read("TLS_CERT", files.cert, faults)
    key = _read("TLS_KEY", files.key, faults)
    client_ca = None
    if files.client_ca is not None:
        client_ca = _read("TLS_CLIENT_CA", files.client_ca, faults)
    if not faults:
        faults += _pair_faults(cert, key)
        if client_ca is not None and not _certificates(client_ca):
            faults.append("TLS_CLIENT_CA: holds no certificate in PEM")
    if faults:
        raise CertificatesUnusable(faults)
    return Certificates(cert, key, client_ca)


def names_in(certificate: bytes) -> frozenset[str]:
    """Read the names a certificate is made out to: its DNS and URI SANs.

    Neither its subject nor addresses of any kind count, nor what has not the form of
    a name, so that nothing of one kind can be taken for the other.

    Args:
        certificate: In PEM. That it can be trusted has been checked.
    """
    try:
        (parsed,) = x509.load_pem_x509_certificates(certificate)
        kind = x509.SubjectAlternativeName
        sans = parsed.extensions.get_extension_for_class(kind).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return frozenset()
    hosts = filter(_DNS.fullmatch, sans.get_values_for_type(x509.DNSName))
    uris = filter(
        _URI.fullmatch, sans.get_values_for_type(x509.UniformResourceIdentifier)
    )
    return frozenset((*hosts, *uris))


def is_name(text: str) -> bool:
    """Return whether a certificate can be issued for exactly this name."""
    return "*" not in text and bool(_DNS.fullmatch(text) or _URI.fullmatch(text))


def _read(name: str, path: Path, faults: list[str]) -> bytes:
    if not path.is_file():  # to open a pipe would be to wait for its writer
        faults.append(f"{name}: is not a file")
        return b""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        faults.append(f"{name}: cannot be read ({type(error).__name__})")
        return b""
    if len(content) > MAX_FILE_BYTES:
        faults.append(f"{name}: is larger than {MAX_FILE_BYTES} bytes")
    return content


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _pair_faults(cert: bytes, key: bytes) -> list[str]:
    """List what is wrong with a certificate and its key."""
    faults: list[str] = []
    certificates = _certificates(cert)
    if not certificates:
        faults.append("TLS_CERT: holds no certificate in PEM")
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        return [*faults, "TLS_KEY: is locked by a password"]
    except (ValueError, UnsupportedAlgorithm):
        return [*faults, "TLS_KEY: holds no private key in PEM"]
    if certificates and private.public_key() != certificates[0].public_key():
        faults.append("TLS_KEY: is not the key of the first certificate in TLS_CERT")
    return faults

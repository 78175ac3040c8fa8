"""Certificates: the names in them, and the files they come from."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest
from signupd.certificates import (
    MAX_FILE_BYTES,
    UNREADABLE,
    CertificateFiles,
    CertificatesUnusable,
    is_name,
    names_and_validity,
    read_certificates,
)

from tests.doubles.authority import Authority, dns, raw_sans

AUTHORITY = Authority()
SPIFFE = "spiffe://example.org/ns/web"
DNS_TAG, URI_TAG = 0x82, 0x86

# What an authority should never sign; were it to, it would open nothing.
FORGED = [
    [(DNS_TAG, b"account\0.evil.example")],
    [(DNS_TAG, b"account.example\0")],
    [(URI_TAG, b"spiffe://example.org/ns/web\0/evil")],
    [(DNS_TAG, b"")],
    [(DNS_TAG, b"web.example\nother.example")],
    [(DNS_TAG, b"web.example other.example")],
    [(DNS_TAG, "wéb.example".encode())],
    [(DNS_TAG, SPIFFE.encode())],
    [(URI_TAG, b"web.example")],
    [(URI_TAG, b"\xff\xfe")],
    # One name that cannot be read spoils the certificate.
    [(DNS_TAG, b"web.example"), (DNS_TAG, b"\xff")],
    [(DNS_TAG, b"web.example"), (0x9E, b"x")],
]
NAMES = ["web", "web.example", "_x.web-1.example", SPIFFE, "urn:x:web", "https://a/b?c"]
NO_NAMES = ["", " ", "web example", "*.example", "CN=web", "wéb.example", "x:", "x: y"]
NO_NAMES += [".example", "web\n", "spiffe://example.org/*"]


@pytest.mark.parametrize("names", FORGED)
def test_forged_names(names: list[tuple[int, bytes]]) -> None:
    """What has not the form of its kind is no name, and is not cut to be one."""
    assert frozenset() == names_and_validity(AUTHORITY.issue(raw_sans(names)).cert)[0]


def test_no_certificate() -> None:
    """What is no certificate has no names, and is never valid."""
    assert (frozenset(), range(0)) == names_and_validity(b"no certificate")


def test_is_name() -> None:
    """Only a full DNS name or URI can be granted anything."""
    assert NAMES == list(filter(is_name, [*NAMES, *NO_NAMES]))


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Give files that fit together."""
    return AUTHORITY.serve_from(tmp_path)


def test_key_is_not_shown(files: CertificateFiles) -> None:
    """The key is not seen when the rest is printed."""
    assert "PRIVATE" not in repr(read_certificates(files))


def _swap(files: CertificateFiles) -> None:
    AUTHORITY.issue(dns("localhost")).write(files.cert.with_name("other"), files.key)


def _lock(files: CertificateFiles) -> None:
    locked = AUTHORITY.issue(dns("localhost"), password=b"hunter2")
    locked.write(files.cert, files.key)


def _leaf_last(files: CertificateFiles) -> None:
    files.cert.write_bytes(AUTHORITY.pem + files.cert.read_bytes())


def _joined(files: CertificateFiles) -> None:
    files.cert.write_bytes(files.cert.read_bytes().rstrip() + AUTHORITY.pem)


def _folder(files: CertificateFiles) -> None:
    files.key.unlink()
    files.key.mkdir()


UNLOADABLE = (
    "TLS_CERT: {0.cert}: OpenSSL cannot load it with its key; is there white space "
    "before a line, or no end of line between two certificates?"
)
WRONG: list[tuple[Callable[[CertificateFiles], object], list[str]]] = [
    (_swap, ["TLS_KEY: {0.key}: is not the key of the first certificate in TLS_CERT"]),
    (
        _leaf_last,
        ["TLS_KEY: {0.key}: is not the key of the first certificate in TLS_CERT"],
    ),
    (_joined, [UNLOADABLE]),
    (_lock, ["TLS_KEY: {0.key}: is locked by a password"]),
    (_folder, ["TLS_KEY: {0.key}: Is a directory"]),
    (lambda f: f.cert.unlink(), ["TLS_CERT: {0.cert}: No such file or directory"]),
    (lambda f: f.cert.write_bytes(b""), [f"TLS_CERT: {{0.cert}}: {UNREADABLE}"]),
    (
        lambda f: f.cert.write_bytes(f.key.read_bytes()),
        [f"TLS_CERT: {{0.cert}}: {UNREADABLE}"],
    ),
    (
        lambda f: f.cert.write_bytes(f.cert.read_bytes()[:200]),
        [f"TLS_CERT: {{0.cert}}: {UNREADABLE}"],
    ),
    (
        lambda f: f.key.write_bytes(f.cert.read_bytes()),
        ["TLS_KEY: {0.key}: holds no private key in PEM"],
    ),
    (
        lambda f: f.key.write_bytes(f.key.read_bytes()[:60]),
        ["TLS_KEY: {0.key}: holds no private key in PEM"],
    ),
    (
        lambda f: f.client_ca and f.client_ca.write_bytes(b"\xff"),
        [f"TLS_CLIENT_CA: {{0.client_ca}}: {UNREADABLE}"],
    ),
    (
        lambda f: f.client_ca and f.client_ca.write_bytes(b"x" * (MAX_FILE_BYTES + 1)),
        [f"TLS_CLIENT_CA: {{0.client_ca}}: has more than {MAX_FILE_BYTES} bytes"],
    ),
    (
        lambda f: [path.write_bytes(b"") for path in (f.cert, f.key)],
        [
            f"TLS_CERT: {{0.cert}}: {UNREADABLE}",
            "TLS_KEY: {0.key}: holds no private key in PEM",
        ],
    ),
]


def test_written_anew(files: CertificateFiles) -> None:
    """GRPC gets plain PEM, whatever an editor has put around it."""
    for path in (files.cert, files.key, files.client_ca):
        assert path is not None
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    made = read_certificates(files)

    assert AUTHORITY.pem == made.client_ca
    assert all(one.startswith(b"-----BEGIN") for one in (made.cert, made.key))


@pytest.mark.parametrize(("spoil", "faults"), WRONG)
def test_wrong_files(
    files: CertificateFiles,
    spoil: Callable[[CertificateFiles], object],
    faults: list[str],
) -> None:
    """Everything that is wrong is told by the setting's name."""
    spoil(files)
    with pytest.raises(CertificatesUnusable) as refusal:
        read_certificates(files)

    assert [fault.format(files) for fault in faults] == refusal.value.faults

"""The server's credentials: when its files are read anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from signupd.certificates import CertificateFiles, CertificatesUnusable
from signupd.rpc.credentials import Credentials

from tests.doubles.authority import Authority, dns
from tests.doubles.log import LogDouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Give files that fit together."""
    return AUTHORITY.serve_from(tmp_path)


def test_no_change(files: CertificateFiles) -> None:
    """Files that are as they were are not read again."""
    log = LogDouble()
    credentials = Credentials(files, log.logger)

    assert [None, None] == [credentials.changed(), credentials.changed()]
    assert [] == log.events()


def _append(path: Path | None) -> None:
    if path is not None:
        path.write_bytes(path.read_bytes() + b"\n")


CHANGES: list[Callable[[CertificateFiles], object]] = [
    lambda f: AUTHORITY.issue(dns("localhost")).write(f.cert, f.key),
    lambda f: _append(f.cert),
    lambda f: _append(f.key),
    lambda f: _append(f.client_ca),
]


@pytest.mark.parametrize("change", CHANGES)
def test_change(
    files: CertificateFiles, change: Callable[[CertificateFiles], object]
) -> None:
    """A file that was replaced or written to is read again, once."""
    log = LogDouble()
    credentials = Credentials(files, log.logger)
    change(files)
    given = [credentials.changed(), credentials.changed()]

    assert isinstance(given[0], grpc.ServerCertificateConfiguration)
    assert given[1] is None
    assert ["certificate_reloaded"] == log.events("info")


BREAKS: list[tuple[Callable[[CertificateFiles], object], str]] = [
    (lambda f: f.cert.write_bytes(b"hunter2"), "TLS_CERT: holds no certificate in PEM"),
    (lambda f: f.key.unlink(), "TLS_KEY: is not a file"),
    (
        lambda f: f.client_ca and f.client_ca.write_bytes(b""),
        "TLS_CLIENT_CA: holds no certificate in PEM",
    ),
    (
        lambda f: AUTHORITY.issue().write(f.cert, f.cert.with_name("other")),
        "TLS_KEY: is not the key of the first certificate in TLS_CERT",
    ),
]


@pytest.mark.parametrize(("spoil", "why"), BREAKS)
def test_broken_change(
    files: CertificateFiles, spoil: Callable[[CertificateFiles], object], why: str
) -> None:
    """Files that cannot be used change nothing; it is said loudly, once a change."""
    log = LogDouble()
    credentials = Credentials(files, log.logger)
    spoil(files)
    given = [credentials.changed(), credentials.changed()]

    assert [None, None] == given
    assert ["certificate_not_reloaded"] == log.events("error")
    assert why == log.entry("certificate_not_reloaded")["why"]


def test_mended(files: CertificateFiles) -> None:
    """Files that were broken are used again when they are whole."""
    credentials = Credentials(files, LogDouble().logger)
    files.key.write_bytes(b"half a ")
    credentials.changed()
    AUTHORITY.issue(dns("localhost")).write(files.cert, files.key)

    assert isinstance(credentials.changed(), grpc.ServerCertificateConfiguration)


def test_broken_at_start(files: CertificateFiles) -> None:
    """A server does not begin with files that it cannot use."""
    files.key.write_bytes(b"hunter2")
    with pytest.raises(CertificatesUnusable, match=r"\ATLS_KEY: holds no private key"):
        Credentials(files, LogDouble().logger).make()


@pytest.mark.parametrize(
    ("mode", "warnings"),
    [(0o600, []), (0o640, []), (0o604, ["tls_key_open_to_others"])],
)
def test_open_key(files: CertificateFiles, mode: int, warnings: list[str]) -> None:
    """A key that everybody on the machine can read is warned of; a group's is not."""
    log = LogDouble()
    files.key.chmod(mode)
    credentials = Credentials(files, log.logger).make()

    assert isinstance(credentials, grpc.ServerCredentials)
    assert warnings == log.events("warning")

"""A certificate to trust instead of the system's hundreds, which take long to read."""

import functools
from pathlib import Path

from tests.doubles.authority import Authority

_authority = functools.cache(Authority)


def certificate_file(directory: Path) -> Path:
    """Write the certificate of an authority that issues nothing."""
    path = directory / "ca.pem"
    path.write_bytes(_authority().pem)
    return path

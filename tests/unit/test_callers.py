"""Who is the same caller, by a certificate's names."""

from pathlib import Path

from signupd.rpc.interceptor import MAX_CALLER_CHARS, Callers, wall_clock
from signupd.settings import Settings

from tests.doubles.authority import Authority, dns, uri

AUTHORITY = Authority()
SPIFFE = "spiffe://example.org/web"


def caller(certificate: bytes) -> str:
    """Name the caller that a certificate stands for, where CALLERS is not set."""
    callers = Callers(Settings(tls_client_ca=Path(__file__)), wall_clock)
    return callers.peer_of(certificate).caller


def test_caller() -> None:
    """A caller goes by all its names, in whatever order its certificate has them."""
    one = AUTHORITY.issue(dns("web.example"), uri(SPIFFE)).cert
    renewed = AUTHORITY.issue(uri(SPIFFE), dns("web.example")).cert
    other = AUTHORITY.issue(uri(SPIFFE)).cert

    assert f"{SPIFFE} web.example" == caller(one) == caller(renewed)
    assert SPIFFE == caller(other)


def test_caller_without_a_name() -> None:
    """Certificates that name nobody are told apart all the same, and fit the ledger."""
    one, other = (AUTHORITY.issue(common_name="web").cert for _ in range(2))

    assert caller(one) == caller(one) != caller(other)
    assert [65, 65] == [len(caller(one)), len(caller(other))]


def test_caller_with_long_names() -> None:
    """Names that are too long for the ledger become a digest, and stay apart."""
    longest = f"{SPIFFE}/" + "x" * (MAX_CALLER_CHARS - len(SPIFFE) - 1)
    names = [longest, f"{longest}y", f"{longest}z"]
    callers = [caller(AUTHORITY.issue(uri(name)).cert) for name in names]

    assert longest == callers[0]
    assert [255, 65, 65] == [len(name) for name in callers]
    assert 3 == len(set(callers))

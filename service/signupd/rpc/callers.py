"""Who calls, and what the caller may call.

With mutual TLS the certificates decide. CALLERS lists their names; without CALLERS
SignupService is open to every certificate and AccountService to none, on loopback too.
Without mutual TLS AccountService answers only on loopback and unix sockets.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc

from signupd.certificates import names_in, valid_seconds
from signupd.errors import CallerNotPermitted
from signupd.policy.rules import SECOND

Context = grpc.aio.ServicerContext[Any, Any]
OURS: Final = "/kratos_signup.v1."
# Clients and probes ask it before they know whether they may ask anything else.
HEALTH: Final = "/grpc.health.v1.Health/"
# What the ledger's column holds.
MAX_CALLER_CHARS: Final = 255
MAX_PEERS_KEPT: Final = 256  # some KiB each
_ACCOUNTS: Final = f"{OURS}AccountService/"


def wall_clock() -> int:
    """Return the machine's time, which the TLS library goes by too."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, by its certificate."""

    names: frozenset[str] = frozenset()
    caller: str = ""  # identifies it, in at most 255 characters
    valid: range = range(0)  # seconds since the Unix epoch


class Callers:
    """Tells callers apart, and what each may call.

    ``grants`` has by name the methods, as ``Service/Method``; None if the defaults
    hold. ``clock`` returns microseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        local: bool,
        mutual: bool,
        grants: Mapping[str, frozenset[str]] | None,
        clock: Callable[[], int],
    ) -> None:
        self._accounts_open = local and not mutual
        self._mutual = mutual
        self._grants = grants
        self._clock = clock
        # Each call brings its certificate along, and a caller makes many.
        self.peer_of = functools.lru_cache(MAX_PEERS_KEPT)(self._peer_of)

    def serves(self, service: str) -> bool:
        """Return whether some caller may call some method of ``package.Service``."""
        prefix = f"/{service}/"
        if self._grants is None:
            return self._accounts_open or prefix != _ACCOUNTS
        methods = frozenset().union(*self._grants.values())
        return any(f"{OURS}{method}".startswith(prefix) for method in methods)

    def peer(self, context: Context) -> Peer:
        """Return who makes a call."""
        if not self._mutual:
            return Peer()
        (certificate,) = context.auth_context()["x509_pem_cert"]
        return self.peer_of(certificate)

    def admit(self, method: str, context: Context) -> None:
        """Let a call in, or raise CallerNotPermitted."""
        peer = self.peer(context)
        nameless = "a certificate without a name" if self._mutual else "anybody"
        who = peer.caller if peer.names else nameless
        # TLS looks only when a session begins. Connections and resumed sessions go on.
        if self._mutual and self._clock() // SECOND not in peer.valid:
            raise CallerNotPermitted(f"the certificate of {who} is not valid now")
        if not self._permits(method, peer.names):
            raise CallerNotPermitted(f"not open to {who}")

    def _permits(self, method: str, names: frozenset[str]) -> bool:
        if self._grants is None:
            return self._accounts_open or not method.startswith(_ACCOUNTS)
        granted = [self._grants[name] for name in names & self._grants.keys()]
        if not method.startswith(OURS):
            # Reflection is open to every caller that may call anything.
            return bool(granted)
        return any(method.removeprefix(OURS) in methods for methods in granted)

    def _peer_of(self, certificate: bytes) -> Peer:
        """Return whom a certificate, in PEM, stands for.

        A caller is known by those of its names that CALLERS lists, so the others may
        change; by all its names if CALLERS lists none of them; by the certificate
        itself if it has no name.
        """
        names = names_in(certificate)
        known = names & self._grants.keys() if self._grants else names
        caller = " ".join(sorted(known or names)) or certificate.decode()
        if len(caller) > MAX_CALLER_CHARS:
            # No name begins like that, so no other caller has it.
            caller = f"#{hashlib.sha256(caller.encode()).hexdigest()}"
        return Peer(names, caller, valid_seconds(certificate))

"""The parts of a service, and of a command, made as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.keyfile import ring_beside
from signupd.kratos.admin import AdminApi
from signupd.kratos.client import Kratos, Timeouts
from signupd.kratos.http import HttpClient
from signupd.kratos.public import PublicApi
from signupd.ledger.database import sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.ledger.limits import Buckets
from signupd.sealing import KeyRing
from signupd.signup.deps import Deps
from signupd.signup.gate import Gate
from signupd.signup.rules import SECOND, Limit, Rules
from signupd.signup.schema import SchemaRules

if TYPE_CHECKING:
    import structlog
    from pydantic import SecretStr

    from signupd.ledger.database import Database
    from signupd.observer import Observer
    from signupd.settings import Settings
    from signupd.signup.events import Events

# Where Kratos calls a hook: a dead one costs it three tries and 3 s, a slow one more.
_HOOKED_TIMEOUT_SECONDS: Final = 30.0
# The most calls that one lease covers beside the hooked one: a look-up, and three tries
# at a deletion. At the code: the flow's state, the code again, a look-up.
_CALLS_UNDER_LEASE: Final = 4
_LEASE_SLACK_SECONDS: Final = 5.0
# How long after our yes Kratos may still store; see Rules.approval.
_APPROVAL_SECONDS: Final = 45.0
_HOUR_SECONDS: Final = 3600.0


def kratos_of(settings: Settings, observer: Observer | None = None) -> Kratos:
    """Make the way to Kratos; the caller closes it."""
    http = HttpClient(ca=settings.kratos_ca, observer=observer)
    seconds = settings.kratos_timeout
    timeouts = Timeouts(call=seconds, hooked=max(_HOOKED_TIMEOUT_SECONDS, seconds))
    token = secret(settings.kratos_admin_token)
    return Kratos(
        http,
        PublicApi(http, settings.kratos_public_url, timeouts),
        AdminApi(http, settings.kratos_admin_url, seconds, token),
    )


def deps_of(
    settings: Settings,
    kratos: Kratos,
    database: Database,
    events: Events,
    log: structlog.typing.FilteringBoundLogger,
) -> Deps:
    """Make what the steps of a sign-up work with."""
    return Deps(
        ledger=Ledger(database),
        buckets=Buckets(database),
        kratos=kratos,
        keys=key_ring(settings),
        rules=_rules(settings),
        gate=Gate(kratos, log),
        schema=SchemaRules(kratos.public, settings.identity_schema_id, log),
        events=events,
        log=log,
    )


def key_ring(settings: Settings, *, make: bool = True) -> KeyRing:
    """Make the key ring: from the settings, or from the file beside the ledger.

    Args:
        settings: With the keys, or the ledger's place.
        make: Whether to make that file where there is none.

    Raises:
        KeyFileError: The file cannot be used.
    """
    if settings.digest_key is not None:
        keys = [key.get_secret_value() for key in settings.token_keys]
        return KeyRing(keys, settings.digest_key.get_secret_value())
    ledger = sqlite_file(settings.ledger_url)
    if ledger is None:
        raise AssertionError("the settings demand keys with any other database")
    return ring_beside(ledger, make=make)


def _rules(settings: Settings) -> Rules:
    hooked = max(_HOOKED_TIMEOUT_SECONDS, settings.kratos_timeout)
    calls = hooked + _CALLS_UNDER_LEASE * settings.kratos_timeout
    return Rules(
        code_ttl=micros(settings.code_ttl),
        password_ttl=micros(settings.password_ttl),
        code_attempts=settings.code_attempts,
        password_attempts=settings.password_attempts,
        resend_interval=micros(settings.resend_interval),
        sends=settings.sends_per_signup,
        per_address=Limit(settings.sends_per_address, micros(settings.sends_refill)),
        # Rounded up: in no hour may more come back than that.
        per_client=Limit(
            settings.sends_per_ip_per_hour,
            -(-micros(_HOUR_SECONDS) // settings.sends_per_ip_per_hour),
        ),
        password_min_length=settings.password_min_length,
        password_max_bytes=settings.password_max_bytes,
        lease=micros(calls + _LEASE_SLACK_SECONDS),
        approval=micros(_APPROVAL_SECONDS),
    )


def micros(seconds: float) -> int:
    """Give a span as the ledger counts it."""
    return int(seconds * SECOND)


def secret(value: SecretStr | None) -> str | None:
    """Take a secret out of its wrapping, where there is one."""
    return None if value is None else value.get_secret_value()

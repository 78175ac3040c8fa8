"""The parts that the server and the commands share, made from the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Final, Self

import structlog

from signupd.keyfile import demand_digest_key, key_ring
from signupd.kratos.admin import AdminApi, Kratos
from signupd.kratos.courier import Courier
from signupd.kratos.hook_proof import HookProof
from signupd.kratos.http import HttpClient
from signupd.kratos.public import PublicApi
from signupd.ledger.buckets import Limit
from signupd.ledger.database import Database, make_database, steady_clock
from signupd.ledger.ledger import Ledger
from signupd.ledger.migrate import demand_usable, is_up_to_date, migrate
from signupd.policy.domains import BlockedDomains
from signupd.policy.limits import Limits
from signupd.policy.password import PasswordGate
from signupd.policy.rules import HOUR_SECONDS, WRONG_CODES_SECONDS, Rules, micros
from signupd.policy.traits import SchemaRules
from signupd.sealing import hook_signature
from signupd.settings import Settings
from signupd.signup.deps import Dependencies
from signupd.sweeper import Sweeper
from signupd.telemetry.observer import Observer

# For calls in which Kratos calls a hook: a dead hook costs it 3 s, a slow one more.
_HOOKED_TIMEOUT_SECONDS: Final = 30.0
# The most calls that one lease covers beside the hooked one: a look-up, and three tries
# at a deletion. At the code: the flow's state, the code again, a look-up.
_CALLS_UNDER_LEASE: Final = 4
_LEASE_SLACK_SECONDS: Final = 5.0
# How long after our approval Kratos may still store; see Rules.approval.
_APPROVAL_SECONDS: Final = 45.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that the server and ``signupd sweep`` share."""

    settings: Settings
    database: Database
    deps: Dependencies
    sweeper: Sweeper

    @classmethod
    def of(
        cls,
        settings: Settings,
        log: structlog.typing.FilteringBoundLogger,
        observer: Observer,
        clock: Callable[[], int] | None = None,
        chance: Callable[[], float] | None = None,
    ) -> Self:
        """Make them; nothing is connected yet."""
        kratos = kratos_of(settings, observer)
        database = make_database(settings.ledger_url, clock or steady_clock())
        keys, rules = key_ring(settings), rules_of(settings)
        blocked = settings.blocked_email_domains_file
        deps = Dependencies(
            ledger=Ledger(database),
            limits=Limits(database, keys, rules, chance or SystemRandom().random),
            kratos=kratos,
            courier=Courier(kratos.admin, database.now, log),
            keys=keys,
            rules=rules,
            domains=None if blocked is None else BlockedDomains(blocked, log),
            passwords=PasswordGate(rules),
            hook_proof=HookProof(kratos, log, partial(hook_signature, keys)),
            schema=SchemaRules(kratos, settings.identity_schema_id, log),
            observer=observer,
            log=log,
        )
        return cls(settings, database, deps, Sweeper(deps, settings))

    async def open_ledger(self, *, only_server: bool) -> None:
        """Migrate a SQLite ledger that is too old; refuse a shared one.

        The only server of a SQLite ledger ends its leases, all of which are stale.
        Another DIGEST_KEY than the ledger's is a SettingsInvalidError.
        """
        await self.database.open()
        if self.database.shared:
            await demand_usable(self.database)
        elif not await is_up_to_date(self.database):
            await migrate(self.settings.ledger_url)
        await demand_digest_key(self.deps.ledger, self.deps.keys, add=True)
        if only_server and not self.database.shared:
            await self.deps.ledger.end_all_leases()
        await self.deps.ledger.read_clock()

    async def close(self) -> None:
        """Close all connections."""
        await self.deps.kratos.close()
        await self.database.close()


def kratos_of(settings: Settings, observer: Observer | None = None) -> Kratos:
    """Make the client of Kratos; the caller closes it."""
    http = HttpClient(ca=settings.kratos_ca, observer=observer)
    seconds = settings.kratos_timeout
    hooked_seconds = max(_HOOKED_TIMEOUT_SECONDS, seconds)
    url = settings.kratos_public_url
    secret = settings.kratos_admin_token
    token = None if secret is None else secret.get_secret_value()
    return Kratos(
        http,
        PublicApi(http, url, seconds, hooked_seconds, settings.identity_schema_id),
        AdminApi(http, settings.kratos_admin_url, seconds, token),
    )


def rules_of(settings: Settings) -> Rules:
    """Make the rules of sign-ups."""
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
            -(-micros(HOUR_SECONDS) // settings.sends_per_ip_per_hour),
        ),
        wrong_codes=Limit(
            settings.wrong_codes_per_address,
            micros(WRONG_CODES_SECONDS) // settings.wrong_codes_per_address,
        ),
        password_min_length=settings.password_min_length,
        password_max_bytes=settings.password_max_bytes,
        lease=micros(calls + _LEASE_SLACK_SECONDS),
        approval=micros(_APPROVAL_SECONDS),
    )

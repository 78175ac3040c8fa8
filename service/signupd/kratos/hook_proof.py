"""The proof that Kratos asks our password hook before it stores an account.

Kratos makes accounts without asking if its password hook is missing or stands in the
wrong place. So a registration that our hook must refuse is tried once, the probe, and
StartSignup sends no mail before. The probe is for a random address under
``probe.invalid`` (RFC 6761 keeps that domain from ever existing), leaves no account,
and costs Kratos one password hash.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from signupd.errors import KratosIncompatible, KratosUnavailable, SignupdError
from signupd.kratos.admin import Kratos
from signupd.kratos.answers import PasswordAnswer
from signupd.kratos.identity import ADDRESS_TRAIT

Sign = Callable[[str, str], str]
# A failed proof is not tried again sooner: each costs Kratos a password hash.
PROOF_INTERVAL_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 0.5
REFUSED_BY_US: Final = frozenset(
    {PasswordAnswer.HOOK_UNKNOWN_FLOW, PasswordAnswer.HOOK_NOT_NOW}
)
_MAY_HAVE_STORED: Final = frozenset(
    {
        PasswordAnswer.CREATED,
        PasswordAnswer.HOOK_LATE,
        PasswordAnswer.HOOK_AWAY,
        PasswordAnswer.HOOK_REFUSED,
        PasswordAnswer.UNCLEAR,
    }
)

_HOOK = "selfservice.flows.registration.after.password.hooks"
FAULTS: Final = {
    PasswordAnswer.CREATED: (
        f"Kratos made an account without asking: {_HOOK} has no web_hook to "
        "/kratos/password with response.parse true (under after.hooks it does not "
        'count), or its body ends in error "cancel"; the account is deleted again'
    ),
    PasswordAnswer.HOOK_LATE: (
        "Kratos asked a hook after it had stored an account: set response.parse true "
        f"at the web_hook to /kratos/password in {_HOOK}; the account is deleted again"
    ),
    PasswordAnswer.HOOK_FOREIGN: (
        "Kratos asks a signupd with another DIGEST_KEY, or sends ours no flow_id and "
        f"email: in {_HOOK}, the URL has to lead to servers that share this one's "
        "ledger, and the body to be that of kratos/hooks/password.jsonnet"
    ),
    PasswordAnswer.HOOK_SWAPPED: (
        "Kratos asks /kratos/code before it stores an account with a password: "
        f"{_HOOK} needs the URL that ends in /kratos/password, and after.code.hooks "
        "the one that ends in /kratos/code"
    ),
    PasswordAnswer.HOOK_REFUSED: (
        f"another web_hook refused a registration: in {_HOOK}, it has to let pass "
        "those of signupd's proof, for addresses under probe.invalid"
    ),
    PasswordAnswer.UNCLEAR: (
        "Kratos refuses to register by password with a message unknown to signupd"
    ),
    PasswordAnswer.TAKEN: "Kratos says that a random address is taken",
    PasswordAnswer.HOOK_AWAY: (
        "Kratos got no answer from this server's password hook, or from another one "
        f"with response.parse, so it makes no account. Correct {_HOOK}: our URL has to "
        "lead to HOOK_LISTEN, X-Hook-Key has to be HOOK_KEY, with HOOK_TLS_CERT Kratos "
        "has to trust its authority (SSL_CERT_FILE), the body has to be valid jsonnet, "
        "clients.http has to allow the address, and the other hooks have to work. "
        "Kratos' log says which one failed"
    ),
    PasswordAnswer.METHOD_OFF: (
        "Kratos does not register by password: is selfservice.methods.password.enabled "
        "true?"
    ),
}
UNPROVED: Final = (
    "Kratos refuses the traits or the password of the proof before it calls our hook: "
    "a required trait is missing, which the next StartSignup may bring, or a pattern "
    "of the identity schema, or another hook, excludes addresses under probe.invalid"
)


class HookProof:
    """Proves, once, that Kratos asks our password hook before it stores an account.

    ``sign`` signs what the hook is sent as our hook does. Faults go to the log, with
    the setting to mend. The clock has monotonic seconds.
    """

    def __init__(
        self,
        kratos: Kratos,
        log: structlog.typing.FilteringBoundLogger,
        sign: Sign,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kratos = kratos
        self._log = log
        self._sign = sign
        self._clock = clock
        self._lock = asyncio.Lock()
        self._seen_missing = False
        self._fault: KratosIncompatible | KratosUnavailable = KratosUnavailable()
        self._next_try = 0.0
        self.proved = False
        self.changed = asyncio.Event()  # set at each change; its one waiter clears it
        self.waits = False  # for a caller's traits, without which there is no proof

    def revoke(self) -> None:
        """Require a new proof: Kratos was seen to store without asking."""
        self.proved = False
        self._seen_missing = True
        self.changed.set()

    async def prove(self, traits: Mapping[str, Any]) -> None:
        """Return once the proof is made; make it if necessary.

        Kratos checks the traits against the schema before it asks a hook. If more
        than the address is required, the proof waits for a caller who brings them.

        Raises:
            KratosIncompatible: Kratos does not ask, or not us. The log says why.
            KratosUnavailable: It does not answer.
        """
        async with self._lock:
            if self.proved:
                return
            if self._clock() < self._next_try:
                raise type(self._fault)(self._fault.detail)
            try:
                await self._try(traits)
            except KratosIncompatible as error:
                self._log.error("kratos_incompatible", why=error.detail)
                self._fault = error
                self._next_try = self._clock() + PROOF_INTERVAL_SECONDS
                raise
            except KratosUnavailable as error:
                # Calls that waited for this proof must not each wait for their own.
                self._fault, self._next_try = error, self._clock() + AWAY_SECONDS
                raise

    async def _try(self, traits: Mapping[str, Any]) -> None:
        self.waits = False
        answer = await probe(self._kratos, self._log, traits, self._sign)
        if answer in REFUSED_BY_US:
            self.proved, self._seen_missing = True, False
            self.changed.set()
            self._log.info("password_hook_proved")
        elif answer in FAULTS:
            raise KratosIncompatible(FAULTS[answer])
        elif self._seen_missing:
            raise KratosIncompatible(FAULTS[PasswordAnswer.CREATED])
        else:
            self.waits = True
            self.changed.set()
            self._log.warning("password_hook_not_proved", why=UNPROVED)


async def probe(
    kratos: Kratos,
    log: structlog.typing.FilteringBoundLogger,
    traits: Mapping[str, Any],
    sign: Sign | None,
) -> PasswordAnswer:
    """Try a registration that our hook must refuse, and delete what it leaves.

    The traits are what the schema requires besides the address. The answer is CREATED
    also if an account was there after an unclear one, and HOOK_FOREIGN if a refusal is
    not signed as ``sign`` does; without it that is not known.

    Raises:
        KratosIncompatible: Kratos opens no flow, or its admin API does not let us in.
        KratosUnavailable: It did not answer; what it may have stored is deleted.
    """
    address = probe_address()
    await kratos.admin.find_identity(address)  # a wrong URL shows before the first mail
    flow_id = await kratos.public.open_registration()
    try:
        result = await kratos.public.submit_password(
            flow_id, {**traits, ADDRESS_TRAIT: address}, secrets.token_urlsafe(24)
        )
    except KratosUnavailable:
        await _clean_up(kratos, log, address)
        raise
    if (
        result.answer in REFUSED_BY_US
        and sign
        and sign(flow_id, address) not in result.said
    ):
        return PasswordAnswer.HOOK_FOREIGN
    if result.answer not in _MAY_HAVE_STORED:
        return result.answer
    stored = await _clean_up(kratos, log, address)
    told = result.answer is PasswordAnswer.HOOK_LATE
    return PasswordAnswer.CREATED if stored and not told else result.answer


def probe_address() -> str:
    """Make a random address that was never used."""
    return f"probe-{uuid.uuid4().hex}@probe.invalid"


async def _clean_up(
    kratos: Kratos, log: structlog.typing.FilteringBoundLogger, address: str
) -> bool:
    """Delete what the probe left, if anything; only it can know such an address."""
    left = None
    try:
        left = await kratos.admin.find_identity(address)
        if left is not None:
            await kratos.admin.delete_identity(left.id)
    except SignupdError as error:
        log.warning("probe_left_behind", probe=address, why=error.detail)
    return left is not None

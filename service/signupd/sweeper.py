"""The sweeper: expires sign-ups, settles dead leases, deletes what is past its time."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Final, NoReturn

from signupd.errors import KratosUnavailable, LedgerUnavailable, SignupdError
from signupd.ledger.record import State
from signupd.policy.rules import PASSWORDS_KEPT, micros
from signupd.sealing import SealBroken
from signupd.settings import Settings
from signupd.signup import transitions
from signupd.signup.deps import Dependencies
from signupd.signup.outcomes import note_event
from signupd.signup.recovery import settle
from signupd.telemetry.observer import DONE, FAILED
from signupd.work import Work

# After this many failures in a row Kratos is the cause, not the rows.
_GIVE_UP_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round did, in rows."""

    settled: int  # dead leases, by what Kratos says
    failed: int  # dead leases that a later round tries again
    expired: int  # sign-ups whose step had lapsed
    forgotten: int  # sign-ups, password digests and buckets past their time
    more: bool  # whether a batch was full, so another round should follow at once


class Sweeper:
    """Sweeps the ledger, one round after the other.

    A round takes at most a batch of rows of each kind. ``work`` is the round under way.
    """

    def __init__(self, deps: Dependencies, settings: Settings) -> None:
        self._deps = deps
        self._batch = settings.sweep_batch
        self._retention = micros(settings.retention)
        self._interval = settings.sweep_interval
        self.work = Work()

    async def run(self) -> NoReturn:
        """Sweep until cancelled, with a pause after each round."""
        log, rounds = self._deps.log, self._deps.observer.rounds
        while True:
            rest, begun, outcome = self._interval, time.monotonic(), FAILED
            try:
                swept = await self.sweep()
                outcome = DONE
                if swept.more:
                    # As long as the round took: callers keep half of the ledger's time.
                    rest = min(rest, time.monotonic() - begun)
            except LedgerUnavailable as error:
                log.warning("not_swept", why=error.detail)
            except Exception:
                log.exception("defect", where="sweeper")
            rounds.labels(outcome).inc()
            await asyncio.sleep(rest)

    async def sweep(self) -> Swept:
        """Do one round, to its end even if the caller is cancelled."""
        return await self.work.run(self._sweep)

    async def clamp(self) -> bool:
        """Clamp a batch of times that a clock ahead left; is there more?"""
        rules = self._deps.rules
        steps = {
            State.CODE_REQUIRED: rules.code_ttl,
            State.PASSWORD_REQUIRED: rules.password_ttl,
        }
        clamped = await self._deps.ledger.clamp(
            self._batch, steps=steps, lease=rules.lease, approval=rules.approval
        )
        if any(clamped):
            self._deps.log.warning("clock_ran_ahead", clamped=sum(clamped))
        return max(clamped) >= self._batch

    async def _sweep(self) -> Swept:
        """Do one round: at most one batch of each kind."""
        deps, ledger = self._deps, self._deps.ledger
        await ledger.read_clock()
        more = await self.clamp()
        settled, failed = await self._settle_dead()
        expired = await ledger.expire(self._batch)
        for signup_id, caller in expired:
            note_event(deps, transitions.Event.EXPIRED, signup_id, caller)
        now = ledger.now()
        forgotten = await ledger.forget(
            self._batch,
            passwords_before=now - PASSWORDS_KEPT,
            signups_before=now - self._retention,
        )
        if settled or failed or expired:
            deps.log.info("swept", settled=settled, failed=failed, expired=len(expired))
        return Swept(
            settled,
            failed,
            len(expired),
            sum(forgotten),
            more=more or max(settled, len(expired), *forgotten) >= self._batch,
        )

    async def _settle_dead(self) -> tuple[int, int]:
        """Settle one batch; rows that cannot be settled do not hold up the others."""
        settled = failed = in_a_row = 0
        for signup_id in await self._deps.ledger.dead_leases(self._batch):
            try:
                settled += await self._settle_one(signup_id)
                in_a_row = 0
            except (SignupdError, SealBroken) as error:
                failed += 1
                in_a_row += isinstance(error, KratosUnavailable)
                self._deps.log.warning(
                    "not_settled", signup_id=str(signup_id), why=repr(error)
                )
            if in_a_row >= _GIVE_UP_AFTER:
                break
        return settled, failed

    async def _settle_one(self, signup_id: uuid.UUID) -> bool:
        """Move one row on, and return whether it moved."""
        deps = self._deps
        found = await deps.ledger.find(signup_id)
        if found is None or not transitions.needs_recovery(found.record, found.now):
            return False
        if found.record.state is not State.STARTING:
            await settle(deps, found)
            return True
        if not transitions.is_expired(found.record, found.now):
            return False  # its caller may still repeat StartSignup
        # Its caller never got a continuation token.
        await deps.ledger.remove(found.record)
        return True

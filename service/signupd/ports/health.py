"""Health: what this process can do at the moment, for gRPC's health service."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from signupd.errors import SignupdError
from signupd.signup.deps import Dependencies

INTERVAL_SECONDS: Final = 5.0
# Of one look at the ledger or at an API of Kratos.
LOOK_SECONDS: Final = 2.0


async def watch(
    deps: Dependencies,
    tell: Callable[[dict[str, bool]], Awaitable[None]],
    seconds: float,
) -> NoReturn:
    """Look again and again, at once when the hook's proof changes; tell what was seen.

    ``tell`` gets the names of services, the empty one for the process, and whether each
    works. The process needs its ledger; AccountService needs Kratos' admin API;
    SignupService needs the ledger, Kratos' public API and the proof of the hook, which
    a caller may have to bring.
    """
    kratos, before = deps.kratos, None
    while True:
        ledger, public, admin = await asyncio.gather(
            _works(deps, deps.ledger.probe()),
            _works(deps, kratos.public.ready(LOOK_SECONDS)),
            _works(deps, kratos.admin.ready(LOOK_SECONDS)),
        )
        proof = deps.hook_proof
        signups = ledger and public and (proof.proved or proof.waits)
        seen = {"": ledger, "SignupService": signups, "AccountService": admin}
        if seen != before:
            say = deps.log.info if ledger and public and admin else deps.log.warning
            say("health", ledger=ledger, kratos=public, kratos_admin=admin)
            await tell(seen)
        before = seen
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await proof.changed.wait()
        proof.changed.clear()


async def _works(deps: Dependencies, look: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await look
    except (SignupdError, TimeoutError):
        return False
    except Exception:  # or health would never be told again
        deps.log.exception("defect", where="health")
        return False
    return True

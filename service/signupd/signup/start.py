"""StartSignup: mail a code, by one path for free and taken addresses."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from signupd.address import Address, parse_address
from signupd.errors import (
    KratosIncompatible,
    RequestIdReused,
    SendLimitReached,
    SignupBusy,
)
from signupd.kratos.answers import FlowState
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import Lease, Record, State
from signupd.policy.limits import Counted, client_of
from signupd.policy.rules import SECOND
from signupd.policy.traits import identity_traits
from signupd.sealing import (
    Contents,
    SealBroken,
    Step,
    address_digest,
    digests_equal,
    open_contents,
    seal_contents,
    seal_mask,
)
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import (
    NOT_SENT,
    Leased,
    mail_code,
    move,
    recovery_on_error,
    step_result,
)
from signupd.signup.recovery import settle

# One more if a crash left open whether the first one was sent.
MAX_FIRST_MAILS: Final = 2


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The fields of a StartSignup whose form was checked."""

    email: str  # as the person typed it
    traits: Mapping[str, Any]  # further ones, JSON values by name
    locale: str  # for mail templates and operators' hooks; may be empty
    request_id: uuid.UUID | None
    caller: str = ""  # whom the request id belongs to
    client_ip: str = ""  # the person's; may be empty; for limits alone

    def __repr__(self) -> str:
        """Show nothing of the person."""
        return f"StartRequest(request_id={self.request_id})"


async def start_signup(deps: Dependencies, request: StartRequest) -> StepResult:
    """Begin a sign-up: Kratos mails a code to the address."""
    address = parse_address(request.email)
    traits = identity_traits(address.text, request.traits)
    repeated = await _repeat(deps, request, address)
    if repeated is not None:
        return repeated
    # After repeats: a retry of a call that was let in has that call's outcome.
    if deps.domains is not None:
        await deps.domains.permit(address)
    await deps.schema.permit(request.traits)
    return await _begin(deps, request, address, traits)


async def _begin(
    deps: Dependencies, request: StartRequest, address: Address, traits: dict[str, Any]
) -> StepResult:
    """Count the mail before the first call to Kratos, insert the row, and send."""
    await deps.ledger.read_clock()  # this process may have been suspended
    digest = address_digest(deps.keys, address.text)
    client = client_of(deps.keys, request.client_ip)
    async with deps.limits.first_mail(digest, client) as counted:
        await deps.hook_proof.prove(traits)
        flow_id = await deps.kratos.public.open_registration()
        contents = Contents(
            address.text, traits, request.locale, flow_id, client=client
        )
        record = _new_record(deps, request, address, contents, digest)
        if counted.guessed:
            record = record._replace(code_attempts=deps.rules.code_attempts - 1)
        await deps.ledger.add(record)
    return await _send(deps, record, contents, counted)


async def _repeat(
    deps: Dependencies, request: StartRequest, address: Address
) -> StepResult | None:
    """Answer a repeat by the result of the first call; None if it is not a repeat."""
    if request.request_id is None:
        return None
    found = await deps.ledger.find_request(request.caller, request.request_id)
    if found is None:
        return None
    record = found.record
    digest = _request_digest(deps, request, address)
    if not digests_equal(digest or b"", record.request_digest or b""):
        raise RequestIdReused
    try:
        return await _outcome(deps, found)
    except SealBroken as error:
        deps.log.exception("signup_unreadable", signup_id=str(record.signup_id))
        raise RequestIdReused from error  # only a new id can begin anew


async def _outcome(deps: Dependencies, found: Snapshot) -> StepResult | None:
    """Answer by the result of a call, or carry it on; None if it has expired."""
    record = found.record
    if record.state is not State.STARTING:
        if transitions.needs_recovery(record, found.now):
            found = await settle(deps, found)
        return step_result(deps, found.record, Step.CODE, found.now)
    if transitions.is_busy(record, found.now):
        raise SignupBusy
    if transitions.is_expired(record, found.now):
        await deps.ledger.remove(record)
        return None
    return await _resume(deps, found)


async def _resume(deps: Dependencies, found: Snapshot) -> StepResult:
    """Carry on after a call that died, or lost Kratos' answer to the mail."""
    record, contents = found.record, open_contents(deps.keys, found.record)
    if await deps.kratos.public.flow_state(contents.flow_id) is FlowState.SENT_EMAIL:
        return await _sent(deps, record)
    if record.sends >= min(MAX_FIRST_MAILS, deps.rules.sends):
        # No token was ever returned: after expiry the request may begin anew.
        wait = record.expire_time - found.now
        raise SendLimitReached(retry_after_seconds=wait / SECOND)
    digest, client = record.address_digest, contents.client
    async with deps.limits.first_mail(digest, client) as counted:
        flow_id = await deps.kratos.public.open_registration()
        contents = replace(contents, flow_id=flow_id)
        sealed = seal_contents(deps.keys, record.signup_id, contents)
        changes = transitions.sending(record, found.now, deps.rules, sealed)
        record = await deps.ledger.change(record, **changes)
    return await _send(deps, record, contents, counted)


async def _send(
    deps: Dependencies, record: Record, contents: Contents, counted: Counted
) -> StepResult:
    """Send the mail under the row's lease, and write down what came of it."""
    async with recovery_on_error(deps, Leased(record, record, contents)):
        try:
            await mail_code(deps, contents.flow_id, contents, counted)
        except NOT_SENT:
            await _take_back(deps, record, record.sends - 1)
            raise
        except KratosIncompatible:
            await _take_back(deps, record, record.sends)  # the mail stays counted
            raise
        return await _sent(deps, record)


async def _take_back(deps: Dependencies, record: Record, sends: int) -> None:
    """End the lease of a first mail: remove the row, or restore it."""
    if record.sends == 1:
        await deps.ledger.remove(record)
        return
    await deps.ledger.change(record, **transitions.undecided(), sends=sends)


async def _sent(deps: Dependencies, record: Record) -> StepResult:
    now = deps.ledger.now()
    changes = transitions.code_sent(now, deps.rules)
    record = await move(deps, record, transitions.Event.STARTED, changes)
    return step_result(deps, record, Step.CODE, now)


def _new_record(
    deps: Dependencies,
    request: StartRequest,
    address: Address,
    contents: Contents,
    digest: bytes,
) -> Record:
    """Make the row of a new sign-up."""
    signup_id, now = uuid.uuid4(), deps.ledger.now()
    return Record(
        signup_id=signup_id,
        state=State.STARTING,
        lease=Lease.SENDING,
        lease_until=now + deps.rules.lease,
        address_digest=digest,
        sealed=seal_contents(deps.keys, signup_id, contents),
        sealed_mask=seal_mask(deps.keys, signup_id, address.masked),
        create_time=now,
        send_time=now,
        expire_time=now + deps.rules.code_ttl,
        state_time=now,
        caller=request.caller,
        request_id=request.request_id,
        request_digest=_request_digest(deps, request, address),
    )


def _request_digest(
    deps: Dependencies, request: StartRequest, address: Address
) -> bytes | None:
    if request.request_id is None:
        return None
    traits = json.dumps(request.traits, sort_keys=True).encode()
    return deps.keys.digest(
        b"request", address.text.encode(), traits, request.locale.encode()
    )

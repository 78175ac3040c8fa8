"""StartSignup: have a code mailed. One path, whether the address is free or taken."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from signupd.address import Address, parse_address
from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    RequestIdReused,
    SendLimitReached,
    SignupBusy,
    TraitsInvalid,
)
from signupd.kratos.outcomes import FlowState
from signupd.ledger.record import Lease, Record, State
from signupd.sealing import SealBroken, Step, digests_equal
from signupd.signup import transitions
from signupd.signup.contents import Contents, open_contents, seal_contents, seal_mask
from signupd.signup.deps import Answer
from signupd.signup.digests import address_digest
from signupd.signup.events import Event
from signupd.signup.limits import Counted, client_of, first_mail, uncount
from signupd.signup.rules import SECOND
from signupd.signup.settle import mail_went, settle
from signupd.signup.traits import identity_traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signupd.ledger.ledger import Found
    from signupd.signup.deps import Deps


# One more where a death left open whether the first one went.
MAX_FIRST_MAILS: Final = 2


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What StartSignup is called with, its fields' form checked already.

    Args:
        email: As the person typed it.
        traits: Further traits, JSON values by name.
        locale: For the mail template; may be empty.
        request_id: By which a repeat is known, where given.
        caller: Whom the request id belongs to.
        client_ip: Where the person is; may be empty. For limits alone.
    """

    email: str
    traits: Mapping[str, Any]
    locale: str
    request_id: uuid.UUID | None
    caller: str = ""
    client_ip: str = ""

    def __repr__(self) -> str:
        """Show nothing of the person."""
        return f"StartRequest(request_id={self.request_id})"


async def start_signup(deps: Deps, request: StartRequest) -> Answer:
    """Begin a sign-up: Kratos mails a code to the address.

    Raises:
        EmailInvalid, TraitsInvalid: With the faulty fields; no mail went.
        RequestIdReused: The request id came with something else before.
        SendLimitReached: Too many mails, to the address or for the client.
        SignupBusy: The same request is at work elsewhere.
        KratosUnavailable: Repeat with the same request id.
        KratosIncompatible: Kratos is not set up for this.
    """
    address = parse_address(request.email)
    traits = identity_traits(address.text, request.traits)
    known = await _known(deps, request, address)
    if known is not None:
        return known
    await deps.schema.permit(request.traits)
    return await _begin(deps, request, address, traits)


async def _begin(
    deps: Deps, request: StartRequest, address: Address, traits: dict[str, Any]
) -> Answer:
    """Count the mail before Kratos is asked for anything, insert the row, and send."""
    digest = address_digest(deps.keys, address.text)
    client = client_of(deps.keys, request.client_ip)
    async with first_mail(deps, digest, client) as counted:
        await deps.gate.prove(traits)
        flow_id = await deps.kratos.public.open_registration()
        contents = Contents(
            address.text, traits, request.locale, flow_id, client=client
        )
        record = _new_record(deps, request, address, contents, digest)
        await deps.ledger.add(record)
    return await _send(deps, record, contents, counted)


async def _known(deps: Deps, request: StartRequest, address: Address) -> Answer | None:
    """Answer a repeat by what came of the first call; None where it is no repeat."""
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


async def _outcome(deps: Deps, found: Found) -> Answer | None:
    """Tell what came of a call, or carry it on; None where it is over for good."""
    record = found.record
    if record.state is not State.STARTING:
        found = await settle(deps, found)
        return _answer(deps, found.record, found.now)
    if transitions.at_work(record, found.now):
        raise SignupBusy
    if transitions.expired(record, found.now):
        await deps.ledger.remove(record)
        return None
    return await _resume(deps, found)


async def _resume(deps: Deps, found: Found) -> Answer:
    """Carry on where a call died, or lost Kratos' answer, before it knew of a mail."""
    record, contents = found.record, open_contents(deps.keys, found.record)
    if await deps.kratos.public.flow_state(contents.flow_id) is FlowState.SENT_EMAIL:
        return await _sent(deps, record, contents)
    if record.sends >= min(MAX_FIRST_MAILS, deps.rules.sends):
        # No token was ever told: when this sign-up is over the request may begin anew.
        wait = record.expire_time - found.now
        raise SendLimitReached(retry_after_seconds=wait / SECOND)
    async with first_mail(deps, record.address_digest, contents.client) as counted:
        flow_id = await deps.kratos.public.open_registration()
        contents = replace(contents, flow_id=flow_id)
        sealed = seal_contents(deps.keys, record.signup_id, contents)
        sends = record.sends + 1
        record = await deps.ledger.change(
            record, **transitions.sending(found.now, deps.rules, sealed, sends)
        )
    return await _send(deps, record, contents, counted)


async def _send(
    deps: Deps, record: Record, contents: Contents, counted: Counted
) -> Answer:
    """Have the mail sent under the row's lease, and write down what came of it."""
    try:
        await deps.kratos.public.send_code(
            contents.flow_id, contents.traits, contents.locale
        )
    except (TraitsInvalid, KratosUnreached, KratosFlowGone):
        await uncount(deps, counted)  # no mail went: as if never asked for
        await _take_back(deps, record, record.sends - 1)
        raise
    except KratosIncompatible:
        # A mail may have gone even so, and stays counted (see ``send_code``).
        await _take_back(deps, record, record.sends)
        raise
    except KratosUnavailable:
        if not await mail_went(deps, contents.flow_id):
            await deps.ledger.change(record, **transitions.undecided())
            raise
    return await _sent(deps, record, contents)


async def _take_back(deps: Deps, record: Record, sends: int) -> None:
    """End the lease of a first mail: the sign-up is gone, or as it was before."""
    if record.sends == 1:
        await deps.ledger.remove(record)
        return
    changes = {**transitions.undecided(), "sends": sends}
    await deps.ledger.change(record, **changes)


async def _sent(deps: Deps, record: Record, contents: Contents) -> Answer:
    now = deps.ledger.now()
    changes = transitions.code_sent(now, deps.rules)
    record = await deps.ledger.change(record, **changes)
    deps.events.note(Event.STARTED, record.signup_id, record.caller)
    return _answer(deps, record, now, Address(contents.address))


def _answer(
    deps: Deps, record: Record, now: int, address: Address | None = None
) -> Answer:
    view = deps.view(record, now, address=address)
    token = "" if view.state.final else deps.keys.seal_token(view.signup_id, Step.CODE)
    return Answer(token, view)


def _new_record(
    deps: Deps,
    request: StartRequest,
    address: Address,
    contents: Contents,
    digest: bytes,
) -> Record:
    """Make the row, with the address' digest, of a sign-up that begins."""
    signup_id, now = uuid.uuid4(), deps.ledger.now()
    return Record(
        signup_id=signup_id,
        state=State.STARTING,
        lease=Lease.SENDING,
        epoch=1,
        lease_until=now + deps.rules.lease,
        approved_until=0,
        address_digest=digest,
        sealed=seal_contents(deps.keys, signup_id, contents),
        sealed_mask=seal_mask(deps.keys, signup_id, address.masked),
        code_digest=None,
        password_flow_digest=None,
        sealed_passwords=None,
        identity_id=None,
        code_attempts=0,
        code_repeats=0,
        password_attempts=0,
        sends=1,
        create_time=now,
        send_time=now,
        expire_time=now + deps.rules.code_ttl,
        state_time=now,
        caller=request.caller,
        request_id=request.request_id,
        request_digest=_request_digest(deps, request, address),
    )


def _request_digest(
    deps: Deps, request: StartRequest, address: Address
) -> bytes | None:
    if request.request_id is None:
        return None
    traits = json.dumps(request.traits, sort_keys=True).encode()
    return deps.keys.digest(
        b"request", address.text.encode(), traits, request.locale.encode()
    )

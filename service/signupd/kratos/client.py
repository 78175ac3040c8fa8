"""Kratos' calls, one method each. Sources: Kratos' API as tried, docs/rationale.md."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    TraitsInvalid,
)
from signupd.kratos.calls import Call
from signupd.kratos.outcomes import (
    CODE_SENT_ID,
    FLOW_DISABLED,
    CodeAnswer,
    CodeResult,
    Delivery,
    Flow,
    FlowState,
    Identity,
    PasswordAnswer,
    PasswordResult,
    code_answer,
    error_id,
    password_result,
    read_flow,
    read_identity,
    trait_violations,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signupd.kratos.admin import AdminApi
    from signupd.kratos.http import HttpClient, Response

_REGISTRATION: Final = "/self-service/registration"
_CODE_MAIL: Final = "registration_code_valid"
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_DELIVERIES: Final = {
    "queued": Delivery.QUEUED,
    "processing": Delivery.QUEUED,
    "sent": Delivery.SENT,
    "abandoned": Delivery.FAILED,
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for Kratos, in seconds.

    Args:
        call: Where Kratos works alone.
        hooked: Where it calls a hook on the way: a dead hook costs it 3 s, a slow one
            as long as it takes.
    """

    call: float
    hooked: float


class Kratos:
    """Calls Kratos. Every method raises what ``HttpClient.request`` raises.

    Args:
        http: Where requests go out.
        public_url: Kratos' public API, without a trailing slash.
        admin: Kratos' admin API.
        timeouts: How long to wait.
    """

    def __init__(
        self, http: HttpClient, *, public_url: str, admin: AdminApi, timeouts: Timeouts
    ) -> None:
        self._http = http
        self._public = public_url
        self._admin = admin
        self._timeouts = timeouts

    async def open_registration(self) -> str:
        """Open a registration flow. Nobody notices if it is then forgotten.

        Returns:
            Its id.

        Raises:
            KratosIncompatible: Registration is switched off.
        """
        answer = await self._get(f"{self._public}{_REGISTRATION}/api", Call.OPEN)
        if answer.status != HTTPStatus.OK:
            raise KratosIncompatible(
                "Kratos opens no registration flow"
                + (
                    ": selfservice.flows.registration.enabled is false"
                    if error_id(answer.body) == FLOW_DISABLED
                    else f" (HTTP status {answer.status})"
                )
            )
        return read_flow(answer.body).id

    async def send_code(
        self, flow_id: str, traits: Mapping[str, Any], locale: str
    ) -> None:
        """Have Kratos mail a code. The answer is alike for free and taken addresses.

        Args:
            flow_id: A flow that no code was sent by yet.
            traits: The identity's traits, the address among them.
            locale: For the mail template; may be empty.

        Raises:
            TraitsInvalid: With the traits that do not fit the schema. No mail goes.
            KratosFlowGone: There is no such flow, or methods.code.enabled is false. Nor
                does one here.
            KratosIncompatible: passwordless_enabled is false. 1.3.1 mails all the same,
                and says so in fewer words.
        """
        payload: dict[str, Any] = {"method": "code", "traits": traits}
        if locale:
            payload["transient_payload"] = {"locale": locale}
        seconds = self._timeouts.call
        answer = await self._submit(flow_id, payload, seconds, Call.SEND)
        if answer.status in _GONE:
            raise KratosFlowGone(
                f"Kratos answered a new flow with HTTP status {answer.status}: "
                "methods.code.enabled is false, perhaps"
            )
        flow = self._flow_of(answer, "an unknown answer to a new flow")
        if CODE_SENT_ID in flow.ids():
            return
        if violations := trait_violations(flow):
            raise TraitsInvalid("Kratos refused the traits", violations=violations)
        raise KratosIncompatible(
            "Kratos sends no registration code: is "
            "selfservice.methods.code.passwordless_enabled true?"
        )

    async def submit_code(
        self,
        flow_id: str,
        traits: Mapping[str, Any],
        code: str,
        *,
        again: bool = False,
    ) -> CodeResult:
        """Have Kratos check a code.

        Args:
            flow_id: The flow by which the code was sent.
            traits: The very traits it was sent with.
            code: As the person typed it.
            again: Whether this repeats a submission whose answer was lost. It waits no
                longer than any other call, since one lease covers both.

        Returns:
            What Kratos made of it. UNCLEAR where only the flow can tell.
        """
        payload = {"method": "code", "traits": traits, "code": code}
        seconds = self._timeouts.call if again else self._timeouts.hooked
        answer = await self._submit(flow_id, payload, seconds, Call.CODE)
        if answer.status == HTTPStatus.OK:
            return CodeResult(CodeAnswer.HOOK_MISSING, _stored_id(answer.body))
        if answer.status in _GONE:
            return CodeResult(CodeAnswer.LAPSED)
        if not _is_flow(answer.body):
            return CodeResult(CodeAnswer.UNCLEAR)
        return CodeResult(code_answer(read_flow(answer.body)))

    async def flow_state(self, flow_id: str) -> FlowState:
        """Ask how far a flow has come."""
        url = f"{self._public}{_REGISTRATION}/flows?id={flow_id}"
        answer = await self._get(url, Call.FLOW)
        if answer.status in _GONE:
            return FlowState.GONE
        flow = self._flow_of(answer, "an unknown answer to a flow's state")
        try:
            return FlowState(flow.state)
        except ValueError as error:
            raise KratosIncompatible("a flow is in a state unknown here") from error

    async def submit_password(
        self, flow_id: str, traits: Mapping[str, Any], password: str
    ) -> PasswordResult:
        """Have Kratos make the account; it asks our password hook first.

        Args:
            flow_id: A fresh flow.
            traits: The identity's traits, the address among them.
            password: Exactly as received.

        Returns:
            What Kratos made of it. UNCLEAR where the address has to be looked up.
        """
        payload = {"method": "password", "traits": traits, "password": password}
        seconds = self._timeouts.hooked
        answer = await self._submit(flow_id, payload, seconds, Call.PASSWORD)
        if answer.status == HTTPStatus.OK:
            return PasswordResult(PasswordAnswer.CREATED, _stored_id(answer.body))
        if answer.status == HTTPStatus.NOT_FOUND:
            return PasswordResult(PasswordAnswer.METHOD_OFF)
        if not _is_flow(answer.body):
            return PasswordResult(PasswordAnswer.UNCLEAR)
        return password_result(read_flow(answer.body))

    async def find_identity(self, address: str) -> Identity | None:
        """Look an account up by its address, whatever its letter case."""
        found = await self._admin.listed(
            f"/admin/identities?credentials_identifier={quote(address, safe='')}",
            Call.FIND,
        )
        return read_identity(found[0]) if found else None

    async def end_sessions(self, identity_id: uuid.UUID) -> None:
        """End all sessions of an account; there may be none."""
        await self._admin.delete(f"/admin/identities/{identity_id}/sessions")

    async def delete_identity(self, identity_id: uuid.UUID) -> None:
        """Delete an account. Only for one that an answer to our own POST named."""
        await self._admin.delete(f"/admin/identities/{identity_id}")

    async def code_delivery(self, address: str, since: datetime) -> Delivery | None:
        """Ask the courier what became of the newest code mail to an address.

        Args:
            address: The canonical address.
            since: Mails queued before are not looked at; with a time zone.

        Returns:
            None where there is no such mail among the address' last ten.
        """
        newest = await self._admin.listed(
            f"/admin/courier/messages?page_size=10&recipient={quote(address, safe='')}"
        )
        try:
            mails = [
                (datetime.fromisoformat(mail["created_at"]), str(mail["status"]))
                for mail in newest
                if mail["template_type"] == _CODE_MAIL
            ]
            _, status = max(mail for mail in mails if mail[0] >= since)
            return _DELIVERIES[status]
        except ValueError:
            return None
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error

    async def _get(self, url: str, call: Call) -> Response:
        return await self._http.request("GET", url, self._timeouts.call, call=call)

    async def _submit(
        self,
        flow_id: str,
        payload: dict[str, Any],
        timeout_seconds: float,
        call: Call,
    ) -> Response:
        url = f"{self._public}{_REGISTRATION}?flow={flow_id}"
        return await self._http.request(
            "POST", url, timeout_seconds, payload, call=call
        )

    def _flow_of(self, answer: Response, hint: str) -> Flow:
        if not _is_flow(answer.body):
            raise KratosIncompatible(
                f"Kratos answered a flow with HTTP status {answer.status}: {hint}"
            )
        return read_flow(answer.body)


def _is_flow(body: Any) -> bool:
    return isinstance(body, dict) and "ui" in body


def _stored_id(body: Any) -> uuid.UUID:
    try:
        return uuid.UUID(body["identity"]["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise KratosUnavailable("Kratos named no account in its 200") from error

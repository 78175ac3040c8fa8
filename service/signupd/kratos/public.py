"""Kratos' public API: registration flows and identity schemas, one method a call."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    TraitsInvalid,
)
from signupd.kratos.calls import Call
from signupd.kratos.offer import (
    FIRST_STEP,
    Field,
    FlowKind,
    Offer,
    offer_of,
    read_fields,
)
from signupd.kratos.outcomes import (
    CODE_SENT_ID,
    FLOW_DISABLED,
    CodeAnswer,
    CodeResult,
    Flow,
    FlowState,
    PasswordAnswer,
    PasswordResult,
    code_answer,
    error_id,
    is_flow,
    password_result,
    read_flow,
    trait_violations,
)
from signupd.kratos.schema import read_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signupd.kratos.client import Timeouts
    from signupd.kratos.http import HttpClient, Response
    from signupd.kratos.schema import IdentitySchema

_REGISTRATION: Final = "/self-service/registration"
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class PublicApi:
    """Calls the public API. Every method raises what ``HttpClient.request`` raises.

    Args:
        http: Sends the requests.
        url: The public API's, without a trailing slash.
        timeouts: How long to wait.
    """

    def __init__(self, http: HttpClient, url: str, timeouts: Timeouts) -> None:
        self._http = http
        self._url = url
        self._timeouts = timeouts

    async def open_registration(self) -> str:
        """Open a registration flow. Kratos forgets it if nothing is submitted to it.

        Returns:
            Its id.

        Raises:
            KratosIncompatible: Registration is switched off.
        """
        response = await self._get(Call.OPEN, f"{_REGISTRATION}/api")
        if response.status != HTTPStatus.OK:
            raise KratosIncompatible(
                "Kratos opens no registration flow"
                + (
                    ": selfservice.flows.registration.enabled is false"
                    if error_id(response.body) == FLOW_DISABLED
                    else f" (HTTP status {response.status})"
                )
            )
        return read_flow(response.body).id

    async def send_code(
        self, flow_id: str, traits: Mapping[str, Any], locale: str
    ) -> None:
        """Mail a code. The answer is the same for free and taken addresses.

        Args:
            flow_id: A flow by which no code was sent yet.
            traits: The identity's traits, the address among them.
            locale: For the mail template; may be empty.

        Raises:
            TraitsInvalid: With the traits that do not fit the schema. No mail goes.
            KratosFlowGone: There is no such flow, or methods.code.enabled is false. No
                mail goes.
            KratosIncompatible: passwordless_enabled is false. 1.3.1 mails nevertheless,
                and says so in fewer words.
        """
        payload: dict[str, Any] = {"method": "code", "traits": traits}
        if locale:
            payload["transient_payload"] = {"locale": locale}
        response = await self._submit(Call.SEND, flow_id, payload, self._timeouts.call)
        if response.status in _GONE:
            raise KratosFlowGone(
                f"Kratos answered a new flow with HTTP status {response.status}: "
                "methods.code.enabled is false, perhaps"
            )
        flow = _flow(response, flow_id, "a new flow")
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
        """Check a code.

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
        response = await self._submit(Call.CODE, flow_id, payload, seconds)
        if response.status == HTTPStatus.OK:
            return CodeResult(CodeAnswer.HOOK_MISSING, _stored_id(response.body))
        if response.status in _GONE:
            return CodeResult(CodeAnswer.LAPSED)
        if not is_flow(response.body):
            return CodeResult(CodeAnswer.UNCLEAR)
        return CodeResult(code_answer(_flow(response, flow_id)))

    async def submit_password(
        self, flow_id: str, traits: Mapping[str, Any], password: str
    ) -> PasswordResult:
        """Make the account; Kratos asks our password hook first.

        Args:
            flow_id: A fresh flow.
            traits: The identity's traits, the address among them.
            password: Exactly as received.

        Returns:
            What Kratos made of it. UNCLEAR where the address has to be looked up.
        """
        payload = {"method": "password", "traits": traits, "password": password}
        seconds = self._timeouts.hooked
        response = await self._submit(Call.PASSWORD, flow_id, payload, seconds)
        if response.status == HTTPStatus.OK:
            return PasswordResult(PasswordAnswer.CREATED, _stored_id(response.body))
        if response.status == HTTPStatus.NOT_FOUND:
            return PasswordResult(PasswordAnswer.METHOD_OFF)
        if not is_flow(response.body):
            return PasswordResult(PasswordAnswer.UNCLEAR)
        return password_result(_flow(response, flow_id))

    async def flow_state(self, flow_id: str) -> FlowState:
        """Ask how far a flow has come."""
        path = f"{_REGISTRATION}/flows?id={flow_id}"
        response = await self._get(Call.FLOW, path)
        if response.status in _GONE:
            return FlowState.GONE
        flow = _flow(response, flow_id, "a flow's state")
        try:
            return FlowState(flow.state)
        except ValueError as error:
            raise KratosIncompatible("a flow is in a state unknown here") from error

    async def schemas(self) -> tuple[IdentitySchema, ...]:
        """Read all identity schemas.

        Raises:
            KratosIncompatible: They cannot be read.
        """
        response = await self._get(Call.SCHEMAS, "/schemas")
        if response.status != HTTPStatus.OK or not isinstance(response.body, list):
            raise KratosIncompatible(
                f"Kratos' public API shows no schemas (HTTP status {response.status}): "
                "is KRATOS_PUBLIC_URL right?"
            )
        try:
            return tuple(
                read_schema(str(one["id"]), one["schema"]) for one in response.body
            )
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the list of schemas is unknown here") from error

    async def offer(self, kind: FlowKind, traits: Mapping[str, Any]) -> Offer | None:
        """See which ways to register a flow offers. Nothing is registered.

        Args:
            kind: For whom the flow is.
            traits: Traits that fit the schema; for a flow of two steps.

        Returns:
            None if registration is off.

        Raises:
            KratosIncompatible: No flow can be opened.
        """
        opened = await self._get(Call.OPEN, f"{_REGISTRATION}/{kind}")
        if error_id(opened.body) == FLOW_DISABLED:
            return None
        fields = read_fields(opened.status, opened.body)
        second: frozenset[Field] = frozenset()
        if FIRST_STEP in fields:
            filled = await self._fill_in(kind, opened, fields, traits)
            second = read_fields(filled.status, filled.body)
        return offer_of(fields, second)

    async def _fill_in(
        self,
        kind: FlowKind,
        opened: Response,
        fields: frozenset[Field],
        traits: Mapping[str, Any],
    ) -> Response:
        """Fill in the first step of a flow, as a person would.

        A browser's cookie and its token go together; a program's cookie is refused.
        """
        tokens = [field.value for field in fields if field.name == "csrf_token"]
        return await self._submit(
            Call.OTHER,
            opened.body["id"],
            {"method": "profile", "traits": traits, "csrf_token": "".join(tokens)},
            self._timeouts.call,
            {"Cookie": opened.cookies} if kind is FlowKind.BROWSER else None,
        )

    async def _get(self, call: Call, path: str) -> Response:
        url, seconds = self._url + path, self._timeouts.call
        return await self._http.request("GET", url, seconds, call=call)

    async def _submit(
        self,
        call: Call,
        flow_id: str,
        payload: dict[str, Any],
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        url = f"{self._url}{_REGISTRATION}?flow={flow_id}"
        return await self._http.request(
            "POST", url, seconds, payload, headers, call=call
        )


def _flow(response: Response, flow_id: str, asked: str = "") -> Flow:
    """Read the flow that a request was about.

    Raises:
        KratosIncompatible: The response is no flow.
        KratosUnavailable: It is another flow: the answer to another request.
    """
    if not is_flow(response.body):
        raise KratosIncompatible(
            f"Kratos answered a flow with HTTP status {response.status}: an unknown "
            f"answer to {asked}"
        )
    flow = read_flow(response.body)
    if flow.id != flow_id:
        raise KratosUnavailable("Kratos answered with another flow")
    return flow


def _stored_id(body: Any) -> uuid.UUID:
    try:
        return uuid.UUID(body["identity"]["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise KratosUnavailable("Kratos named no account in its 200") from error

"""Kratos' public API: registration flows and identity schemas, one method a call."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from signupd.errors import KratosFlowGone, KratosIncompatible, TraitsInvalid, Violation
from signupd.kratos.answers import (
    CAPTCHA_ID,
    CODE_SENT_ID,
    FLOW_DISABLED,
    CodeResult,
    FlowState,
    PasswordResult,
    code_result,
    demand_kratos,
    is_gone,
    password_result,
)
from signupd.kratos.failures import error_field, if_redirected
from signupd.kratos.flow import read_flow, trait_violations
from signupd.kratos.http import Call, HttpClient, Response
from signupd.kratos.schema import IdentitySchema, read_schema

_REGISTRATION: Final = "/self-service/registration"
# Groups of a flow's fields that are not methods: the traits, and the steps between.
_NO_METHODS: Final = frozenset({"default", "profile", "identifier_first"})


class FlowKind(enum.StrEnum):
    """For whom a flow is. Some methods are offered to browsers alone."""

    API = "api"
    BROWSER = "browser"


class Offer(NamedTuple):
    """What the form of a flow, or of one step of it, offers."""

    methods: frozenset[str]  # the ways to register, such as ``password``
    # Whether these are all. A flow of two steps shows most of them at the second, which
    # the schema's required traits may keep closed.
    whole: bool
    fields: frozenset[str] = frozenset()  # those of traits are ``traits.name``
    token: str = ""  # to be sent back with a browser's cookie; a program's has none
    refused: tuple[Violation, ...] = ()  # of the traits that led to the step


def _read_step(response: Response) -> Offer:
    """Read a step, or raise KratosIncompatible if the response is not a flow."""
    try:
        fields = {  # a script that several methods share has a group, but no name
            (str(node["group"]), str(node["attributes"]["name"])): str(
                node["attributes"].get("value", "")
            )
            for node in response.body["ui"]["nodes"]
            if "name" in node["attributes"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_flow(response) from error
    flow = read_flow(response.body)
    return Offer(
        methods=frozenset(group for group, _ in fields) - _NO_METHODS,
        whole=fields.get(("profile", "method")) != "profile",
        fields=frozenset(name for _, name in fields),
        token=fields.get(("default", "csrf_token"), ""),
        refused=trait_violations(flow) if flow else (),
    )


def _transient(locale: str) -> dict[str, Any]:
    """Return what mail templates and an operator's hooks get of a sign-up."""
    return {"transient_payload": {"locale": locale}} if locale else {}


def _no_flow(response: Response) -> KratosIncompatible:
    why = f" (HTTP status {response.status})"
    if error_field(response.body, "id") == FLOW_DISABLED:
        why = ": selfservice.flows.registration.enabled is false"
    return KratosIncompatible(f"Kratos opens no registration flow{why}")


@dataclass(frozen=True, slots=True)
class PublicApi:
    """Calls the public API. Every method raises what ``HttpClient.request`` raises.

    The URL has no trailing slash. ``seconds`` is how long to wait for a response, and
    ``hooked_seconds`` where Kratos calls a hook on the way: a dead one costs it 3 s, a
    slow one as long as it takes. ``schema_id`` is the identity schema to register with;
    Kratos 1.3.1 ignores it and uses its default.
    """

    http: HttpClient
    url: str
    seconds: float
    hooked_seconds: float
    schema_id: str | None = None

    async def open_registration(self) -> str:
        """Open a registration flow, and give its id; Kratos forgets an unused one.

        KratosIncompatible says that registration is off, or not by this schema.
        """
        response = await self._open(FlowKind.API)
        if response.status == HTTPStatus.OK and (flow := read_flow(response.body)):
            return flow.id
        raise _no_flow(response)

    async def chooses_schema(self) -> bool:
        """Return whether Kratos registers with the given schema, default or not.

        Where no flow opens at all, that is not what is wrong.
        """
        response = await self._open(FlowKind.API)
        if response.status != HTTPStatus.OK or not isinstance(response.body, dict):
            return True
        return bool(response.body.get("identity_schema", "") == self.schema_id)

    async def _open(self, kind: FlowKind) -> Response:
        query = f"?identity_schema={quote(self.schema_id)}" if self.schema_id else ""
        url = f"{self.url}{_REGISTRATION}/{kind}{query}"
        response = await self.http.request("GET", url, self.seconds, call=Call.OPEN)
        if query and "identity schema" in error_field(response.body, "reason"):
            raise KratosIncompatible(
                "Kratos does not register with IDENTITY_SCHEMA_ID: it needs "
                "selfservice_selectable: true in identity.schemas, or to be the default"
            )
        return response

    async def send_code(
        self, flow_id: str, traits: Mapping[str, Any], locale: str
    ) -> None:
        """Mail a code, by a flow that sent none yet, in a locale that may be empty.

        The answer is the same for free and taken addresses.

        Raises:
            TraitsInvalid: With the traits that do not fit the schema. No mail goes.
            KratosFlowGone: There is no such flow, or methods.code.enabled is false. No
                mail goes.
            KratosIncompatible: passwordless_enabled is false. 1.3.1 mails nevertheless,
                and says so in fewer words.
        """
        payload = {"method": "code", "traits": traits, **_transient(locale)}
        url = f"{self.url}{_REGISTRATION}?flow={flow_id}"
        response = await self.http.request(
            "POST", url, self.seconds, payload, call=Call.SEND
        )
        if is_gone(response.status, response.body):
            raise KratosFlowGone(
                f"Kratos answered a new flow with HTTP status {response.status}: "
                "methods.code.enabled is false, perhaps"
            )
        flow = read_flow(response.body, flow_id)
        if flow is None:
            raise KratosIncompatible(
                f"Kratos answered a code to be sent with HTTP status {response.status} "
                "and no flow"
            )
        if flow.says(CODE_SENT_ID):
            return
        if violations := trait_violations(flow):
            raise TraitsInvalid("Kratos refused the traits", violations=violations)
        why = "is selfservice.methods.code.passwordless_enabled true?"
        if flow.says(CAPTCHA_ID):
            why = "it asks for a captcha at registration"
        raise KratosIncompatible(f"Kratos sends no registration code: {why}")

    async def submit_code(
        self, flow_id: str, traits: Mapping[str, Any], code: str, *, again: bool = False
    ) -> CodeResult:
        """Check a code, with the flow and the very traits it was sent with.

        ``again`` repeats a submission whose answer was lost, and waits no longer than
        any other call, since one lease covers both.
        """
        payload = {"method": "code", "traits": traits, "code": code}
        url = f"{self.url}{_REGISTRATION}?flow={flow_id}"
        seconds = self.seconds if again else self.hooked_seconds
        response = await self.http.request(
            "POST", url, seconds, payload, call=Call.CODE
        )
        return code_result(response.status, response.body, flow_id)

    async def submit_password(
        self, flow_id: str, traits: Mapping[str, Any], password: str, locale: str = ""
    ) -> PasswordResult:
        """Make the account, by a fresh flow; Kratos asks our password hook first."""
        payload = {"method": "password", "traits": traits, "password": password}
        payload |= _transient(locale)
        url = f"{self.url}{_REGISTRATION}?flow={flow_id}"
        response = await self.http.request(
            "POST", url, self.hooked_seconds, payload, call=Call.PASSWORD
        )
        return password_result(response.status, response.body, flow_id)

    async def flow_state(self, flow_id: str) -> FlowState:
        """Ask how far a flow has come."""
        url = f"{self.url}{_REGISTRATION}/flows?id={flow_id}"
        response = await self.http.request("GET", url, self.seconds, call=Call.FLOW)
        if is_gone(response.status, response.body):
            return FlowState.GONE
        flow = read_flow(response.body, flow_id)
        if flow is None or flow.state not in [*FlowState]:
            raise KratosIncompatible(
                f"Kratos shows a flow with HTTP status {response.status} and a state "
                "unknown here"
            )
        return FlowState(flow.state)

    async def ready(self, seconds: float) -> None:
        """Ask whether the API works; an edge that hides the question counts as yes."""
        url = f"{self.url}/health/ready"
        await self.http.request("GET", url, seconds, call=Call.READY)

    async def schemas(self) -> tuple[IdentitySchema, ...]:
        """Read all identity schemas, or raise KratosIncompatible."""
        response = await self.http.request(
            "GET", f"{self.url}/schemas", self.seconds, call=Call.SCHEMAS
        )
        if response.status != HTTPStatus.OK or not isinstance(response.body, list):
            raise KratosIncompatible(
                f"Kratos' public API shows no schemas (HTTP status {response.status}): "
                f"KRATOS_PUBLIC_URL may be wrong{if_redirected(response.status)}"
            )
        try:
            return tuple(
                read_schema(str(one["id"]), one["schema"]) for one in response.body
            )
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the list of schemas is unknown here") from error

    async def fields(self) -> frozenset[str]:
        """Name the fields of a new flow's form; KratosIncompatible if none opens."""
        return _read_step(await self._open(FlowKind.API)).fields

    async def offer(self, kind: FlowKind, traits: Mapping[str, Any]) -> Offer | None:
        """See which ways to register a flow offers; None if registration is off.

        Nothing is registered. The traits fit the schema, for a flow of two steps.

        Raises:
            KratosIncompatible: No flow can be opened.
            KratosUnavailable: Something in front of Kratos answered for it.
        """
        opened = await self._open(kind)
        if error_field(opened.body, "id") == FLOW_DISABLED:
            return None
        first = last = _read_step(opened)
        if not first.whole:
            payload = {"method": "profile", "traits": traits, "csrf_token": first.token}
            # A browser's cookie and its token go together; a program's is refused.
            cookie = {"Cookie": opened.cookies} if kind is FlowKind.BROWSER else None
            url = f"{self.url}{_REGISTRATION}?flow={opened.body['id']}"
            filled = await self.http.request("POST", url, self.seconds, payload, cookie)
            demand_kratos(filled.status, filled.body)
            last = _read_step(filled)
        return last._replace(methods=first.methods | last.methods)

    async def settings_methods(self, address: str, password: str) -> frozenset[str]:
        """Sign in and see what a settings flow offers, such as ``profile``.

        Nothing of the account is changed. The session lasts as long as the account.

        Raises:
            KratosIncompatible: Kratos does not let the user in, or shows no flow.
        """
        login, settings = (
            f"{self.url}/self-service/{flow}" for flow in ("login", "settings")
        )
        payload = {"method": "password", "identifier": address, "password": password}
        answer = await self.http.request("GET", f"{login}/api", self.seconds)
        try:
            url = f"{login}?flow={answer.body['id']}"
            answer = await self.http.request("POST", url, self.seconds, payload)
            session = {"X-Session-Token": answer.body["session_token"]}
            answer = await self.http.request(
                "GET", f"{settings}/api", self.seconds, headers=session
            )
            return frozenset(str(node["group"]) for node in answer.body["ui"]["nodes"])
        except (KeyError, TypeError) as error:
            raise KratosIncompatible(
                f"Kratos opens no settings flow (HTTP status {answer.status})"
            ) from error

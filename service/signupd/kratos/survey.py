"""What a preflight asks of Kratos, and no sign-up does."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from signupd.errors import KratosIncompatible
from signupd.kratos.outcomes import FLOW_DISABLED, error_id
from signupd.kratos.schemas import Schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signupd.kratos.admin import AdminApi
    from signupd.kratos.http import HttpClient, Response
    from signupd.kratos.schema import IdentitySchema

_REGISTRATION: Final = "/self-service/registration"
_CODE_MAIL: Final = "registration_code_valid"
# Kratos' codes have six digits, its ``courier`` body is the mail's plain text.
_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
# Groups of a flow's nodes that are no method: the traits, and the steps between.
_NO_METHODS: Final = frozenset({"default", "profile", "identifier_first", "captcha"})


class _Node(NamedTuple):
    """A field of a flow's form."""

    group: str
    name: str
    value: str


# What leads from a flow's first step to its second.
_FIRST_STEP: Final = _Node("profile", "method", "profile")


class FlowKind(enum.StrEnum):
    """For whom a flow is. Some methods are offered to browsers alone."""

    API = "api"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class Offer:
    """The ways to register that a flow offers.

    Args:
        methods: Their names, such as ``password``.
        whole: Whether these are all. A flow of two steps shows most of them at the
            second, which the schema's required traits may keep closed.
    """

    methods: frozenset[str]
    whole: bool


class Survey:
    """Asks. Every method raises what ``HttpClient.request`` raises.

    Args:
        http: Where requests go out.
        public_url: Kratos' public API, without a trailing slash.
        admin: Its admin API.
        timeout_seconds: For each request.
    """

    def __init__(
        self, http: HttpClient, public_url: str, admin: AdminApi, timeout_seconds: float
    ) -> None:
        self._http = http
        self._url = public_url
        self._admin = admin
        self._timeout = timeout_seconds
        self._schemas = Schemas(http, public_url, timeout_seconds)

    async def version(self) -> str:
        """Ask the admin API for Kratos' version, such as ``v1.3.1``; may be empty."""
        body = (await self._admin.get("/admin/version")).body
        return str(body.get("version", "")) if isinstance(body, dict) else ""

    async def enter(self, nobody: str) -> None:
        """See that the admin API lets us in.

        Args:
            nobody: An address that nobody has, so that nobody is looked at.

        Raises:
            KratosIncompatible: It does not.
        """
        query = f"credentials_identifier={quote(nobody, safe='')}"
        await self._admin.listed(f"/admin/identities?{query}")

    async def schemas(self) -> tuple[IdentitySchema, ...]:
        """Read all identity schemas.

        Raises:
            KratosIncompatible: They cannot be read.
        """
        return await self._schemas.all()

    async def offer(self, kind: FlowKind, traits: Mapping[str, Any]) -> Offer | None:
        """See which ways to register a flow offers. Nothing is registered.

        Args:
            kind: For whom the flow is.
            traits: Such as fit the schema; for a flow of two steps.

        Returns:
            None where registration is off.

        Raises:
            KratosIncompatible: No flow can be opened.
        """
        opened = await self._public("GET", f"{_REGISTRATION}/{kind}")
        if error_id(opened.body) == FLOW_DISABLED:
            return None
        nodes = _nodes(opened)
        second: frozenset[_Node] = frozenset()
        if _FIRST_STEP in nodes:
            second = _nodes(await self._step_on(kind, opened, traits))
        # A script that several methods share has a group, but is no field.
        methods = frozenset(node.group for node in nodes | second if node.name)
        return Offer(methods - _NO_METHODS, whole=_FIRST_STEP not in second)

    async def newest_code(self, address: str) -> str:
        """Read the code in the newest code mail to an address.

        Returns:
            Empty where there is none, or the courier hides what its mails say: outside
            ``--dev`` it does.
        """
        mails = await self._admin.listed(
            f"/admin/courier/messages?page_size=10&recipient={quote(address, safe='')}"
        )
        try:
            codes = [
                (str(mail["created_at"]), _CODE.search(str(mail["body"])))
                for mail in mails
                if mail["template_type"] == _CODE_MAIL
            ]
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error
        newest = max(codes, key=lambda code: code[0], default=("", None))[1]
        return "" if newest is None else newest.group()

    async def _step_on(
        self, kind: FlowKind, opened: Response, traits: Mapping[str, Any]
    ) -> Response:
        """Go to the second step of a flow, as a person who has filled in the first.

        A browser's cookie and its token go together; a program's cookie is refused.
        """
        tokens = [one.value for one in _nodes(opened) if one.name == "csrf_token"]
        payload = {"method": "profile", "traits": traits, "csrf_token": tokens[0]}
        return await self._public(
            "POST",
            f"{_REGISTRATION}?flow={opened.body['id']}",
            payload,
            {"Cookie": opened.cookies} if kind is FlowKind.BROWSER else None,
        )

    async def _public(
        self,
        method: str,
        path: str,
        payload: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return await self._http.request(
            method, self._url + path, self._timeout, payload, headers
        )


def _nodes(answer: Response) -> frozenset[_Node]:
    """Read the nodes of a flow.

    Raises:
        KratosIncompatible: The answer is no flow.
    """
    try:
        return frozenset(
            _Node(
                str(node["group"]),
                str(node["attributes"].get("name", "")),
                str(node["attributes"].get("value", "")),
            )
            for node in answer.body["ui"]["nodes"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KratosIncompatible(
            f"Kratos opens no registration flow (HTTP status {answer.status})"
        ) from error

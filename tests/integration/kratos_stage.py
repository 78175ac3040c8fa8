"""A Kratos to hold the adapter against: the double, or a real one, set up alike."""

import asyncio
import base64
import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

from signupd.kratos.admin import AdminApi
from signupd.kratos.flow import read_flow
from signupd.kratos.http import HttpClient
from signupd.kratos.public import PublicApi

from devstack.binary import KRATOS_DIRECTORY, kratos_binary
from devstack.config import KratosConfig
from devstack.kratos import Kratos as Process
from devstack.mailbox import Mailbox
from devstack.ports import free_ports
from tests.doubles.hooks import HookDouble
from tests.doubles.kratos import KratosDouble
from tests.doubles.kratos_books import Setup
from tests.doubles.kratos_flow import SENT_EMAIL
from tests.integration.kratos_versions import Version, version_of

SECONDS, HOOKED_SECONDS = 10.0, 30.0
SQLITE = "kratos.sqlite"
USER, NAMED = "user", "named"  # identity schemas: the reference, one with user names
PAST = "2020-01-01 00:00:00"
FLOW_STATE = "UPDATE selfservice_registration_flows SET state = ? WHERE id = ?"
FLOW_EXPIRY = "UPDATE selfservice_registration_flows SET expires_at = ? WHERE id = ?"
CODE_EXPIRY = """
    UPDATE identity_registration_codes SET expires_at = ?
    WHERE selfservice_registration_flow_id = ?
"""


# One way to set Kratos up: changes the real one's configuration and the double's setup.
Shape = Callable[[dict[str, Any], Setup], None]


class _Stage:
    """The adapter, what stands behind it, and what asks our hooks."""

    def __init__(
        self, public_url: str, admin_url: str, hooks: HookDouble, ca: Path
    ) -> None:
        self.hooks = hooks
        self.http = HttpClient(ca=ca)
        self.public = PublicApi(self.http, public_url, SECONDS, HOOKED_SECONDS)
        self.admin = AdminApi(self.http, admin_url, SECONDS)
        self._public_url = public_url
        self._admin_url = admin_url

    def public_with(self, schema_id: str) -> PublicApi:
        """Make an adapter that registers with a schema."""
        return PublicApi(
            self.http, self._public_url, SECONDS, HOOKED_SECONDS, schema_id
        )

    async def messages(self, flow_id: str) -> list[tuple[str, int]]:
        """Read the messages that a flow shows: node and id."""
        url = f"{self._public_url}/self-service/registration/flows?id={flow_id}"
        answer = await self.http.request("GET", url, SECONDS)
        flow = read_flow(answer.body, flow_id)
        assert flow is not None
        return [(m.node, m.id) for m in flow.messages]

    async def session_count(self, identity_id: uuid.UUID) -> int:
        """Count an account's sessions."""
        url = f"{self._admin_url}/admin/identities/{identity_id}/sessions?active=true"
        answer = await self.http.request("GET", url, SECONDS)
        return len(answer.body) if answer.status == HTTPStatus.OK else 0


class DoubleStage(_Stage):
    """With the double."""

    def __init__(self, double: KratosDouble, hooks: HookDouble, ca: Path) -> None:
        super().__init__(double.public_url, double.admin_url, hooks, ca)
        double.setup.hook_url = hooks.url
        self.double = double

    async def version(self) -> Version:
        """Do as 1.3.1 does."""
        return Version()

    async def add(self, traits: dict[str, Any], **fields: Any) -> uuid.UUID:
        """Have an operator make an account; fields are the double's ``Identity``'s."""
        return self.double.add_identity(traits, **fields).id

    async def code_for(self, address: str, count: int = 1) -> str:
        """Read the code of so many-th mail to an address."""
        return self.double.mails_to(address)[count - 1].code

    def mail_count(self, address: str) -> int:
        """Count the mails that an address has got."""
        return len(self.double.mails_to(address))

    def tear(self, flow_id: str) -> None:
        """Have a flow forget that its code was right, as a cut does."""
        self.double.flow(flow_id).state = SENT_EMAIL

    def lapse(self, flow_id: str) -> None:
        """Have a flow's code be past its lifespan."""
        self.double.flow(flow_id).code_lapsed = True

    def expire(self, flow_id: str) -> None:
        """Have a flow be past its lifespan."""
        self.double.flow(flow_id).expired = True


class RealStage(_Stage):
    """With a real Kratos."""

    def __init__(
        self, process: Process, mailbox: Mailbox, hooks: HookDouble, ca: Path
    ) -> None:
        super().__init__(process.public_url, process.admin_url, hooks, ca)
        self._process = process
        self._mailbox = mailbox

    async def version(self) -> Version:
        """Ask, and look up what that version does."""
        return version_of(await self.admin.version())

    async def add(self, traits: dict[str, Any], **fields: Any) -> uuid.UUID:
        """Have an operator make one; with a user name, by the schema that has one."""
        url = f"{self._admin_url}/admin/identities"
        body = {
            "schema_id": NAMED if "username" in traits else USER,
            "traits": traits,
            "state": fields.get("state", "active"),
            "credentials": _credentials(**fields),
        }
        if fields.get("verified"):
            verified = {"via": "email", "verified": True, "status": "completed"}
            body["verifiable_addresses"] = [{"value": traits["email"], **verified}]
        answer = await self.http.request("POST", url, SECONDS, body)
        return uuid.UUID(answer.body["id"])

    async def code_for(self, address: str, count: int = 1) -> str:
        """Wait for the mail."""
        mail = await asyncio.to_thread(self._mailbox.wait_for, address, count)
        return mail.code

    def mail_count(self, address: str) -> int:
        """Look into the mailbox."""
        return len(self._mailbox.mails_to(address))

    def tear(self, flow_id: str) -> None:
        """Change Kratos' database."""
        self._change(FLOW_STATE, SENT_EMAIL, flow_id)

    def lapse(self, flow_id: str) -> None:
        """Change Kratos' database."""
        self._change(CODE_EXPIRY, PAST, flow_id)

    def expire(self, flow_id: str) -> None:
        """Change Kratos' database."""
        self._change(FLOW_EXPIRY, PAST, flow_id)

    def _change(self, statement: str, value: str, flow_id: str) -> None:
        file = self._process.directory / SQLITE
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            changed = database.execute(statement, (value, flow_id))
            if changed.rowcount != 1:
                raise LookupError(flow_id)


Stage = DoubleStage | RealStage


class RealKratoses:
    """Real Kratoses, one a shape, started when first needed. A context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._resources = ExitStack()
        self._running: dict[Shape, tuple[Process, int]] = {}
        self.mailbox = self._resources.enter_context(Mailbox())

    def close(self) -> None:
        """End them all."""
        self._resources.close()

    def running(self, shape: Shape) -> tuple[Process, int]:
        """Give a Kratos of this shape, and the port its hooks come in at."""
        if shape not in self._running:
            (hook_port,) = free_ports(1)
            config = KratosConfig(
                hook_url=f"http://127.0.0.1:{hook_port}",
                smtp_uri=self.mailbox.uri,
                mutate=lambda config: shape(config, Setup()),
            )
            home = self._directory / str(len(self._running))
            home.mkdir()
            self._spare_the_migration(home)
            process = Process(kratos_binary(), config, home)
            self._resources.enter_context(process)
            self._running[shape] = process, hook_port
        return self._running[shape]

    def _spare_the_migration(self, home: Path) -> None:
        """Begin with the first one's database: migrating takes longer than all else."""
        for process, _ in self._running.values():
            with (
                closing(sqlite3.connect(process.directory / SQLITE)) as source,
                closing(sqlite3.connect(home / SQLITE)) as target,
            ):
                source.backup(target)
            return


def schema_requiring(*names: str, **more: dict[str, Any]) -> str:
    """Give the reference schema, changed, as Kratos takes it inline.

    Args:
        names: The traits that are required.
        more: Further traits.
    """
    file = KRATOS_DIRECTORY / "identity.schema.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    traits = schema["properties"]["traits"]
    traits["required"] = names
    traits["properties"] |= more
    return "base64://" + base64.b64encode(json.dumps(schema).encode()).decode()


def _credentials(
    *, password: str = "", migrating: bool = False, social: bool = False, **_: object
) -> dict[str, Any]:
    """Make the credentials that the admin API imports."""
    found: dict[str, Any] = {}
    if password:
        found["password"] = {"config": {"password": password}}
    if migrating:
        found["password"] = {"config": {"use_password_migration_hook": True}}
    if social:
        provider = {"provider": "google", "subject": uuid.uuid4().hex}
        found["oidc"] = {"config": {"providers": [provider]}}
    return found

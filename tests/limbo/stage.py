"""A real Kratos behind a proxy, and servers on a ledger, to be ill-treated."""

import base64
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import Admin
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox
from devstack.postgres import Postgres
from devstack.server import Signupd
from devstack.visitor import Visitor
from tests.doubles.proxy import Proxy
from tests.limbo.books import Books
from tests.limbo.caller import Caller, Outcome
from tests.limbo.watch import Watch, complete

PASSWORD = "seven tall ladders"
OTHER_PASSWORD = "nine small umbrellas"
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True)
class World:
    """What all tests of this room share.

    Attributes:
        postgres: Holds Kratos' database, and ledgers.
        mailbox: All mailboxes.
        kratos: The one Kratos; its hooks go by the proxy.
        proxy: Between everybody and Kratos, and Kratos and its hooks.
        admin: Looks into Kratos, past the proxy.
        visitor: Signs in, past the proxy.
    """

    postgres: Postgres
    mailbox: Mailbox
    kratos: Kratos
    proxy: Proxy
    admin: Admin
    visitor: Visitor

    def newest_code(self, address: str) -> str:
        """Wait for all mails that Kratos has for an address; read the newest."""
        count = len(self.admin.courier_messages(address))
        return self.mailbox.wait_for(address, max(count, 1)).code

    def mails(self, address: str) -> int:
        """Count the mails that went to an address or will."""
        return len(self.admin.courier_messages(address))

    def watch(self, address: str) -> Watch:
        """Watch what Kratos holds for an address."""
        return Watch(self.kratos.admin_url, address)

    def accounts(self, address: str) -> int:
        """Count the accounts of an address; each must be complete."""
        held = self.admin.identities(address)

        assert all(complete(one) for one in held)
        return len(held)

    def opens(self, address: str, password: str) -> bool:
        """Try to sign in."""
        return self.visitor.login(address, password)


@dataclass(slots=True, kw_only=True)
class Scene:
    """A service on a ledger, its caller, and the world it is in.

    Attributes:
        world: Shared.
        books: Its ledger.
        caller: Connected to it.
        secrets: What was told to the service and may stand nowhere.
    """

    world: World
    books: Books
    caller: Caller
    secrets: list[str] = field(default_factory=lambda: [PASSWORD, OTHER_PASSWORD])

    @property
    def proxy(self) -> Proxy:
        """The world's."""
        return self.world.proxy

    def new_address(self) -> str:
        """Make up an address that nobody else has."""
        address = f"ann-{secrets.token_hex(6)}@example.com"
        self.secrets.append(address)
        return address

    def started(self, address: str) -> Outcome:
        """Start a sign-up."""
        outcome = self.caller.ask(start_request(address))

        assert "CODE_REQUIRED" == outcome.what
        return outcome

    def proved(self, address: str) -> Outcome:
        """Prove an address: start, read the code, verify."""
        request = verify_request(self.started(address), self.code(address))
        outcome = self.caller.ask(request)

        assert "PASSWORD_REQUIRED" == outcome.what
        return outcome

    def code(self, address: str) -> str:
        """Read the newest code of an address."""
        return self.world.newest_code(address)

    def check_completed(self, address: str, signup_id: str, password: str) -> None:
        """Hold a finished sign-up against Kratos and the books."""
        assert 1 == self.world.accounts(address)
        assert self.world.opens(address, password)
        assert "completed" == self.books.state(signup_id)


@dataclass(slots=True, kw_only=True)
class Stage(Scene):
    """A scene whose service is a process.

    Attributes:
        server: The process.
        settings: Its own; another server on the ledger wants the same.
    """

    server: Signupd
    settings: dict[str, str]


def start_request(address: str, request_id: str = "") -> pb.StartSignupRequest:
    """Ask for a code."""
    return pb.StartSignupRequest(email=address, request_id=request_id)


def resend_request(started: Outcome, request_id: str = "") -> pb.ResendCodeRequest:
    """Ask for another code."""
    return pb.ResendCodeRequest(continuation_token=started.token, request_id=request_id)


def verify_request(started: Outcome, code: str) -> pb.VerifyCodeRequest:
    """Hand in a code."""
    return pb.VerifyCodeRequest(continuation_token=started.token, code=code)


def password_request(
    proved: Outcome, password: str = PASSWORD
) -> pb.SetPasswordRequest:
    """Set a password."""
    return pb.SetPasswordRequest(continuation_token=proved.token, password=password)


def cancel_request(outcome: Outcome) -> pb.CancelSignupRequest:
    """Go on no longer."""
    return pb.CancelSignupRequest(continuation_token=outcome.token)


def get_request(outcome: Outcome) -> pb.GetSignupRequest:
    """Ask how it stands."""
    return pb.GetSignupRequest(continuation_token=outcome.token)


def new_request_id() -> str:
    """Make up a request id."""
    return str(uuid.uuid4())


def new_keys() -> dict[str, str]:
    """Make the keys that servers of one ledger share."""
    names = ("TOKEN_KEYS", "DIGEST_KEY")
    return {n: base64.b64encode(secrets.token_bytes(32)).decode() for n in names}


def wrong_code(code: str) -> str:
    """Make up a code that is not the right one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def cheap_hashes(config: dict[str, Any]) -> None:
    """Have Kratos hash in 10 ms: what is tested here is not the hash."""
    config["hashers"] = {
        "algorithm": "argon2",
        "argon2": {"memory": "8MB", "iterations": 1, "parallelism": 1},
    }

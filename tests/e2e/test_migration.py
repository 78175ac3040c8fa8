"""docs/migration.md, gone through: from a hand-built sign-up to signupd, and back."""

import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.config import Mutation, inherited
from devstack.ports import free_ports
from devstack.visitor import Visitor
from tests.documented import lines, shell
from tests.e2e.broken import (
    after_registration,
    oidc,
    optional_user_name,
    setting,
    traits,
)
from tests.e2e.caller import refusal
from tests.e2e.checking import config_of
from tests.e2e.handmade import Handmade, handmade
from tests.e2e.holdings import identity_ids, import_account
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack, attached, new_address

PASSWORD = {"method": "password", "password": GOOD_PASSWORD}
PROVIDERS = [{"subject": "s-1", "provider": "elsewhere"}]
PROVED = {
    "/verifiable_addresses/0/verified": True,
    "/verifiable_addresses/0/status": "completed",
}
SET, UNSET = accounts_pb.PASSWORD_STATUS_SET, accounts_pb.PASSWORD_STATUS_UNSET
ALL = {"by name", "finished", "unverified", "proved elsewhere", "by code"}  # sign in
# By kind: what GetAccount says of password, address and whole, and what a sign-up with
# the address says of the address.
ACCOUNTS = {
    "by name": (SET, False, False, False),
    "finished": (SET, True, True, True),
    "unverified": (SET, False, False, False),
    "proved elsewhere": (SET, True, True, True),
    "by code": (UNSET, True, False, True),
    "orphan": (UNSET, True, False, True),
    "social": (UNSET, False, False, False),
    "disabled": (SET, True, False, True),
}


def by_name(config: dict[str, Any]) -> None:
    """Configure the oldest set-up: a user name, a password, and a mere address."""
    handmade(config)
    setting("selfservice.methods.code.enabled", value=False)(config)
    traits(optional_user_name)(config)
    traits(lambda schema: schema["properties"]["email"].pop("ory.sh/kratos"))(config)


def by_code(config: dict[str, Any]) -> None:
    """Configure the hand-built sign-up, with the schema that signupd needs."""
    handmade(config)
    oidc(config)
    setting("selfservice.methods.profile.enabled", value=True)(config)
    traits(optional_user_name)(config)


def for_signupd(config: dict[str, Any]) -> None:
    """Configure Kratos for signupd; social login is for existing accounts only."""
    oidc(config)
    traits(optional_user_name)(config)
    after = after_registration(config)
    after["oidc"] = {"hooks": after["code"]["hooks"]}


def by_mail(config: dict[str, Any]) -> None:
    """Configure a sign-up whose schema calls the address `mail`."""
    handmade(config)
    _named_mail(config)


def second_schema(config: dict[str, Any]) -> None:
    """Configure Kratos for signupd, with a schema of its own beside that one."""
    schemas = config["identity"]["schemas"]
    schemas.append(schemas[0] | {"id": "person"})
    _named_mail(config)
    config["identity"]["default_schema_id"] = "person"


def _named_mail(config: dict[str, Any]) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["properties"]["mail"] = schema["properties"].pop("email")
        schema["required"] = ["mail"]

    traits(change)(config)


class Move:
    """A Kratos on its way, and the people in it. A context manager.

    Attributes:
        people: Address and id, by kind of account.
    """

    def __init__(self, site: Site, config: Mutation) -> None:
        self._site, self._port, self._config = site, free_ports(1)[0], config
        self.kratos = site.kratos(self._port, self._configure)
        self._resources = ExitStack()
        self.people: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        enter = self._resources.enter_context
        enter(self.kratos)
        self.flow = enter(Handmade(self.kratos, self._site.mailbox))
        self.visitor = enter(Visitor(self.kratos.public_url))
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _configure(self, config: dict[str, Any]) -> None:
        self._config(config)

    def restart(self, config: Mutation) -> None:
        """Restart Kratos with another configuration."""
        self.kratos.close()
        self._config = config
        self.kratos.start()

    @contextmanager
    def signupd(self, **settings: str) -> Iterator[Stack]:
        """Start signupd; it proves the hook."""
        server = self._site.server(self.kratos, self._port, settings)
        with server, attached(self._site.mailbox, self.kratos, server) as stack:
            stack.wait_for_proof()
            yield stack

    def by_password(self, kind: str, **traits: str) -> None:
        """Register as the backend did before it used codes."""
        address = new_address()
        traits = traits or {"email": address}
        done = self.visitor.register_by_password(
            {name: one or address for name, one in traits.items()}, GOOD_PASSWORD
        )
        self.people[kind] = address, done.identity_id

    def by_code(self, kind: str, *passwords: dict[str, str]) -> str:
        """Register as the backend did with codes; return the session token."""
        identity_id, token = self.flow.register(address := new_address())
        self.people[kind] = address, identity_id
        self.flow.change(token, *passwords)
        return token

    def signed_in(self) -> set[str]:
        """Let everybody sign in: by password, by name, one by code; tell who could."""
        names = {kind: address for kind, (address, _) in self.people.items()}
        self.flow.sign_in(names.pop("by code"))
        names["by name"] = "ada"
        login = self.visitor.login
        found = {kind for kind, one in names.items() if login(one, GOOD_PASSWORD)}
        return found | {"by code"}

    def look(self, stack: Stack, kind: str) -> tuple[Any, ...]:
        """Look an account up by its address, and sign up with that; see ACCOUNTS."""
        address, identity_id = self.people[kind]
        found = stack.caller.account(email=address)
        assert identity_id == found.identity_id
        account = found.password_status, found.email_verified, found.complete
        return *account, self.ended(stack, address).existing_account_verified

    def ended(self, stack: Stack, address: str) -> pb.Signup:
        """Sign up with an address that has an account, up to the end."""
        mails = len(self._site.mailbox.mails_to(address))
        started = stack.caller.start(address)
        code = stack.code(address, mails + 1)
        ended = stack.caller.verify(started.continuation_token, code).signup
        assert pb.SIGNUP_STATE_ALREADY_REGISTERED == ended.state
        return ended


def populate(move: Move) -> None:
    """Make accounts of each kind, 40 days ago."""
    move.by_password("by name", email="", username="ada")
    move.restart(by_code)
    for kind in ("unverified", "proved elsewhere", "disabled"):
        move.by_password(kind)
    move.by_code("finished", PASSWORD)
    for kind in ("orphan", "by code"):
        move.by_code(kind)
    social = {"oidc": {"config": {"providers": PROVIDERS}}}
    move.people["social"] = (
        address := new_address(),
        import_account(move.kratos, address, credentials=social),
    )
    move.flow.patch(move.people["disabled"][1], PROVED | {"/state": "inactive"})
    move.flow.let_pass(40)


def run(command: str, stack: Stack, place: Path) -> tuple[int, str]:
    """Run a command of the page; return its exit code and what it says."""
    shutil.copy(config_of(stack.kratos), place)
    named = {f"SIGNUPD_{name}": one for name, one in stack.server.settings.items()}
    path = f"{sysconfig.get_path('scripts')}:{inherited()['PATH']}"
    done = shell(command, place, **inherited() | named | {"PATH": path})
    return done.returncode, done.stdout + done.stderr


def test_there_and_back(site: Site, tmp_path: Path) -> None:
    """Everybody signs in all along; new people sign up each way in its time."""
    check, _, listing, removal = lines("docs/migration.md", "signupd")
    with Move(site, by_name) as move:
        populate(move)
        assert ALL == move.signed_in()

        # The schema is that of `by_code`; the accounts.
        address, identity_id = move.people["by name"]
        move.flow.patch(identity_id, {"/traits/email": address})
        move.flow.patch(move.people["proved elsewhere"][1], PROVED)
        assert ALL == move.signed_in()

        # The cut-over, with people under way.
        token = move.by_code("before the password")
        late = {"email": new_address()}
        flow_id = move.visitor.send_code(late).flow_id
        code = site.mailbox.wait_for(late["email"]).code
        held = identity_ids(move.kratos)
        move.restart(for_signupd)
        assert ALL == move.signed_in()
        with move.signupd() as stack:
            refused = move.visitor.submit_code(flow_id, late, code)
            move.flow.change(token, PASSWORD)
            assert (400, "") == (refused.status, refused.identity_id)
            assert held == identity_ids(move.kratos)
            assert ALL | {"before the password"} == move.signed_in()
            assert 0 == (checked := run(check, stack, tmp_path))[0], checked
            assert {one: move.look(stack, one) for one in ACCOUNTS} == ACCOUNTS

            address, _ = move.people["unverified"]
            move.flow.verify(address)
            assert ACCOUNTS["finished"] == move.look(stack, "unverified")

            # Orphans; new people.
            address, orphan = move.people.pop("orphan")
            _, listed = run(listing, stack, tmp_path)
            assert orphan in listed
            assert not [one for _, one in move.people.values() if one in listed]
            removed, said = run(removal.replace("12", "1"), stack, tmp_path)
            assert (0, held - {orphan}) == (removed, identity_ids(move.kratos)), said
            for one in (address, late["email"]):
                move.people[one] = one, stack.registered(one)
        new = {"before the password", address, late["email"]}

        # The way back.
        move.restart(by_code)
        move.by_code("by code again", PASSWORD)
        assert ALL | new | {"by code again"} == move.signed_in()


def test_trait_of_another_name(site: Site) -> None:
    """Accounts of a schema that says `mail` are recognised, and can be moved."""
    kind = "proved elsewhere"
    with Move(site, by_mail) as move:
        move.by_password(kind, mail="")
        address, identity_id = move.people[kind]
        move.flow.patch(identity_id, PROVED)
        move.restart(second_schema)
        with move.signupd(IDENTITY_SCHEMA_ID="person") as stack:
            ended = move.ended(stack, address)
            unfound = refusal(stack.caller.account, email=address)
            moved = {"/schema_id": "person", "/traits": {"email": address}}
            move.flow.patch(identity_id, moved)

            assert ended.existing_account_verified
            assert "ACCOUNT_NOT_FOUND" == unfound.reason
            assert ACCOUNTS[kind] == move.look(stack, kind)
            assert move.visitor.login(address, GOOD_PASSWORD)
            stack.registered(new_address())

"""The story of one sign-up, with every claim in it checked."""

import json
import secrets
import sys
from collections.abc import Callable
from typing import Any, cast

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from devstack.admin import Admin, Identity
from devstack.foreign import ForeignKratosError
from devstack.mailbox import Mailbox, MailMissingError
from devstack.page import Page
from devstack.server import NO_PROXY
from devstack.stack import Stack
from devstack.visitor import Visitor

NOTHING = "nothing"
WHOLE = "1 account, active, verified, with a password"

STARTING = "Kratos mails a code. That does not take the address."
VERIFYING = "Kratos finds the code right, asks signupd and is told to store nothing."
SETTING = "Kratos asks signupd once more, and stores the whole account at once."
SIGNING_IN = "At Kratos itself, past signupd."

CODE_OUT_OF_REACH = """\
The code of the mail cannot be had.
Only with --dev does Kratos show its mails to an admin. Without it start the demo
on a terminal: it then asks for the code, which stands in the mail."""


TIMEOUT_SECONDS = 60.0
# Of a token only so much is shown; nobody can read the rest either.
TOKEN_CHARACTERS = 24

Answer = pb.StartSignupResponse | pb.VerifyCodeResponse | pb.SetPasswordResponse


class CallFailedError(Exception):
    """An RPC was answered with an error; the text has its status and reason."""

    def __init__(self, error: grpc.RpcError) -> None:
        # What stubs raise is both; its types do not say so.
        call = cast("grpc.Call", error)
        status = rpc_status.from_call(call)
        info = error_details_pb2.ErrorInfo()
        for detail in status.details if status else ():
            detail.Unpack(info)
        self.reason = info.reason or "without a reason"
        super().__init__(f"{call.code().name} {self.reason} ({call.details()})")


class Story:
    """One sign-up, from StartSignup to the first login.

    Args:
        page: Where it is told, and where its claims are checked.
        stack: What it happens on.
        mailbox: Where the mail arrives, unless the Kratos is somebody else's.
    """

    def __init__(self, page: Page, stack: Stack, mailbox: Mailbox) -> None:
        self._page = page
        self._stack = stack
        self._mailbox = mailbox
        self._admin = Admin(stack.admin_url)
        # In somebody's Kratos: nobody's address, and no trait its schema may lack.
        part = f".{secrets.token_hex(8)}" if stack.foreign else ""
        self._address = f"ada{part}@example.com"
        self._traits = {} if stack.foreign else {"name": "Ada Lovelace"}
        self._password = secrets.token_urlsafe(15)

    def tell(self) -> None:
        """Go through all of it, or as far as the first RPC that fails.

        Raises:
            TROUBLE: Something outside failed.
        """
        channel = grpc.insecure_channel(self._stack.signupd.target, NO_PROXY)
        with self._admin, channel:
            try:
                self._sign_up(SignupServiceStub(channel))
                self._sign_in()
            except CallFailedError as error:
                self._page.claim("The answer", "OK", str(error))
                self._blame()
            finally:
                self._clean_up()

    def _sign_up(self, stub: Any) -> None:
        self._page.heading("StartSignup", STARTING)
        start = pb.StartSignupRequest(email=self._address)
        start.traits.update(self._traits)
        answer = self._call(stub.StartSignup, start)
        self._claim_state("CODE_REQUIRED", answer)
        self._claim_kratos_holds(NOTHING)

        answer = self._verify(stub, answer.continuation_token)
        self._claim_state("PASSWORD_REQUIRED", answer)
        self._claim_kratos_holds(NOTHING)

        self._page.heading("SetPassword", SETTING)
        finish = pb.SetPasswordRequest(
            continuation_token=answer.continuation_token, password=self._password
        )
        answer = self._call(stub.SetPassword, finish)
        self._claim_state("COMPLETED", answer)
        self._claim_kratos_holds(WHOLE)
        self._claim_details(answer.signup.identity_id)

    def _verify(self, stub: Any, token: str) -> Answer:
        self._page.heading("The mail")
        code, typed = self._code()
        self._page.heading("VerifyCode", VERIFYING)
        while True:
            verify = pb.VerifyCodeRequest(continuation_token=token, code=code)
            try:
                return self._call(stub.VerifyCode, verify)
            except CallFailedError as error:
                # People mistype; the service counts how often.
                if not typed or error.reason != "CODE_INCORRECT":
                    raise
                self._page.say("That code is not correct.", "yellow")
                code = self._asked()

    def _call(self, method: Callable[..., Answer], request: Message) -> Answer:
        """Call an RPC, and show its request and its answer."""
        self._page.fields(_shown(request), "Request")
        try:
            answer = method(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise CallFailedError(error) from error
        self._page.fields(_shown(answer), "Answer")
        return answer

    def _code(self) -> tuple[str, bool]:
        """Get the code, and whether somebody typed it."""
        if self._stack.foreign is None:
            return self._caught(), False
        code = self._admin.code_for(self._address)
        if code:
            self._page.say(f"The code, from Kratos' courier: {code}")
            return code, False
        if not sys.stdin.isatty():
            raise ForeignKratosError(CODE_OUT_OF_REACH)
        self._page.say(f"Your Kratos has mailed a code to {self._address}.")
        return self._asked(), True

    def _caught(self) -> str:
        try:
            mail = self._mailbox.wait_for(self._address)
        except MailMissingError as error:
            log = self._stack.kratos.log_tail() if self._stack.kratos else ""
            raise MailMissingError(
                f"The mail with the code did not arrive: {error}.\n"
                f"The end of Kratos' log:\n{log}"
            ) from error
        self._page.mail(mail)
        return mail.code

    def _asked(self) -> str:
        code = ""
        while not code.isdecimal():
            try:
                code = self._page.console.input("The code, digits only: ").strip()
            except EOFError:
                raise ForeignKratosError(CODE_OUT_OF_REACH) from None
        return code

    def _sign_in(self) -> None:
        self._page.heading("Signing in", SIGNING_IN)
        with Visitor(self._stack.public_url) as visitor:
            wrong = visitor.login(self._address, self._password[::-1])
            self._page.claim("With another password", "refused", _verdict(wrong))
            right = visitor.login(self._address, self._password)
            self._page.claim("With the new password", "accepted", _verdict(right))

    def _clean_up(self) -> None:
        """Remove the account from a Kratos that goes on without us."""
        if self._stack.foreign is None:
            return
        self._page.heading("Cleaning up")
        for identity in self._admin.identities(self._address):
            # The address is ours alone. A Kratos that misreads the question must not
            # make us delete other people's accounts.
            if identity.traits.get("email") == self._address:
                self._admin.remove(identity.id)
                self._page.say(f"Identity {identity.id} is deleted.")
        self._claim_kratos_holds(NOTHING)

    def _claim_state(self, expected: str, answer: Answer) -> None:
        seen = pb.SignupState.Name(answer.signup.state)
        self._page.claim("State", expected, seen.removeprefix("SIGNUP_STATE_"))

    def _claim_kratos_holds(self, expected: str) -> None:
        seen = _described(self._admin.identities(self._address))
        self._page.claim("Kratos holds for this address", expected, seen)

    def _claim_details(self, identity_id: str) -> None:
        for identity in self._admin.identities(self._address):
            self._page.claim(
                "Its id is the one in the answer", identity_id, identity.id
            )
            traits = {"email": self._address, **self._traits}
            self._page.claim("Its traits", _sorted(traits), _sorted(identity.traits))
            left = self._admin.session_count(identity.id)
            self._page.claim("Sessions left behind in Kratos", 0, left)
        written = len(self._admin.courier_messages(self._address))
        self._page.claim("Mails that Kratos wrote to this address, in all", 1, written)

    def _blame(self) -> None:
        """Show what the server's log complains of, each thing once."""
        lines = self._stack.signupd.log().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        complaints = {
            event.get("why") or event["event"]: None
            for event in events
            if event.get("level") in {"warning", "error", "critical"}
        }
        for complaint in complaints:
            self._page.say(f"signupd's log says: {complaint}")


def _shown(message: Message) -> dict[str, str]:
    """Flatten a message into what is shown of it, by the names of the contract."""
    fields = MessageToDict(message, preserving_proto_field_name=True)
    fields |= fields.pop("signup", {})
    token = fields.get("continuation_token", "")
    if len(token) > TOKEN_CHARACTERS:
        shortened = f"{token[:TOKEN_CHARACTERS]}... ({len(token)} characters)"
        fields["continuation_token"] = shortened
    return {
        name: json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in fields.items()
    }


def _described(identities: list[Identity]) -> str:
    """Say in words what was found; two accounts never look like one."""
    if not identities:
        return NOTHING
    parts = [
        f"{one.state}, {'verified' if one.verified else 'not verified'}, "
        f"{'with a' if one.has_password else 'without a'} password"
        for one in identities
    ]
    noun = "account" if len(parts) == 1 else "accounts"
    return f"{len(parts)} {noun}, {' and one '.join(parts)}"


def _verdict(accepted: bool) -> str:
    return "accepted" if accepted else "refused"


def _sorted(traits: dict[str, Any]) -> str:
    return json.dumps(traits, sort_keys=True)

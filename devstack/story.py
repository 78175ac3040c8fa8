"""The story of one sign-up, with every claim in it checked."""

import json
import secrets
import sys
from typing import Any

from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.admin import Admin, Identity
from devstack.calls import Answer, CallFailedError, Calls
from devstack.foreign import ForeignKratosError
from devstack.mailbox import Mailbox, MailMissingError
from devstack.page import Page
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
        with self._admin, Calls(self._stack.signupd.target, self._page) as calls:
            try:
                self._sign_up(calls)
                self._sign_in()
            except CallFailedError as error:
                self._page.claim("The answer", "OK", str(error))
                self._blame()
            finally:
                self._clean_up()

    def _sign_up(self, calls: Calls) -> None:
        self._page.heading("StartSignup", STARTING)
        answer: Answer = calls.start(self._address, self._traits)
        self._claim_state("CODE_REQUIRED", answer)
        self._claim_kratos_holds(NOTHING)

        answer = self._verify(calls, answer.continuation_token)
        self._claim_state("PASSWORD_REQUIRED", answer)
        self._claim_kratos_holds(NOTHING)

        self._page.heading("SetPassword", SETTING)
        answer = calls.set_password(answer.continuation_token, self._password)
        self._claim_state("COMPLETED", answer)
        self._claim_kratos_holds(WHOLE)
        self._claim_details(answer.signup.identity_id)

    def _verify(self, calls: Calls, token: str) -> Answer:
        self._page.heading("The mail")
        code, typed = self._code()
        self._page.heading("VerifyCode", VERIFYING)
        while True:
            try:
                return calls.verify(token, code)
            except CallFailedError as error:
                # People mistype; the service counts how often.
                if not typed or error.reason != "CODE_INCORRECT":
                    raise
                self._page.say("That code is not correct.", "yellow")
                code = self._asked()

    def _code(self) -> tuple[str, bool]:
        """Get the code, and whether somebody typed it."""
        foreign = self._stack.foreign
        if foreign is None:
            return self._caught(), False
        code = foreign.code_for(self._address)
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
        foreign = self._stack.foreign
        if foreign is None:
            return
        self._page.heading("Cleaning up")
        for identity in self._admin.identities(self._address):
            # The address is ours alone. A Kratos that misreads the question must not
            # make us delete other people's accounts.
            if identity.traits.get("email") == self._address:
                foreign.remove(identity.id)
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

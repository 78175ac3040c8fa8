"""The dialogue: one whole sign-up, with a person who types."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, Protocol

from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.client.calls import Answer
from signupd.client.sentences import ADDRESS, CODE, PASSWORD, asks_again, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signupd.client.calls import Signups
    from signupd.client.refusal import Refusal

ENDINGS: Final = {
    pb.SIGNUP_STATE_ALREADY_REGISTERED: (
        "The mailbox is yours, and has an account already: sign in."
    ),
    pb.SIGNUP_STATE_EXPIRED: "The sign-up has expired. Start again.",
    pb.SIGNUP_STATE_CANCELLED: "The sign-up was cancelled. Start again.",
}
_GOING_ON: Final = (
    pb.SIGNUP_STATE_CODE_REQUIRED,
    pb.SIGNUP_STATE_PASSWORD_REQUIRED,
    pb.SIGNUP_STATE_COMPLETED,
)


class Terminal(Protocol):
    """Where the person sits."""

    def say(self, text: str) -> None:
        """Show a line."""

    def ask(self, question: str) -> str:
        """Ask for a line.

        Raises:
            EOFError: Nothing more will be typed.
        """

    def ask_hidden(self, question: str) -> str:
        """Ask for a line that shows nowhere.

        Raises:
            EOFError: Nothing more will be typed.
        """


class _Over(Exception):
    """The dialogue has come to an end before there is an account; why has been said."""


class Dialogue:
    """Walks one person through one sign-up.

    Args:
        signups: The service.
        terminal: The person.
    """

    def __init__(self, signups: Signups, terminal: Terminal) -> None:
        self._signups = signups
        self._terminal = terminal
        self._token = ""
        self._signup = pb.Signup()

    def run(self, email: str = "", traits: Mapping[str, Any] | None = None) -> bool:
        """Go from the address to the account. Who types no more cancels the sign-up.

        Args:
            email: The address; asked for where it is empty.
            traits: Further traits, JSON values by name.

        Returns:
            Whether the account was made.
        """
        try:
            self._start(email, traits or {})
            self._prove()
            self._finish()
        except _Over:
            return False
        except EOFError:
            self._cancel()
            return False
        return True

    def _start(self, email: str, traits: Mapping[str, Any]) -> None:
        while not self._token:
            email = email or self._terminal.ask("E-mail address: ").strip()
            self._take(self._signups.start(email, traits), ADDRESS)
            email = ""
        self._say_mailed()

    def _prove(self) -> None:
        while self._signup.state == pb.SIGNUP_STATE_CODE_REQUIRED:
            # Codes are often written in groups.
            code = "".join(self._terminal.ask("Code (none: mail another): ").split())
            if code:
                self._take(self._signups.verify(self._token, code), CODE)
            elif self._take(self._signups.resend(self._token), CODE):
                self._say_mailed()

    def _finish(self) -> None:
        policy = self._signup.password_policy
        self._terminal.say(
            f"The mailbox is yours. Choose a password: at least {policy.min_length} "
            f"characters, at most {policy.max_bytes} bytes."
        )
        while self._signup.state == pb.SIGNUP_STATE_PASSWORD_REQUIRED:
            password = self._terminal.ask_hidden("Password: ")
            if password != self._terminal.ask_hidden("Once more: "):
                self._terminal.say("These are two different ones.")
                continue
            self._take(self._signups.set_password(self._token, password), PASSWORD)
        self._terminal.say(f"The account is made: {self._signup.identity_id}")

    def _take(self, outcome: Answer | Refusal, reasons: frozenset[str]) -> bool:
        """Go on from an answer; say why there is none.

        Args:
            outcome: Of a call.
            reasons: After these the same question is put again.

        Returns:
            Whether there was an answer.

        Raises:
            _Over: It does not go on.
        """
        if isinstance(outcome, Answer):
            self._token, self._signup = outcome.token, outcome.signup
            self._end_if_over()
            return True
        for line in told(outcome):
            self._terminal.say(line)
        if not asks_again(outcome, reasons):
            raise _Over
        return False

    def _end_if_over(self) -> None:
        state = self._signup.state
        if state not in _GOING_ON:
            newer = f"The sign-up is in a state that is not known here: {state}."
            self._terminal.say(ENDINGS.get(state, newer))
            raise _Over

    def _say_mailed(self) -> None:
        until = self._signup.expire_time.ToDatetime(tzinfo=UTC)
        self._terminal.say(
            f"A code was mailed to {self._signup.masked_email}. "
            f"It can be entered until {until:%H:%M:%S} UTC."
        )

    def _cancel(self) -> None:
        """End what was begun, so that the service need not wait for it to lapse."""
        if not self._token:
            return
        outcome = self._signups.cancel(self._token)
        if isinstance(outcome, Answer):
            self._terminal.say("The sign-up is cancelled.")
            return
        for line in told(outcome):
            self._terminal.say(line)

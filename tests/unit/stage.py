"""A stage for the terminal's client: a person who types, a server that is played."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import grpc_testing
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.client.calls import Signups
from signupd.client.dialogue import Dialogue
from signupd.rpc.statuses import DETAILS_KEY, status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signupd.errors import SignupdError

SERVICE = pb.DESCRIPTOR.services_by_name["SignupService"]
END_SECONDS = 10.0


class TerminalDouble:
    """A person who has made up their mind, and remembers everything.

    Attributes:
        said: What was shown.
        asked: What was asked for, in the open.
        hidden: What was asked for without showing the answer.
    """

    def __init__(self, typed: Sequence[str]) -> None:
        self._typed = list(typed)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.hidden: list[str] = []

    def say(self, text: str) -> None:
        """Remember a line."""
        self.said.append(text)

    def ask(self, question: str) -> str:
        """Type the next line."""
        self.asked.append(question)
        return self._next()

    def ask_hidden(self, question: str) -> str:
        """Type the next line."""
        self.hidden.append(question)
        return self._next()

    def _next(self) -> str:
        if not self._typed:
            raise EOFError
        return self._typed.pop(0)


class Stage:
    """Plays the server for a dialogue that runs beside.

    Args:
        typed: What the person types, line by line; then nothing more comes.
        options: Of ``Dialogue.run``.

    Attributes:
        terminal: The person.
        pauses: How many seconds were waited before a call was repeated, each time.
    """

    def __init__(self, *typed: str, **options: Any) -> None:
        time = grpc_testing.strict_real_time()
        self.channel = grpc_testing.channel([SERVICE], time)
        self.terminal = TerminalDouble(typed)
        self.pauses: list[float] = []
        self._made: list[bool] = []
        self._options = options
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self, method: str, signup: pb.Signup, token: str = "") -> Any:
        """Take a call that must be of this method, and answer it.

        Returns:
            Its request.
        """
        descriptor = SERVICE.methods_by_name[method]
        _, request, rpc = self.channel.take_unary_unary(descriptor)
        response = getattr(pb, f"{method}Response")(
            continuation_token=token, signup=signup
        )
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return request

    def refuse(self, method: str, error: SignupdError) -> Any:
        """Take a call and refuse it, in the server's own words.

        Returns:
            Its request.
        """
        status = status_of(error)
        code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
        details = ((DETAILS_KEY, status.SerializeToString()),)
        return self.fail(method, code, status.message, details)

    def fail(
        self,
        method: str,
        code: grpc.StatusCode,
        message: str = "",
        trailers: Sequence[tuple[str, bytes]] = (),
    ) -> Any:
        """Take a call and let it fail in any way.

        Returns:
            Its request.
        """
        descriptor = SERVICE.methods_by_name[method]
        _, request, rpc = self.channel.take_unary_unary(descriptor)
        rpc.terminate(None, trailers, code, message)
        return request

    def made(self) -> bool:
        """Wait for the dialogue's end; tell whether it says that an account is made."""
        self._thread.join(END_SECONDS)
        (made,) = self._made
        return made

    def _run(self) -> None:
        signups = Signups(self.channel, self.pauses.append)
        self._made.append(Dialogue(signups, self.terminal).run(**self._options))

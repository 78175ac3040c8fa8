"""People who sign up, each with a fate, and what the service told them."""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.mailbox import MailMissingError
from tests.e2e.stack import similar_to, wrong_codes
from tests.limbo.caller import REPEATABLE, Outcome, Request
from tests.soak.site import Site

# Answers that are thrown away, and calls that are made again though they were answered.
LOST, REPEATED = 0.2, 0.2
MOST_SECONDS_TO_LOSS = 0.3
MOST_PAUSE_SECONDS = 1.0
MAIL_SECONDS = 6.0
# More than a lease of a killed server (75 s) and its approval (45 s) take.
PATIENCE_SECONDS = 240.0
MOST_WAIT_SECONDS = 2.0
# The server has died, or was told to stop.
NO_ANSWER = {*REPEATABLE, "CANCELLED", "DEADLINE_EXCEEDED"}
LAPSED = {"EXPIRED", "SIGNUP_EXPIRED"}
# A sign-up may end early by its time, or by a limit that lost answers have used up.
EARLY = {*LAPSED, "SEND_LIMIT_REACHED", "CODE_ATTEMPTS_EXHAUSTED"}
FINAL = {"COMPLETED", "ALREADY_REGISTERED", "CANCELLED"}


class EndedEarlyError(Exception):
    """A sign-up ended by its time or its limits; the text is the reason."""


class PromiseBrokenError(Exception):
    """The service answered what it may not answer."""


@dataclass(slots=True, kw_only=True, eq=False)
class Person:
    """Somebody who signs up.

    Attributes:
        site: Where.
        chance: What is chosen by.
        fate: One of FATES.
        address: Nobody else's, unless it is taken.
        password: The one that is to be set.
        known: Where people are listed, this one too as soon as it has begun.
        mails: How many mails of its address have been read.
        token: The newest.
        signup_id: Empty if none was shown.
        state: What was answered last.
        identity_id: The account's, as answered.
        early: Why the sign-up ended early; empty if it did not.
        fault: How a promise was broken; empty if none was.
        lost: How many answers were thrown away.
        repeated: How many calls were made again after their answer.
    """

    site: Site
    chance: random.Random
    fate: str
    address: str
    password: str
    known: "list[Person]" = field(repr=False)
    mails: int = 0
    token: str = ""
    signup_id: str = ""
    state: str = ""
    identity_id: str = ""
    early: str = ""
    fault: str = ""
    lost: int = 0
    repeated: int = 0

    def live(self) -> None:
        """Sign up as fate has it."""
        self.known.append(self)
        self._go(Person.start, *FATES[self.fate][1])

    def _go(self, *steps: "Callable[[Person], None]") -> None:
        try:
            for step in steps:
                step(self)
        except EndedEarlyError as error:
            self.early = str(error)
        except PromiseBrokenError as error:
            self.fault = f"{self.fate}, {self.address}: {error}"

    def start(self) -> None:
        """Ask for the first mail."""
        self.mails = len(self.site.mailbox.mails_to(self.address))
        request = pb.StartSignupRequest(
            email=self.address, request_id=str(uuid.uuid4())
        )
        self.ask(request, "CODE_REQUIRED")

    def resend(self) -> None:
        """Ask for another mail."""
        request = pb.ResendCodeRequest(
            continuation_token=self.token, request_id=str(uuid.uuid4())
        )
        self.ask(request, "CODE_REQUIRED")

    def guess(self) -> None:
        """Hand in wrong codes until no more are taken, and then the right one."""
        if right := self.newest_code():
            for wrong in wrong_codes(right, 5):
                said = self.verify(wrong, "CODE_INCORRECT", "CODE_EXPIRED")
                if said == "CODE_EXPIRED":
                    return  # Kratos counts tries whose answers are lost
            self.verify(right, "CODE_ATTEMPTS_EXHAUSTED")

    def prove(self) -> None:
        """Hand in the codes of mails until one is right."""
        self._hand_in("PASSWORD_REQUIRED")

    def learn(self) -> None:
        """Hand in the codes of mails until told that there is an account."""
        self._hand_in("ALREADY_REGISTERED")

    def cancel(self) -> None:
        """Give the sign-up up."""
        self.ask(pb.CancelSignupRequest(continuation_token=self.token), "CANCELLED")

    def be_refused(self) -> None:
        """Try passwords that this service and Kratos refuse."""
        for password in ("short", similar_to(self.address)):
            self.ask(self.setting(password), "PASSWORD_REJECTED")

    def finish(self) -> None:
        """Set the password."""
        self.ask(self.setting(self.password), "COMPLETED")

    def race(self) -> None:
        """Set the password at the same moment as somebody else with this address."""
        rival = Person(
            site=self.site,
            chance=self.chance,
            fate=self.fate,
            address=self.address,
            password=self.password[::-1],
            known=self.known,
        )
        self.known.append(rival)
        rival._go(Person.start, Person.prove)
        if rival.state != "PASSWORD_REQUIRED":
            self.finish()
            return
        # It is made again below, as this one's is until there is an answer.
        self.site.begin(self.chance, rival.setting(rival.password))
        try:
            self.finish_first()
        finally:
            rival._go(Person.finish_first)
        if not rival.early and self.state == rival.state:
            raise PromiseBrokenError(f"{self.state} twice for one address")

    def finish_first(self) -> None:
        """Set the password, unless somebody else has been faster."""
        self.ask(self.setting(self.password), "COMPLETED", "ALREADY_REGISTERED")

    def setting(self, password: str) -> pb.SetPasswordRequest:
        """Make a SetPassword."""
        return pb.SetPasswordRequest(continuation_token=self.token, password=password)

    def _hand_in(self, right: str) -> None:
        said = ""
        while said != right:
            if code := self.newest_code():
                # Wrong if a lost answer has left a newer mail on its way.
                said = self.verify(code, right, "CODE_INCORRECT", "CODE_EXPIRED")
            else:
                self.resend()

    def verify(self, code: str, *allowed: str) -> str:
        """Hand in a code."""
        request = pb.VerifyCodeRequest(continuation_token=self.token, code=code)
        return self.ask(request, *allowed)

    def newest_code(self) -> str:
        """Wait for a mail after those that were read; empty if none comes."""
        mailbox = self.site.mailbox
        try:
            mailbox.wait_for(self.address, self.mails + 1, MAIL_SECONDS)
        except MailMissingError:
            return ""
        mails = mailbox.mails_to(self.address)
        self.mails = len(mails)
        return mails[-1].code

    def ask(self, request: Request, *allowed: str) -> str:
        """Call until there is an answer, at any replica; now and then lose one.

        Raises:
            EndedEarlyError: The time is up, or a limit is reached.
            PromiseBrokenError: The answer is not an allowed one.
        """
        time.sleep(self.chance.uniform(0, MOST_PAUSE_SECONDS))
        if self.chance.random() < LOST:
            call = self.site.begin(self.chance, request)
            time.sleep(self.chance.uniform(0, MOST_SECONDS_TO_LOSS))
            call.cancel()
            self.lost += 1
        outcome = self.persist(request)
        self._accept(request, outcome, allowed)
        if self.chance.random() < REPEATED:
            self.repeated += 1
            self._accept(request, self.persist(request), (outcome.what,))
        return outcome.what

    def persist(self, request: Request) -> Outcome:
        """Call until there is an answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _is_answer(
            outcome := self.site.begin(self.chance, request).outcome()
        ):
            if time.monotonic() > deadline:
                raise PromiseBrokenError(f"no answer but {outcome.what} for too long")
            time.sleep(min(outcome.retry_seconds or 0.2, MOST_WAIT_SECONDS))
        return outcome

    def _accept(
        self, request: Request, outcome: Outcome, allowed: tuple[str, ...]
    ) -> None:
        if outcome.signup is not None:
            self.signup_id = outcome.signup.signup_id
        if outcome.what not in allowed:
            if outcome.what in EARLY:
                raise EndedEarlyError(outcome.what)
            name = request.DESCRIPTOR.name.removesuffix("Request")
            raise PromiseBrokenError(f"{name} after {self.state}: {outcome.what}")
        if outcome.status is grpc.StatusCode.OK:
            self.token = outcome.token or self.token
            self.state = outcome.what
            self.identity_id = outcome.shown.identity_id


def _is_answer(outcome: Outcome) -> bool:
    """Tell whether calling again is not what an outcome asks for."""
    if outcome.status is grpc.StatusCode.OK:
        return True
    # Without RetryInfo the sign-up has no resend left.
    later = outcome.what == "RESEND_TOO_SOON" and outcome.retry_seconds is not None
    return outcome.what not in NO_ANSWER and not later


# What a sign-up does after its start, and its share of all.
FATES: dict[str, tuple[int, tuple[Callable[[Person], None], ...]]] = {
    "completed": (4, (Person.prove, Person.finish)),
    "completed after resends": (
        2,
        (Person.resend, Person.resend, Person.prove, Person.finish),
    ),
    "completed after refused passwords": (
        2,
        (Person.prove, Person.be_refused, Person.finish),
    ),
    "two at once for one address": (2, (Person.prove, Person.race)),
    "address taken": (2, (Person.learn,)),
    "abandoned at the code": (2, ()),
    "abandoned at the password": (2, (Person.prove,)),
    "cancelled at the code": (1, (Person.cancel,)),
    "cancelled at the password": (1, (Person.prove, Person.cancel)),
    "wrong codes to exhaustion": (1, (Person.guess,)),
}

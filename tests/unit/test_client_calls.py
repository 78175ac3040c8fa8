"""The terminal's client: what it repeats, and what it reads from a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.client.calls import MAX_TRIES, Answer, Signups
from signupd.client.channel import Tls, open_channel
from signupd.client.refusal import Refusal, refusal_of
from signupd.errors import (
    CodeIncorrect,
    KratosUnavailable,
    LedgerUnavailable,
    PasswordRejected,
    SignupBusy,
    SignupdError,
    Violation,
)
from signupd.ledger.record import State
from signupd.rpc.responses import signup_message
from signupd.rpc.statuses import DETAILS_KEY, status_of
from signupd.signup.view import View

from tests.unit.rows import NOW, SIGNUP_ID
from tests.unit.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.timeout(30)

ANN = "ann@example.com"
TOKEN = "continuation-token"


class ErrorDouble(grpc.RpcError):
    """What a stub raises."""

    def __init__(
        self, code: grpc.StatusCode, details: str, trailers: Sequence[tuple[str, bytes]]
    ) -> None:
        self._code, self._details, self._trailers = code, details, trailers

    def code(self) -> grpc.StatusCode:
        """Give the status."""
        return self._code

    def details(self) -> str:
        """Give the sentence."""
        return self._details

    def trailing_metadata(self) -> tuple[Any, ...]:
        """Give the details."""
        return tuple(self._trailers)


def error(status: status_pb2.Status, **changed: object) -> Refusal:
    """Read a status from an error that carries it."""
    made = ErrorDouble(
        grpc.StatusCode.INVALID_ARGUMENT,
        str(changed.get("details", status.message)),
        [(DETAILS_KEY, status.SerializeToString())],
    )
    return refusal_of(made)


def test_all_of_a_refusal() -> None:
    """Reason, faults, delay and sign-up are what the server put in."""
    view = View(SIGNUP_ID, State.CODE_REQUIRED, "a***@example.com", NOW)
    faults = (Violation("password", "is too short", "TOO_SHORT"),)
    refused = PasswordRejected(signup=view, violations=faults, retry_after_seconds=1.5)

    assert Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "The password is not acceptable.",
        "PASSWORD_REJECTED",
        faults,
        1.5,
        signup_message(view),
    ) == error(status_of(refused))


def test_least_of_a_refusal() -> None:
    """What the server leaves out is not made up."""
    status = status_of(CodeIncorrect())

    assert Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, status.message, "CODE_INCORRECT"
    ) == error(status)


def test_no_details() -> None:
    """An error of gRPC's own has a status and a sentence."""
    bare = ErrorDouble(grpc.StatusCode.UNAVAILABLE, "no route", [])

    assert Refusal(grpc.StatusCode.UNAVAILABLE, "no route") == refusal_of(bare)


def test_details_of_somebody_else() -> None:
    """A reason under another domain is none of the contract's."""
    status = status_pb2.Status(code=3, message="No.")
    info = error_details_pb2.ErrorInfo(reason="CODE_INCORRECT", domain="proxy")
    status.details.add().Pack(info)

    assert "" == error(status).reason


def test_details_that_disagree() -> None:
    """Details of another error than the one they come with are not believed."""
    assert "" == error(status_of(CodeIncorrect()), details="Other.").reason


def test_details_that_are_none() -> None:
    """Bytes that are no details leave the status."""
    spoiled = ErrorDouble(
        grpc.StatusCode.INTERNAL, "broken", [(DETAILS_KEY, b"\xff\xff")]
    )

    assert Refusal(grpc.StatusCode.INTERNAL, "broken") == refusal_of(spoiled)


@pytest.mark.parametrize(
    ("refused", "pause"),
    [
        (SignupBusy(), 1.0),
        (KratosUnavailable(), 2.0),
        (LedgerUnavailable(retry_after_seconds=0.5), 0.5),
    ],
)
def test_repeated(refused: SignupdError, pause: float) -> None:
    """What may pass is repeated, the very same call, after the time that was said."""
    stage = Stage(email=ANN)
    first = stage.refuse("StartSignup", refused)
    second = stage.answer("StartSignup", pb.Signup(state=pb.SIGNUP_STATE_EXPIRED))

    assert not stage.made()
    assert first == second
    assert first.request_id
    assert [pause] == stage.pauses


def test_lost_answer() -> None:
    """So is a call whose answer was lost, after a second."""
    stage = Stage(email=ANN)
    first = stage.fail("StartSignup", grpc.StatusCode.UNAVAILABLE, "reset")
    second = stage.answer("StartSignup", pb.Signup(state=pb.SIGNUP_STATE_EXPIRED))

    assert not stage.made()
    assert first == second
    assert [1.0] == stage.pauses


def test_not_for_ever() -> None:
    """Of a service that nobody answers at it says so in the end."""
    stage = Stage(email=ANN)
    for _ in range(MAX_TRIES):
        stage.fail("StartSignup", grpc.StatusCode.UNAVAILABLE, "no route")

    assert not stage.made()
    assert [1.0] * (MAX_TRIES - 1) == stage.pauses
    assert ["No answer of the service: UNAVAILABLE, no route"] == stage.terminal.said


@pytest.mark.parametrize(
    "refused", [SignupBusy(retry_after_seconds=75), CodeIncorrect()]
)
def test_not_repeated(refused: SignupdError) -> None:
    """Neither what takes longer nor what the same call cannot mend is repeated."""
    stage = Stage(email=ANN)
    stage.refuse("StartSignup", refused)

    assert not stage.made()
    assert [] == stage.pauses


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED]
)
def test_other_failures(code: grpc.StatusCode) -> None:
    """Nor are gRPC's other failures."""
    stage = Stage(email=ANN)
    stage.fail("StartSignup", code, "over")

    assert not stage.made()
    assert [] == stage.pauses
    assert [f"No answer of the service: {code.name}, over"] == stage.terminal.said


def test_answer_shows_no_token() -> None:
    """An answer in a traceback does not show its token."""
    assert TOKEN not in repr(Answer(TOKEN, pb.Signup()))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A certificate that cannot be read is an error before anything is connected."""
    for tls in (
        Tls(ca=tmp_path / "x"),
        Tls(cert=tmp_path / "x"),
        Tls(key=tmp_path / "x"),
    ):
        with pytest.raises(FileNotFoundError):
            open_channel("signup.example:443", tls)


def test_nobody_there() -> None:
    """A real channel to where nobody listens fails as a lost answer does."""
    pauses: list[float] = []
    with open_channel("unix:/nowhere/signupd.sock", None) as channel:
        outcome = Signups(channel, pauses.append).start(ANN, {})

    assert isinstance(outcome, Refusal)
    assert (grpc.StatusCode.UNAVAILABLE, "") == (outcome.status, outcome.reason)
    assert [1.0] * (MAX_TRIES - 1) == pauses

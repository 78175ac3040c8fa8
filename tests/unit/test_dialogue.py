"""``signupd signup``'s dialogue, against a server that is played (grpcio-testing)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from kratos_signup.v1 import errors_pb2
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd import errors
from signupd.client.sentences import ADDRESS, ADVICE, CODE, PASSWORD
from signupd.errors import (
    CodeAttemptsExhausted,
    CodeExpired,
    CodeIncorrect,
    EmailInvalid,
    KratosUnavailable,
    PasswordAlreadySet,
    PasswordAttemptsExhausted,
    PasswordRejected,
    RequestInvalid,
    ResendTooSoon,
    SendLimitReached,
    SignupCancelled,
    SignupdError,
    SignupExpired,
    StepMismatch,
    TokenInvalid,
    TraitsInvalid,
    Violation,
)
from signupd.ledger.record import State
from signupd.signup.view import View

from tests.unit.rows import NOW, SIGNUP_ID
from tests.unit.stage import Stage

pytestmark = pytest.mark.timeout(30)

ANN, MASK = "ann@example.com", "a***@example.com"
GOOD = "plum-violin-harbor-42"
NINE = Timestamp(seconds=9 * 3600)
CODE_REQUIRED = pb.Signup(
    state=pb.SIGNUP_STATE_CODE_REQUIRED, masked_email=MASK, expire_time=NINE
)
PASSWORD_REQUIRED = pb.Signup(
    state=pb.SIGNUP_STATE_PASSWORD_REQUIRED,
    password_policy=pb.PasswordPolicy(min_length=8, max_bytes=72),
)
COMPLETED = pb.Signup(state=pb.SIGNUP_STATE_COMPLETED, identity_id="identity-1")
MAILED = f"A code was mailed to {MASK}. It can be entered until 09:00:00 UTC."
CHOOSE = (
    "The mailbox is yours. Choose a password: at least 8 characters, at most 72 bytes."
)
ENDING_ERRORS: list[type[SignupdError]] = [
    CodeAttemptsExhausted,
    SignupExpired,
    SignupCancelled,
    StepMismatch,
    TokenInvalid,
]


def view(**changed: Any) -> View:
    """Make a sign-up as it stands, for a refusal."""
    return View(SIGNUP_ID, State.CODE_REQUIRED, MASK, NOW, **changed)


def at_code(*typed: str) -> Stage:
    """Bring a dialogue to the code."""
    stage = Stage(*typed, email=ANN)
    stage.answer("StartSignup", CODE_REQUIRED, "token-1")
    return stage


def at_password(*typed: str) -> Stage:
    """Bring a dialogue to the password."""
    stage = at_code("123456", *typed)
    stage.answer("VerifyCode", PASSWORD_REQUIRED, "token-2")
    return stage


def test_whole_way() -> None:
    """Address, code, password: each call carries what was typed and the last token."""
    stage = Stage(f" {ANN} ", "123456", GOOD, GOOD, traits={"name": "Ann", "n": 1})
    started = stage.answer("StartSignup", CODE_REQUIRED, "token-1")
    verified = stage.answer("VerifyCode", PASSWORD_REQUIRED, "token-2")
    set_ = stage.answer("SetPassword", COMPLETED)

    assert stage.made()
    assert (ANN, {"name": "Ann", "n": 1}) == (
        started.email,
        MessageToDict(started.traits),
    )
    assert 4 == uuid.UUID(started.request_id).version
    assert ("token-1", "123456") == (verified.continuation_token, verified.code)
    assert ("token-2", GOOD) == (set_.continuation_token, set_.password)
    assert [
        MAILED,
        CHOOSE,
        "The account is made: identity-1",
    ] == stage.terminal.said
    assert ["E-mail address: ", "Code (none: mail another): "] == stage.terminal.asked
    assert ["Password: ", "Once more: "] == stage.terminal.hidden


def test_address_given() -> None:
    """An address from the command line is not asked for."""
    stage = at_code("123456")
    stage.refuse("VerifyCode", TokenInvalid())

    assert not stage.made()
    assert ["Code (none: mail another): "] == stage.terminal.asked


@pytest.mark.parametrize("given", [{}, {"email": "no address"}])
def test_address_refused(given: dict[str, str]) -> None:
    """An address that is none is asked for again, also one from the command line."""
    fault = Violation("email", "is not an e-mail address")
    typed = [ANN] if given else ["no address", ANN]
    stage = Stage(*typed, **given)
    stage.refuse("StartSignup", EmailInvalid(violations=(fault,)))
    second = stage.answer("StartSignup", CODE_REQUIRED, "token-1")
    stage.answer("CancelSignup", pb.Signup(state=pb.SIGNUP_STATE_CANCELLED))

    assert not stage.made()
    assert ANN == second.email
    assert [
        "The e-mail address is not valid. (EMAIL_INVALID)",
        "- email is not an e-mail address",
        MAILED,
    ] == stage.terminal.said[:3]


def test_traits_refused() -> None:
    """Traits that the schema wants otherwise end it; the option is named."""
    fault = Violation("traits.name", "is missing")
    stage = Stage(email=ANN)
    stage.refuse("StartSignup", TraitsInvalid(violations=(fault,)))

    assert not stage.made()
    assert [
        "The traits are not valid. (TRAITS_INVALID)",
        "- traits.name is missing",
        "--traits gives further ones.",
    ] == stage.terminal.said


def test_too_many_mails_to_begin() -> None:
    """Where no mail may be sent now, it says when, and ends."""
    stage = Stage(email=ANN)
    stage.refuse("StartSignup", SendLimitReached(retry_after_seconds=1799.2))

    assert not stage.made()
    assert [
        "Too many mails were sent. (SEND_LIMIT_REACHED)",
        "Try again in 1800 s.",
    ] == stage.terminal.said


def test_code_in_groups() -> None:
    """A code may be typed as it was read."""
    stage = at_code(" 123 456\t")

    assert "123456" == stage.refuse("VerifyCode", TokenInvalid()).code


def test_wrong_code() -> None:
    """After a wrong code it says how many attempts are left, and asks again."""
    stage = at_code("1", "2", "3")
    for left in (4, 1):
        error = CodeIncorrect(signup=view(code_attempts_remaining=left))
        stage.refuse("VerifyCode", error)
    stage.answer("VerifyCode", PASSWORD_REQUIRED, "token-2")
    stage.answer("CancelSignup", pb.Signup(state=pb.SIGNUP_STATE_CANCELLED))

    assert not stage.made()
    assert [
        "The code is not correct. (CODE_INCORRECT)",
        "4 attempts are left.",
        "The code is not correct. (CODE_INCORRECT)",
        "One attempt is left.",
    ] == stage.terminal.said[1:5]


def test_last_code() -> None:
    """After the last attempt it asks no more."""
    stage = at_code("1", "2")
    stage.refuse("VerifyCode", CodeIncorrect(signup=view()))

    assert not stage.made()
    assert "No attempt is left. Start again." == stage.terminal.said[-1]


def test_resend() -> None:
    """An empty line has another code mailed; the new token is used from then on."""
    stage = at_code("", "123456")
    resent = stage.answer("ResendCode", CODE_REQUIRED, "token-1b")
    verified = stage.refuse("VerifyCode", TokenInvalid())

    assert "token-1" == resent.continuation_token
    assert 4 == uuid.UUID(resent.request_id).version
    assert "token-1b" == verified.continuation_token
    assert not stage.made()
    assert [MAILED, MAILED] == stage.terminal.said[:2]


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (ResendTooSoon(retry_after_seconds=41.5), "Try again in 42 s."),
        (SendLimitReached(), "This sign-up has no mail left."),
        (SendLimitReached(retry_after_seconds=90), "Try again in 90 s."),
    ],
)
def test_no_resend(error: SignupdError, last: str) -> None:
    """Where no other code is mailed now it says when, and the old one may be typed."""
    stage = at_code("", "123456")
    stage.refuse("ResendCode", error)
    verified = stage.answer("VerifyCode", PASSWORD_REQUIRED, "token-2")
    stage.answer("CancelSignup", pb.Signup())

    assert not stage.made()
    assert "token-1" == verified.continuation_token
    assert last == stage.terminal.said[2]


def test_resend_ends() -> None:
    """A resend that shows that it is over ends it."""
    stage = at_code("", "123456")
    stage.refuse("ResendCode", CodeAttemptsExhausted())

    assert not stage.made()


@pytest.mark.parametrize(
    "error",
    [
        CodeExpired(),
        RequestInvalid(violations=(Violation("code", "is not digits"),)),
    ],
)
def test_code_asked_again(error: SignupdError) -> None:
    """A code that lapsed, or is none, costs nothing but another line."""
    stage = at_code("x", "123456")
    stage.refuse("VerifyCode", error)
    stage.answer("VerifyCode", PASSWORD_REQUIRED, "token-2")
    stage.answer("CancelSignup", pb.Signup())

    assert not stage.made()
    assert error.reason in stage.terminal.said[1]


@pytest.mark.parametrize("step", ["VerifyCode", "SetPassword"])
def test_already_registered(step: str) -> None:
    """Who has an account already is told to sign in."""
    there = pb.Signup(state=pb.SIGNUP_STATE_ALREADY_REGISTERED)
    stage = at_code("123456") if step == "VerifyCode" else at_password(GOOD, GOOD)
    stage.answer(step, there)

    assert not stage.made()
    assert "sign in" in stage.terminal.said[-1]


@pytest.mark.parametrize("state", [pb.SIGNUP_STATE_EXPIRED, pb.SIGNUP_STATE_CANCELLED])
def test_over_already(state: pb.SignupState.ValueType) -> None:
    """An answer that shows a final state ends it."""
    stage = Stage(email=ANN)
    stage.answer("StartSignup", pb.Signup(state=state))

    assert not stage.made()
    assert "Start again." in stage.terminal.said[-1]


def test_state_of_a_newer_server() -> None:
    """A state that is not known here is never taken for an account."""
    stage = at_password(GOOD, GOOD)
    stage.answer("SetPassword", pb.Signup(state=99))  # type: ignore[arg-type]

    assert not stage.made()
    assert "not known here: 99" in stage.terminal.said[-1]


@pytest.mark.parametrize("kind", ENDING_ERRORS)
def test_code_step_ends(kind: type[SignupdError]) -> None:
    """What no other code can mend ends it, and says so."""
    stage = at_code("123456", "654321")
    stage.refuse("VerifyCode", kind())

    assert not stage.made()
    assert f"({kind.reason})" in stage.terminal.said[-2]
    assert "Start again." == stage.terminal.said[-1]


@pytest.mark.parametrize(
    "kind", [SignupExpired, PasswordAttemptsExhausted, PasswordAlreadySet]
)
def test_password_step_ends(kind: type[SignupdError]) -> None:
    """What no other password can mend ends it, and says what helps."""
    stage = at_password(GOOD, GOOD, "another", "another")
    stage.refuse("SetPassword", kind())

    assert not stage.made()
    assert f"({kind.reason})" in stage.terminal.said[-2]
    assert ADVICE[kind.reason] == stage.terminal.said[-1]


def test_two_passwords() -> None:
    """Two that differ are not sent anywhere."""
    stage = at_password("one", "other", GOOD, GOOD)
    request = stage.answer("SetPassword", COMPLETED)

    assert stage.made()
    assert GOOD == request.password
    assert "These are two different ones." in stage.terminal.said


def test_password_as_typed() -> None:
    """Spaces belong to a password."""
    stage = at_password(" a b ", " a b ")

    assert " a b " == stage.answer("SetPassword", COMPLETED).password


def test_password_rejected() -> None:
    """Each broken rule is told, with its reason, and the attempts that are left."""
    faults = (
        Violation("password", "is too short", "TOO_SHORT"),
        Violation("password", "is known from a data breach", "BREACHED"),
    )
    error = PasswordRejected(
        violations=faults, signup=view(password_attempts_remaining=19)
    )
    stage = at_password("tiny", "tiny", GOOD, GOOD)
    stage.refuse("SetPassword", error)
    stage.answer("SetPassword", COMPLETED)

    assert stage.made()
    assert [
        "The password is not acceptable. (PASSWORD_REJECTED)",
        "- password is too short (TOO_SHORT)",
        "- password is known from a data breach (BREACHED)",
        "19 attempts are left.",
    ] == stage.terminal.said[2:6]


def test_kratos_away() -> None:
    """Trouble that may pass does not lose what was typed before."""
    stage = at_password(GOOD, GOOD, GOOD, GOOD)
    for _ in range(5):
        stage.refuse("SetPassword", KratosUnavailable())
    stage.answer("SetPassword", COMPLETED)

    assert stage.made()
    assert "Ory Kratos does not answer. (KRATOS_UNAVAILABLE)" in stage.terminal.said


def test_nothing_typed() -> None:
    """Who types nothing at all calls nobody."""
    stage = Stage()

    assert not stage.made()
    assert [] == stage.terminal.said


@pytest.mark.parametrize(
    ("stage_at", "token"), [(at_code, "token-1"), (at_password, "token-2")]
)
def test_who_leaves_cancels(stage_at: Any, token: str) -> None:
    """Who types no more cancels what was begun."""
    stage = stage_at()
    request = stage.answer("CancelSignup", pb.Signup())

    assert not stage.made()
    assert token == request.continuation_token
    assert "The sign-up is cancelled." == stage.terminal.said[-1]


def test_not_cancelled() -> None:
    """What cannot be cancelled is told, and that is the end."""
    stage = at_code()
    stage.refuse("CancelSignup", SignupExpired())

    assert not stage.made()
    assert "(SIGNUP_EXPIRED)" in stage.terminal.said[-2]


def test_nothing_secret_is_shown() -> None:
    """No line shows a code, a password or a token."""
    stage = at_password("tiny#7", "tiny#7", GOOD, GOOD)
    stage.refuse("SetPassword", PasswordRejected(signup=view()))
    shown = "\n".join([*stage.terminal.said, *stage.terminal.asked])

    assert [] == [s for s in ("123456", "tiny#7", GOOD, "token-") if s in shown]


def test_every_reason() -> None:
    """For each reason of the contract it is known whether the dialogue goes on."""
    known = {
        name.removeprefix("ERROR_REASON_")
        for name in errors_pb2.ErrorReason.keys()  # noqa: SIM118 - no mapping
    }

    assert known - {"UNSPECIFIED"} == ADDRESS | CODE | PASSWORD | ADVICE.keys()
    assert set() == ADVICE.keys() & (ADDRESS | CODE | PASSWORD)


def test_errors_domain() -> None:
    """The domain is the contract's."""
    assert "kratos-signup" == errors.DOMAIN

"""``signupd signup``: what it asks, calls and says, against a scripted service."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.cli import app
from signupd.cli.signup import tls_of
from signupd.client.channel import RETRIES, Tls
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
    SignupBusy,
    SignupdError,
    SignupExpired,
    TokenInvalid,
    TraitsInvalid,
    Violation,
)
from signupd.rpc.statuses import STATUSES, status_of
from typer.testing import CliRunner, Result

from tests.doubles.authority import Authority
from tests.doubles.scripted_service import Reply, ScriptedService

ANN, MASK = "ann@example.com", "a***@example.com"
CA, CERT, KEY = Path("ca.pem"), Path("cert.pem"), Path("key.pem")
GOOD = "plum-violin-harbor-42"
NINE = Timestamp(seconds=9 * 3600)
CODE_REQUIRED = pb.Signup(
    state=pb.SIGNUP_STATE_CODE_REQUIRED, masked_email=MASK, expire_time=NINE
)
PASSWORD_REQUIRED = pb.Signup(
    state=pb.SIGNUP_STATE_PASSWORD_REQUIRED,
    password_policy=pb.PasswordPolicy(min_length=8, max_bytes=72),
)
STARTED = ("StartSignup", Reply(CODE_REQUIRED, "token-1"))
VERIFIED = ("VerifyCode", Reply(PASSWORD_REQUIRED, "token-2"))
COMPLETED = (
    "SetPassword",
    Reply(pb.Signup(state=pb.SIGNUP_STATE_COMPLETED, identity_id="identity-1")),
)
CANCELLED = ("CancelSignup", Reply(pb.Signup(state=pb.SIGNUP_STATE_CANCELLED)))
EXAMPLE = Path(__file__).parents[2] / "examples" / "service_config.json"


def waiting(**fields: Any) -> pb.Signup:
    """Make a sign-up that waits for its code, for a refusal."""
    state = pb.SIGNUP_STATE_CODE_REQUIRED
    return pb.Signup(signup_id="signup-1", state=state, **fields)


def run(service: ScriptedService, *typed: str, options: tuple[str, ...] = ()) -> Result:
    """Run the command with lines on its standard input, to the end of the script."""
    lines = "".join(f"{line}\n" for line in typed)
    with service:
        command = ["signup", "--target", service.target, *options]
        result = CliRunner().invoke(app, command, input=lines)
    assert [] == service.left, result.output
    return result


def test_whole_way() -> None:
    """Address, code, password: each call carries what was typed and the last token."""
    service = ScriptedService(STARTED, VERIFIED, COMPLETED)
    options = ("--traits", '{"name": "Ann", "n": 1}')
    typed = f" {ANN} ", " 123 456\t", "one", "other", " a b ", " a b "
    result = run(service, *typed, options=options)
    started, verified, set_ = service.requests

    assert (0, "") == (result.exit_code, result.stderr)
    assert (ANN, {"name": "Ann", "n": 1}) == (
        started.email,
        MessageToDict(started.traits),
    )
    assert 4 == uuid.UUID(started.request_id).version
    assert ("token-1", "123 456") == (verified.continuation_token, verified.code)
    assert ("token-2", " a b ") == (set_.continuation_token, set_.password)
    assert (
        "E-mail address: "
        f"A code was mailed to {MASK}. Enter it before 09:00:00 UTC.\n"
        "Code (press Enter for a new one): "
        "The address is verified. Choose a password: at least 8 characters, at most 72 "
        "bytes.\n"
        "Password: Repeat the password: The passwords do not match.\n"
        "Password: Repeat the password: The account is ready: identity-1\n"
    ) == result.stdout


def test_resend() -> None:
    """An empty line requests a new code; its token is used from then on."""
    resent = ("ResendCode", Reply(CODE_REQUIRED, "token-1b"))
    service = ScriptedService(STARTED, resent, VERIFIED, CANCELLED)
    result = run(service, ANN, "", "123456")
    _, resend, verify, _ = service.requests

    assert "token-1" == resend.continuation_token
    assert "token-1b" == verify.continuation_token
    assert 4 == uuid.UUID(resend.request_id).version
    assert 2 == result.stdout.count("A code was mailed")


@pytest.mark.parametrize(
    ("script", "typed"), [([STARTED], [ANN]), ([STARTED, VERIFIED], [ANN, "1", GOOD])]
)
def test_end_of_input(script: list[Any], typed: list[str]) -> None:
    """The end of the input cancels what was begun."""
    service = ScriptedService(*script, CANCELLED)
    result = run(service, *typed)

    assert 1 == result.exit_code
    assert f"token-{len(script)}" == service.requests[-1].continuation_token
    assert result.stdout.endswith("The sign-up was cancelled. Start again.\n")


# A refusal, and what is said of it after the service's sentence and the reason. After
# these the same question is asked again.
AGAIN: list[tuple[str, SignupdError, list[str]]] = [
    (
        "StartSignup",
        EmailInvalid(violations=(Violation("email", "is not an e-mail address"),)),
        ["- email is not an e-mail address"],
    ),
    (
        "StartSignup",
        SendLimitReached(retry_after_seconds=1799.2),
        ["Try again in 1800 s."],
    ),
    (
        "VerifyCode",
        CodeIncorrect(signup=waiting(code_attempts_remaining=4)),
        ["Attempts left: 4."],
    ),
    ("VerifyCode", CodeExpired(), ["Press Enter to get a new code."]),
    (
        "VerifyCode",
        RequestInvalid(violations=(Violation("code", "is not digits"),)),
        ["- code is not digits"],
    ),
    ("ResendCode", ResendTooSoon(retry_after_seconds=41.5), ["Try again in 42 s."]),
    (
        "ResendCode",
        SendLimitReached(),
        ["No further mail can be sent for this sign-up."],
    ),
    (
        "SetPassword",
        PasswordRejected(
            violations=(
                Violation("password", "is too short", "TOO_SHORT"),
                Violation("password", "is known from a data breach", "BREACHED"),
            ),
            signup=waiting(password_attempts_remaining=19),
        ),
        [
            "- password is too short (TOO_SHORT)",
            "- password is known from a data breach (BREACHED)",
            "Attempts left: 19.",
        ],
    ),
]
# After these the sign-up ends.
ENDING: list[tuple[str, SignupdError, list[str]]] = [
    (
        "StartSignup",
        TraitsInvalid(violations=(Violation("traits.name", "is missing"),)),
        ["- traits.name is missing", "Set the traits with --traits."],
    ),
    (
        "VerifyCode",
        CodeIncorrect(signup=waiting(code_attempts_remaining=0)),
        ["Attempts left: 0.", "Start again."],
    ),
    ("SetPassword", PasswordAlreadySet(), ["Sign in with that password."]),
    *(
        (step, error, ["Start again."])
        for step, error in (
            ("ResendCode", CodeAttemptsExhausted()),
            ("VerifyCode", TokenInvalid()),
            ("SetPassword", SignupExpired()),
            ("SetPassword", PasswordAttemptsExhausted()),
        )
    ),
]
# The script before a step, and what is typed up to it.
BEFORE: dict[str, tuple[list[Any], list[str]]] = {
    "StartSignup": ([], [ANN]),
    "ResendCode": ([STARTED], [ANN, ""]),
    "VerifyCode": ([STARTED], [ANN, "123456"]),
    "SetPassword": ([STARTED, VERIFIED], [ANN, "123456", GOOD, GOOD]),
}
FINALS = {
    pb.SIGNUP_STATE_ALREADY_REGISTERED: "Sign in if it is yours.",
    pb.SIGNUP_STATE_EXPIRED: "The sign-up has expired. Start again.",
    pb.SIGNUP_STATE_CANCELLED: "The sign-up was cancelled. Start again.",
    99: "The sign-up's state is unknown: 99.",
}


def explained(error: SignupdError, said: list[str]) -> str:
    """Return the whole explanation of a refusal."""
    sentence = f"{STATUSES[error.reason].message} ({error.reason})"
    return "\n".join([sentence, *said, ""])


@pytest.mark.parametrize(("step", "error", "said"), AGAIN)
def test_asks_again(step: str, error: SignupdError, said: list[str]) -> None:
    """After a refusal that the person can mend, the same question is asked again."""
    script, typed = BEFORE[step]
    second = [STARTED, CANCELLED] if step == "StartSignup" else [CANCELLED]
    again = [ANN] if step == "StartSignup" else []
    service = ScriptedService(*script, (step, error), *second)
    result = run(service, *typed, *again)

    assert 1 == result.exit_code
    assert explained(error, said) in result.stdout


@pytest.mark.parametrize(("step", "error", "said"), ENDING)
def test_ends(step: str, error: SignupdError, said: list[str]) -> None:
    """Any other refusal ends the sign-up, and says what to do."""
    script, typed = BEFORE[step]
    result = run(ScriptedService(*script, (step, error)), *typed, *[GOOD] * 3)

    assert 1 == result.exit_code
    assert result.stdout.endswith(explained(error, said))


@pytest.mark.parametrize(("state", "text"), FINALS.items())
def test_final_state(state: Any, text: str) -> None:
    """A final state without an account, or an unknown one, ends the sign-up."""
    script, typed = BEFORE["VerifyCode"]
    service = ScriptedService(*script, ("VerifyCode", Reply(pb.Signup(state=state))))
    result = run(service, *typed)

    assert 1 == result.exit_code
    assert result.stdout.endswith(f"{text}\n")


def foreign() -> bytes:
    """Make an error with a reason of another domain."""
    status = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message="over")
    reason = error_details_pb2.ErrorInfo(reason="CODE_INCORRECT", domain="proxy")
    status.details.add().Pack(reason)
    return bytes(status.SerializeToString())


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (foreign(), "INTERNAL"),
        (b"\xff\xff", "INTERNAL"),
        (status_of(CodeIncorrect()).SerializeToString(), "INTERNAL"),
    ],
)
def test_errors_of_others(failure: Any, name: str) -> None:
    """Details of another domain, another error or none at all are not believed."""
    result = run(ScriptedService(("StartSignup", failure)), ANN)

    assert 1 == result.exit_code
    assert result.stdout.endswith(f"The service did not answer: {name}, over\n")


@pytest.mark.parametrize(
    "passing", [SignupBusy(), KratosUnavailable(), grpc.StatusCode.UNAVAILABLE]
)
def test_retries(passing: Any) -> None:
    """What may pass is retried by gRPC, with the very same request."""
    service = ScriptedService(("StartSignup", passing), STARTED, CANCELLED)
    run(service, ANN)
    first, second, _ = service.requests

    assert first == second
    assert first.request_id


def test_retries_are_the_documented_ones() -> None:
    """The policy is the one that callers are told to copy."""
    (documented,) = json.loads(EXAMPLE.read_text())["methodConfig"]
    (ours,) = json.loads(RETRIES)["methodConfig"]

    files = (pb.DESCRIPTOR, accounts_pb.DESCRIPTOR)
    services = [s.full_name for file in files for s in file.services_by_name.values()]

    assert documented["retryPolicy"] == ours["retryPolicy"]
    assert ours["name"][0] in documented["name"]
    # The whole of each service, by its name.
    assert [{"service": name} for name in services] == documented["name"]


def test_terminal_is_safe() -> None:
    """What a server says moves no cursor and starts no colour."""
    odd = pb.Signup(state=pb.SIGNUP_STATE_CODE_REQUIRED, masked_email="\x1b[31mred\x07")
    service = ScriptedService(("StartSignup", Reply(odd, "token-1")), CANCELLED)

    assert "mailed to �[31mred�." in run(service, ANN).stdout


FILE = str(EXAMPLE)  # any file that exists
OPTIONS = [
    ([], "Missing option '--target'"),
    (["--target", "h"], "is not host:port or unix:path"),
    (["--target", "h:1", "--cert", FILE], "--cert and --key go together"),
    (["--target", "h:1", "--key", FILE], "--cert and --key go together"),
    (["--target", "h:1", "--ca", FILE], "holds no certificate in PEM"),
    (["--target", "h:1", "--cert", FILE, "--key", FILE], "are no certificate and its"),
    (["--target", "h:1", "--ca", FILE, "--insecure"], "--insecure excludes"),
    (["--target", "h:1", "--ca", "none.pem"], "'none.pem' does not exist"),
    *(
        (["--target", "h:1", "--traits", traits], "is not a JSON object")
        for traits in ("", "{", "[]", "null", '{"a": NaN}', "[" * 99_999)
    ),
]


@pytest.mark.parametrize(("options", "complaint"), OPTIONS)
def test_options(options: list[str], complaint: str) -> None:
    """Options that make no sense are refused before anything is asked."""
    done = CliRunner().invoke(app, ["signup", *options])

    assert (2, "") == (done.exit_code, done.stdout)
    assert complaint in done.stderr


ALONE = [["--target", "h:1"], ["--code-from-stdin"]]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [*OPTIONS[1:6], *((one, "with --canary") for one in ALONE)],
)
def test_options_of_check(options: list[str], complaint: str) -> None:
    """The canary's way to the server has the same options."""
    done = CliRunner().invoke(app, ["check", *options])

    assert (2, "") == (done.exit_code, done.stdout)
    assert complaint in " ".join(re.sub("│", " ", done.stderr).split())


@pytest.fixture
def issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put certificates into the working directory."""
    monkeypatch.chdir(tmp_path)
    authority = Authority()
    CA.write_bytes(authority.pem)
    authority.issue().write(CERT, KEY)


@pytest.mark.parametrize(
    ("target", "files", "insecure", "expected"),
    [
        ("127.0.0.1:50051", Tls(), False, None),
        ("unix:/run/signupd.sock", Tls(), False, None),
        ("127.0.0.1:50051", Tls(CA), False, Tls(CA)),
        ("10.0.0.1:50051", Tls(), False, Tls()),
        ("signup.example:443", Tls(CA, CERT, KEY), False, Tls(CA, CERT, KEY)),
        ("signup.example:443", Tls(), True, None),
    ],
)
@pytest.mark.usefixtures("issued")
def test_tls(target: str, files: Tls, *, insecure: bool, expected: Tls | None) -> None:
    """Plaintext is for this machine, or where it is asked for."""
    assert expected == tls_of(target, files, insecure=insecure)

"""Errors as statuses: class, reason, enum, status and sentence, all in one table."""

import base64
import inspect
import re
import uuid

import pytest
from google.rpc import error_details_pb2
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd import errors
from signupd.errors import SignupdError, Violation
from signupd.rpc.statuses import STATUSES, status_of

from tests.refusal import details_of

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SignupdError) and kind is not SignupdError
]


# What a caller need not tell apart.
SAME_REASON = {
    "KratosUnreached": "KratosUnavailable",
    "KratosFlowGone": "KratosIncompatible",
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes(kind: type[SignupdError]) -> None:
    """Every class of the tree has a row, and is named like its reason."""
    own = SAME_REASON.get(kind.__name__, kind.__name__)
    named = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", own).upper()

    assert named == kind.reason
    assert kind.reason in STATUSES


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_of_an_error_but_its_reason(kind: type[SignupdError]) -> None:
    """An error without more becomes its status, its sentence and ErrorInfo."""
    status = status_of(kind("hunter2: what only the log may know"))
    found = details_of(status)
    if kind.retry_seconds is not None:
        del found[error_details_pb2.RetryInfo]

    expected = error_details_pb2.ErrorInfo(reason=kind.reason, domain="kratos-signup")
    code: tuple[int, str] = STATUSES[kind.reason].code.value
    assert (code[0], STATUSES[kind.reason].message) == (status.code, status.message)
    assert {error_details_pb2.ErrorInfo: expected} == found
    assert b"hunter2" not in status.SerializeToString()


def test_sentences() -> None:
    """Each sentence is its own, ends with a full stop and fits on a line."""
    sentences = [row.message for row in STATUSES.values()]

    assert len(sentences) == len({*sentences})
    assert [] == [s for s in sentences if not re.fullmatch(r"[A-Z][^.]{10,70}\.", s)]


@pytest.mark.parametrize("micros", [0, 1, 249, 251, 1_799_999_999, 37_799_999_999])
def test_time_to_wait(micros: int) -> None:
    """RetryInfo is exact to the microsecond: one less would be too early."""
    error = errors.SendLimitReached(retry_after_seconds=micros / 1_000_000)
    delay = details_of(status_of(error))[error_details_pb2.RetryInfo].retry_delay

    assert micros == delay.ToMicroseconds()


def test_many_faults() -> None:
    """Of many faults sixteen are told, and how many more; gRPC takes all of it."""
    long = "\N{GRINNING FACE}" * 5000
    faults = [Violation(f"traits.{n}{long}", "x" * 60) for n in range(100)]
    signup = pb.Signup(signup_id=str(uuid.uuid4()), masked_email="a" * 260)
    error = errors.TraitsInvalid(
        violations=tuple(faults), signup=signup, retry_after_seconds=1
    )
    status = status_of(error)
    *told, last = details_of(status)[error_details_pb2.BadRequest].field_violations

    assert [f"traits.{n}{long}"[:64] for n in range(16)] == [one.field for one in told]
    assert ("traits", "has 84 more faults") == (last.field, last.description)
    assert len(base64.b64encode(status.SerializeToString())) < 8 * 1024


def test_details() -> None:
    """Faults, a time to wait and the sign-up come as details of their own."""
    violations = (
        Violation("password", "is too short", "TOO_SHORT"),
        Violation("traits.name", "is missing"),
    )
    signup = pb.Signup(signup_id="1", state=pb.SIGNUP_STATE_COMPLETED)
    error = errors.SignupBusy(
        violations=violations, retry_after_seconds=1.5, signup=signup
    )
    found = details_of(status_of(error))

    assert 4 == len(found)
    assert [
        ("password", "is too short", "TOO_SHORT"),
        ("traits.name", "is missing", ""),
    ] == [
        (v.field, v.description, v.reason)
        for v in found[error_details_pb2.BadRequest].field_violations
    ]
    delay = found[error_details_pb2.RetryInfo].retry_delay
    assert (1, 500_000_000) == (delay.seconds, delay.nanos)
    assert signup == found[pb.Signup]

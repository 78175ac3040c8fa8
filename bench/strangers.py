"""A stranger with a stopwatch: each RPC before the proof, addresses free and taken.

Free and taken ones take turns, in an order that is tossed for each pair, so that
whatever else the machine does meets both alike. Each address is used once, but taken
ones have had mails before, as the address of an account has.
"""

import random
import secrets
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

CALL_SECONDS = 30.0
# What nobody is mailed but once in a million times.
SOME_CODE = "000000"
# What an address with an account has had by mail before.
EARLIER_MAILS = 5
# The second mail must not be too soon, and a history must not use up the bucket.
SETTINGS: Mapping[str, str] = {
    "RESEND_INTERVAL": "1ms",
    "SENDS_PER_ADDRESS": str(10 * EARLIER_MAILS),
}


# The requests in their order, made from a token and an address.
CALLS: Mapping[str, Callable[[str, str], Any]] = {
    "StartSignup": lambda _, email: pb.StartSignupRequest(email=email),
    "VerifyCode": lambda token, _: pb.VerifyCodeRequest(
        continuation_token=token, code=SOME_CODE
    ),
    "GetSignup": lambda token, _: pb.GetSignupRequest(continuation_token=token),
    "ResendCode": lambda token, _: pb.ResendCodeRequest(continuation_token=token),
    "CancelSignup": lambda token, _: pb.CancelSignupRequest(continuation_token=token),
}


@dataclass(slots=True)
class Times:
    """How long calls of one RPC took, in seconds."""

    free: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """Compute how often the longer of two times is one of the first kind.

    That is Mann and Whitney's U, as a share of all pairs. An observer who sees one time
    of each kind, and guesses by which is longer, is right that often; one half is the
    toss of a coin.

    Args:
        one: Times of the first kind.
        other: Of the second; at least one each.
    """
    ranked = sorted(other)
    # Of equal times each is the longer one by half.
    longer = (bisect_left(ranked, each) + bisect_right(ranked, each) for each in one)
    return sum(longer) / 2 / (len(one) * len(other))


def deviation(one: int, other: int) -> float:
    """Compute the standard deviation of `chance` where the kinds do not differ.

    Args:
        one: How many times there are of the first kind.
        other: Of the second.
    """
    return sqrt((one + other + 1) / (12 * one * other))


def timed(channel: grpc.Channel, taken: Sequence[str]) -> dict[str, Times]:
    """Call for each of the taken addresses, and for as many free ones.

    Args:
        channel: To a server with SETTINGS.
        taken: Each has an account. It gets a history of mails first.

    Returns:
        The times by RPC.
    """
    signups = SignupServiceStub(channel)
    for address in taken:
        earlier = pb.StartSignupRequest(email=address)
        calls = [
            signups.StartSignup.future(earlier, timeout=CALL_SECONDS)
            for _ in range(EARLIER_MAILS)
        ]
        for call in calls:
            call.result()
    times = {name: Times() for name in CALLS}
    for address in taken:
        pair = [(address, True), (f"{secrets.token_hex(8)}@example.com", False)]
        random.shuffle(pair)
        for email, is_taken in pair:
            for name, seconds in _walk(signups, email).items():
                kind = times[name].taken if is_taken else times[name].free
                kind.append(seconds)
    return times


def _walk(signups: SignupServiceStub, email: str) -> dict[str, float]:
    """Make each call once, and time it."""
    found: dict[str, float] = {}
    token = ""
    for name, make in CALLS.items():
        request = make(token, email)
        begun = time.perf_counter()
        try:
            answer = getattr(signups, name)(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            found[name] = time.perf_counter() - begun
            wrong = error.code() is grpc.StatusCode.INVALID_ARGUMENT
            if name != "VerifyCode" or not wrong:
                raise
        else:
            found[name] = time.perf_counter() - begun
            token = answer.continuation_token
    return found

"""The load: people who sign up, at a given concurrency or rate.

Tools such as ghz send requests that are known beforehand, and count the answers. Here
each request needs the token of the answer before it.
"""

import asyncio
import enum
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import grpc
import uvloop
from google.protobuf.message import Message
from kratos_signup.v1 import signup_service_pb2 as pb

from bench.meter import MICROS, cpu_seconds
from devstack.postgres import Postgres
from devstack.server import NO_PROXY, Signupd

CONCURRENCY = 16
CHANNELS = 4
CALL_SECONDS = 60.0
# Channels of one process share a connection otherwise.
OPTIONS = (*NO_PROXY, ("grpc.use_local_subchannel_pool", 1))

SERVICE = "/kratos_signup.v1.SignupService"
# What the stand-in for Kratos mails to everybody.
INSTANT_CODE = "123456"
PASSWORD = "seven tall ladders"  # noqa: S105 - nobody's

Item = TypeVar("Item")
Result = TypeVar("Result")


class Step(enum.StrEnum):
    """The RPCs that are measured, in the order in which a person calls them."""

    START = "StartSignup"
    VERIFY = "VerifyCode"
    GET = "GetSignup"
    SET_PASSWORD = "SetPassword"  # noqa: S105 - an RPC


@dataclass(frozen=True, slots=True)
class Sent:
    """How a load fared; lists are in the order of the requests.

    Attributes:
        micros: Each call's latency, in microseconds.
        tokens: The continuation tokens of the answers.
    """

    micros: list[int]
    tokens: list[str]


@dataclass(frozen=True, slots=True)
class Cost:
    """The processor time of one call, the mean of several, in microseconds.

    Attributes:
        cpu: Of the server.
        database_cpu: Of PostgreSQL.
    """

    cpu: float
    database_cpu: float


def addresses(count: int) -> list[str]:
    """Make up addresses that nobody has used before."""
    return [f"{secrets.token_hex(8)}@example.com" for _ in range(count)]


def starts(count: int) -> list[Message]:
    """Make requests of StartSignup, each with a new address."""
    return [pb.StartSignupRequest(email=one) for one in addresses(count)]


def following(step: Step, tokens: Iterable[str]) -> list[Message]:
    """Make the requests that follow a step, where Kratos mails INSTANT_CODE."""
    make, more = {
        Step.START: (pb.VerifyCodeRequest, {"code": INSTANT_CODE}),
        Step.VERIFY: (pb.GetSignupRequest, {}),
        Step.GET: (pb.SetPasswordRequest, {"password": PASSWORD}),
        Step.SET_PASSWORD: (pb.GetSignupRequest, {}),
    }[step]
    return [make(continuation_token=token, **more) for token in tokens]


def send(
    target: str, step: Step, requests: Sequence[Message], rate: float = 0.0
) -> Sent:
    """Send each request once, 16 calls at a time over 4 connections.

    Args:
        target: The server's host and port.
        step: The RPC.
        requests: Of that RPC.
        rate: Calls a second; 0 sends as fast as answers come. The latency of a call
            counts from the moment it is due.
    """
    return uvloop.run(_send(target, step, requests, rate))


def sign_up(server: Signupd, postgres: Postgres, count: int) -> dict[Step, Cost]:
    """Have people sign up, all of them a step at a time; give what a call costs."""
    costs = {}
    requests = starts(count)
    for step in Step:
        before = cpu_seconds(server), cpu_seconds(postgres)
        sent = send(server.target, step, requests)
        after = cpu_seconds(server), cpu_seconds(postgres)
        micros = (
            (end - start) / count * MICROS
            for start, end in zip(before, after, strict=True)
        )
        costs[step] = Cost(*micros)
        requests = following(step, sent.tokens)
    return costs


async def each(
    items: Iterable[Item],
    work: Callable[[int, Item], Awaitable[Result]],
    concurrency: int,
) -> list[Result]:
    """Work on each item, given its place, so many at a time.

    Returns:
        The results in the order of the items.
    """
    numbered = iter(enumerate(items))
    results: dict[int, Result] = {}

    async def worker() -> None:
        for place, item in numbered:
            results[place] = await work(place, item)

    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(worker())
    return [results[place] for place in sorted(results)]


async def _send(
    target: str, step: Step, requests: Sequence[Message], rate: float
) -> Sent:
    async with AsyncExitStack() as resources:
        calls = []
        for _ in range(CHANNELS):
            channel = grpc.aio.insecure_channel(target, OPTIONS)
            await resources.enter_async_context(channel)
            await asyncio.wait_for(channel.channel_ready(), CALL_SECONDS)
            call = channel.unary_unary(
                f"{SERVICE}/{step}",
                request_serializer=type(requests[0]).SerializeToString,
                # All answers of the service have the token as their first field.
                response_deserializer=pb.GetSignupResponse.FromString,
            )
            calls.append(call)
        begun = time.perf_counter()

        async def one(place: int, request: Message) -> tuple[int, str]:
            since = time.perf_counter()
            if rate:
                since = await _due(begun + place / rate)
            answer = await calls[place % CHANNELS](request, timeout=CALL_SECONDS)
            waited = time.perf_counter() - since
            return round(waited * MICROS), answer.continuation_token

        answers = await each(requests, one, CONCURRENCY)
    return Sent([micros for micros, _ in answers], [token for _, token in answers])


async def _due(due: float) -> float:
    """Wait until a call is due; give the moment from which its latency counts.

    That is the moment at which it was due if all workers were busy then: the server is
    the reason that it was not called in time. A timer that is late does not count.
    """
    early = due - time.perf_counter()
    if early <= 0:
        return due
    await asyncio.sleep(early)
    return time.perf_counter()

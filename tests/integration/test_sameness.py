"""Before the mailbox is proved a free and a taken address are alike, byte by byte.

The same calls are made for both. What differs from one sign-up to the next anyhow, its
id and its tokens, is left out of the comparison; the clock stands still.
"""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.integration.caller import Caller, another
from tests.integration.world import PASSWORD, World

TAKEN, FREE = "ann@example.com", "amy@example.com"
HOUR_SECONDS, RESEND_SECONDS = 3600, 60
TOKEN = re.compile(rb"A[\w-]{66}")
SIGNUP_ID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


@dataclass
class Traces:
    """What one address' calls came to.

    Attributes:
        answers: Each RPC's name, status, sentence, and its bytes.
        asked: The calls that reached Kratos.
        written: After each answer, the rows in the ledger.
    """

    answers: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    written: list[list[dict[str, Any]]] = field(default_factory=list)


def shape(value: Any) -> Any:
    """Give what is alike in two sign-ups: of digests and sealed columns the length."""
    if isinstance(value, bytes):
        return len(value)
    return SIGNUP_ID.sub("ID", value) if isinstance(value, str) else value


class Stranger:
    """Makes calls for one address, and notes what comes back."""

    def __init__(self, world: World, caller: Caller, address: str) -> None:
        self.world, self.address = world, address
        self.traces = Traces()
        self._known = {row["signup_id"] for row in world.rows()}
        self._channel = caller.channel

    async def call(self, name: str, request: Message) -> bytes:
        """Make a call."""
        path = f"/kratos_signup.v1.SignupService/{name}"
        call: Any = self._channel.unary_unary(path)
        try:
            answer: bytes = await call(request.SerializeToString(), timeout=60)
        except grpc.aio.AioRpcError as error:
            details = {str(key): value for key, value in error.trailing_metadata()}
            answer = bytes(details["grpc-status-details-bin"])  # type: ignore[arg-type]
            status, sentence = error.code().name, error.details() or ""
        else:
            status, sentence = "OK", ""
        same = re.sub(SIGNUP_ID.pattern.encode(), b"ID", TOKEN.sub(b"TOKEN", answer))
        self.traces.answers.append((name, status, sentence, same))
        rows = [row for row in self.world.rows() if row["signup_id"] not in self._known]
        self.traces.written.append(
            [{name: shape(value) for name, value in row.items()} for row in rows]
        )
        return answer

    async def start(self, request_id: str = "", **fields: Any) -> str:
        """Start a sign-up; give its token."""
        traits = Struct()
        traits.update({"name": "Ann"})
        request = pb.StartSignupRequest(
            email=self.address, request_id=request_id, traits=traits, **fields
        )
        answer = await self.call("StartSignup", request)
        found = TOKEN.search(answer)
        return found[0].decode() if found else ""

    async def verify(self, token: str, by: int = 1) -> None:
        """Try a code that is wrong."""
        code = another(self.world.kratos.code_for(self.address), by)
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        await self.call("VerifyCode", request)

    async def resend(self, token: str, request_id: str = "") -> None:
        """Ask for another mail."""
        request = pb.ResendCodeRequest(continuation_token=token, request_id=request_id)
        await self.call("ResendCode", request)

    async def get(self, token: str) -> None:
        """Ask how it stands."""
        await self.call("GetSignup", pb.GetSignupRequest(continuation_token=token))

    async def set_password(self, token: str) -> None:
        """Set a password, though nothing is proved."""
        request = pb.SetPasswordRequest(continuation_token=token, password=PASSWORD)
        await self.call("SetPassword", request)

    async def cancel(self, token: str) -> None:
        """Go on no longer."""
        request = pb.CancelSignupRequest(continuation_token=token)
        await self.call("CancelSignup", request)


async def everything(one: Stranger) -> None:
    """Make every call that takes no mailbox, in every state it can be made in."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    token = await one.start(first, locale="de", client_ip="192.0.2.1")
    await one.start(first, locale="de", client_ip="192.0.2.1")
    await one.start(first, locale="en")
    await one.get(token)
    await one.set_password(token)
    await one.resend(token)
    one.world.clock.move(RESEND_SECONDS)
    await one.resend(token, second)
    await one.resend(token, second)
    for by in (1, 1, 2, 3, 4, 5, 6):
        await one.verify(token, by)
    one.world.clock.move(RESEND_SECONDS)
    await one.resend(token)
    await one.cancel(token)
    await one.cancel(token)
    await one.get(token)
    await one.verify(token)
    late = await one.start()
    one.world.clock.move(HOUR_SECONDS)
    await one.get(late)
    await one.verify(late)
    await one.resend(late)
    await one.cancel(late)


@pytest.fixture
async def both(world: World) -> tuple[Traces, Traces]:
    """Do it all for a free and for a taken address, at the same moments."""
    replica = await world.serve(sweep_interval="1d")
    caller = replica.caller
    world.kratos.add_account(TAKEN, password="old", verified=True)
    begun = world.clock.micros
    found = []
    for address in (FREE, TAKEN):
        world.clock.micros = begun
        stranger = Stranger(world, caller, address)
        calls = len(world.kratos.calls)
        await everything(stranger)
        stranger.traces.asked = [*world.kratos.calls[calls:]]
        found.append(stranger.traces)
    return found[0], found[1]


async def test_answers(both: tuple[Traces, Traces]) -> None:
    """Every answer and every error has the same status, sentence and bytes."""
    free, taken = both

    assert free.answers == taken.answers
    assert {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"} == {
        status for _, status, _, _ in free.answers
    }
    assert 6 == len({name for name, _, _, _ in free.answers})


async def test_calls_to_kratos(both: tuple[Traces, Traces]) -> None:
    """Kratos is asked the same, as often, in the same order."""
    free, taken = both

    assert free.asked == taken.asked
    assert {"open", "send", "code", "courier"} <= set(free.asked)


async def test_writes_to_the_ledger(both: tuple[Traces, Traces]) -> None:
    """After each call the ledger's rows are alike, times and counts included."""
    free, taken = both

    assert free.written == taken.written
    assert 2 == len(free.written[-1])

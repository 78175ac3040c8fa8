"""The two ways to an account: direct calls to Kratos, and signupd's RPCs."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp
import grpc
import uvloop
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from bench.load import CALL_SECONDS, OPTIONS, each
from bench.people import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from devstack.mailbox import Mailbox

# The last mail comes when the machine gets round to it.
MAIL_SECONDS = 60.0
FLOWS = "/self-service/registration"


class Way(Protocol):
    """A way to an account. Each step gives what the next one goes on with."""

    async def __aenter__(self) -> Self:
        """Connect beforehand, so that no step's time has it in it."""

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""

    async def start(self, email: str) -> str:
        """Have a code mailed."""

    async def verify(self, email: str, held: str, code: str) -> str:
        """Hand the code in."""

    async def finish(self, email: str, held: str) -> None:
        """Set the password."""


@dataclass(slots=True)
class Walked:
    """How people fared: seconds that each of them waited at a step.

    Attributes:
        seconds: From the first call to the last answer.
    """

    start: list[float] = field(default_factory=list)
    verify: list[float] = field(default_factory=list)
    finish: list[float] = field(default_factory=list)
    seconds: float = 0.0


def walk(
    make: Callable[[], Way], mailbox: Mailbox, emails: Sequence[str], concurrency: int
) -> Walked:
    """Sign people up, so many at a time, each from the first step to the last.

    Args:
        make: Makes the way they go.
        mailbox: Where their codes come.
        emails: Their addresses.
        concurrency: People under way at the same time.
    """
    walked = Walked()

    async def sign_up(way: Way, email: str) -> None:
        held = await _timed(walked.start, way.start(email))
        mail = await asyncio.to_thread(mailbox.wait_for, email, 1, MAIL_SECONDS)
        held = await _timed(walked.verify, way.verify(email, held, mail.code))
        await _timed(walked.finish, way.finish(email, held))

    async def everybody() -> None:
        waiting = ThreadPoolExecutor(concurrency)
        asyncio.get_running_loop().set_default_executor(waiting)
        async with make() as way:
            begun = time.perf_counter()
            await each(emails, lambda _, email: sign_up(way, email), concurrency)
            walked.seconds = time.perf_counter() - begun

    uvloop.run(everybody())
    return walked


async def _timed(times: list[float], step: Awaitable[Any]) -> Any:
    begun = time.perf_counter()
    result = await step
    times.append(time.perf_counter() - begun)
    return result


class ThroughSignupd:
    """Signs people up by signupd's RPCs.

    Args:
        target: Where it serves.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, OPTIONS)
        self._stub: Any = SignupServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        await asyncio.wait_for(self._channel.channel_ready(), CALL_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def start(self, email: str) -> str:
        """Call StartSignup."""
        request = pb.StartSignupRequest(email=email)
        call = self._stub.StartSignup(request, timeout=CALL_SECONDS)
        return await _token(call, pb.SIGNUP_STATE_CODE_REQUIRED)

    async def verify(self, _email: str, held: str, code: str) -> str:
        """Call VerifyCode."""
        request = pb.VerifyCodeRequest(continuation_token=held, code=code)
        call = self._stub.VerifyCode(request, timeout=CALL_SECONDS)
        return await _token(call, pb.SIGNUP_STATE_PASSWORD_REQUIRED)

    async def finish(self, _email: str, held: str) -> None:
        """Call SetPassword."""
        request = pb.SetPasswordRequest(continuation_token=held, password=PASSWORD)
        call = self._stub.SetPassword(request, timeout=CALL_SECONDS)
        await _token(call, pb.SIGNUP_STATE_COMPLETED)


async def _token(call: Awaitable[Any], expected: int) -> str:
    answer = await call
    if answer.signup.state != expected:
        state = pb.SignupState.Name(answer.signup.state)
        raise RuntimeError(f"the sign-up is in {state}")
    return str(answer.continuation_token)


class ByHand:
    """Signs people up by the calls to Kratos that signupd makes, in the same order.

    Args:
        public_url: Of Kratos' public API.
        admin_url: Of its admin API.
        concurrency: Connections to each of them.
    """

    def __init__(self, public_url: str, admin_url: str, concurrency: int) -> None:
        self._public, self._admin = public_url, admin_url
        self._concurrency = concurrency
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)
        )

    async def __aenter__(self) -> Self:
        for url in (self._public, self._admin):
            alive = f"{url}/health/alive"
            calls = (self._call("GET", alive) for _ in range(self._concurrency))
            await asyncio.gather(*calls)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def start(self, email: str) -> str:
        """Open a flow and have a code mailed."""
        flow = await self._open()
        sent = await self._submit(flow, email, method="code")
        _expect("a code is mailed", sent.get("state") == "sent_email")
        return flow

    async def verify(self, email: str, held: str, code: str) -> str:
        """Hand the code in, and look whether there is an account."""
        proved = await self._submit(held, email, method="code", code=code)
        _expect("the code is right", proved.get("state") == "passed_challenge")
        await self._find(email)
        return ""

    async def finish(self, email: str, _held: str) -> None:
        """Have the account made, look at it, and end its session."""
        flow = await self._open()
        made = await self._submit(flow, email, method="password", password=PASSWORD)
        _expect("an account is made", "identity" in made)
        await self._find(email)
        identity = f"{self._admin}/admin/identities/{made['identity']['id']}"
        await self._call("DELETE", f"{identity}/sessions")

    async def _open(self) -> str:
        flow = await self._call("GET", f"{self._public}{FLOWS}/api")
        return str(flow["id"])

    async def _submit(self, flow: str, email: str, **fields: str) -> Any:
        body = {"traits": {"email": email}, **fields}
        return await self._call("POST", f"{self._public}{FLOWS}?flow={flow}", json=body)

    async def _find(self, email: str) -> None:
        url = f"{self._admin}/admin/identities"
        await self._call("GET", url, params={"credentials_identifier": email})

    async def _call(self, method: str, url: str, **arguments: Any) -> Any:
        async with self._http.request(method, url, **arguments) as answer:
            # 400 is how Kratos answers a flow that goes on.
            good = answer.ok or answer.status == 400  # noqa: PLR2004
            _expect(f"{method} succeeds, not {answer.status}", good)
            return await answer.json() if await answer.read() else None


def _expect(what: str, holds: bool) -> None:
    if not holds:
        raise RuntimeError(f"expected that {what}")

"""The two ways to an account: direct calls to Kratos, and signupd's RPCs.

A way is a function that signs one person up. It asks for the code of the mail, and
gives the seconds that the person waited at each step.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
import uvloop
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from bench.load import CALL_SECONDS, OPTIONS, PASSWORD, Step, each
from devstack.mailbox import Mailbox

Waits = dict[Step, float]
Code = Callable[[], Awaitable[str]]
Way = Callable[[str, Code], Awaitable[Waits]]

# The last mail comes when the machine gets round to it.
MAIL_SECONDS = 60.0
FLOWS = "/self-service/registration"


@dataclass(frozen=True, slots=True)
class Walked:
    """How people fared.

    Attributes:
        seconds: From the first call to the last answer.
        waits: What each of them waited for.
    """

    seconds: float
    waits: list[Waits]


def walk(
    way: AbstractAsyncContextManager[Way],
    mailbox: Mailbox,
    emails: Sequence[str],
    concurrency: int,
) -> Walked:
    """Sign people up, so many at a time, each from the first step to the last.

    Args:
        way: The way they go, connected when it is entered.
        mailbox: Where their codes come.
        emails: Their addresses.
        concurrency: People under way at the same time.
    """

    async def everybody() -> Walked:
        waiting = ThreadPoolExecutor(concurrency)
        asyncio.get_running_loop().set_default_executor(waiting)
        async with way as sign_up:

            async def one(_place: int, email: str) -> Waits:
                async def code() -> str:
                    mail = asyncio.to_thread(mailbox.wait_for, email, 1, MAIL_SECONDS)
                    return (await mail).code

                return await sign_up(email, code)

            begun = time.perf_counter()
            waits = await each(emails, one, concurrency)
            return Walked(time.perf_counter() - begun, waits)

    return uvloop.run(everybody())


async def _timed(waits: Waits, step: Step, work: Awaitable[Any]) -> Any:
    begun = time.perf_counter()
    result = await work
    waits[step] = time.perf_counter() - begun
    return result


@asynccontextmanager
async def through_signupd(target: str, _concurrency: int) -> AsyncIterator[Way]:
    """Go by signupd's RPCs.

    Args:
        target: Where it serves.
    """
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        await asyncio.wait_for(channel.channel_ready(), CALL_SECONDS)
        stub: Any = SignupServiceStub(channel)

        async def sign_up(email: str, code: Code) -> Waits:
            waits: Waits = {}
            start = pb.StartSignupRequest(email=email)
            call = stub.StartSignup(start, timeout=CALL_SECONDS)
            token = (await _timed(waits, Step.START, call)).continuation_token
            verify = pb.VerifyCodeRequest(continuation_token=token, code=await code())
            call = stub.VerifyCode(verify, timeout=CALL_SECONDS)
            token = (await _timed(waits, Step.VERIFY, call)).continuation_token
            finish = pb.SetPasswordRequest(continuation_token=token, password=PASSWORD)
            call = stub.SetPassword(finish, timeout=CALL_SECONDS)
            done = await _timed(waits, Step.SET_PASSWORD, call)
            _expect(done.signup.state == pb.SIGNUP_STATE_COMPLETED, "a whole account")
            return waits

        yield sign_up


@asynccontextmanager
async def by_hand(
    public_url: str, admin_url: str, concurrency: int
) -> AsyncIterator[Way]:
    """Go by the calls to Kratos that signupd makes, in the same order.

    Args:
        public_url: Of Kratos' public API.
        admin_url: Of its admin API.
        concurrency: Connections to each of them.
    """
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for url in (public_url, admin_url):
            alive = f"{url}/health/alive"
            await asyncio.gather(
                *(_call(http, "GET", alive) for _ in range(concurrency))
            )
        hand = _Hand(http, public_url, admin_url)

        async def sign_up(email: str, code: Code) -> Waits:
            waits: Waits = {}
            flow = await _timed(waits, Step.START, hand.start(email))
            verify = hand.verify(email, flow, await code())
            await _timed(waits, Step.VERIFY, verify)
            await _timed(waits, Step.SET_PASSWORD, hand.finish(email))
            return waits

        yield sign_up


@dataclass(frozen=True, slots=True)
class _Hand:
    http: aiohttp.ClientSession
    public_url: str
    admin_url: str

    async def start(self, email: str) -> str:
        """Open a flow and have a code mailed; give the flow."""
        flow = await self._open()
        sent = await self._submit(flow, email, method="code")
        _expect(sent.get("state") == "sent_email", "a mailed code")
        return flow

    async def verify(self, email: str, flow: str, code: str) -> None:
        """Hand the code in, and look whether there is an account."""
        proved = await self._submit(flow, email, method="code", code=code)
        _expect(proved.get("state") == "passed_challenge", "a right code")
        await self._find(email)

    async def finish(self, email: str) -> None:
        """Have the account made, look at it, and end its session."""
        flow = await self._open()
        made = await self._submit(flow, email, method="password", password=PASSWORD)
        _expect("identity" in made, "an account")
        await self._find(email)
        identity = f"{self.admin_url}/admin/identities/{made['identity']['id']}"
        await _call(self.http, "DELETE", f"{identity}/sessions")

    async def _open(self) -> str:
        flow = await _call(self.http, "GET", f"{self.public_url}{FLOWS}/api")
        return str(flow["id"])

    async def _submit(self, flow: str, email: str, **fields: str) -> Any:
        url = f"{self.public_url}{FLOWS}?flow={flow}"
        body = {"traits": {"email": email}, **fields}
        return await _call(self.http, "POST", url, json=body)

    async def _find(self, email: str) -> None:
        url = f"{self.admin_url}/admin/identities"
        query = {"credentials_identifier": email}
        await _call(self.http, "GET", url, params=query)


async def _call(
    http: aiohttp.ClientSession, method: str, url: str, **arguments: Any
) -> Any:
    async with http.request(method, url, **arguments) as answer:
        # 400 is how Kratos answers a flow that goes on.
        _expect(answer.ok or answer.status == 400, f"{method} {url}")  # noqa: PLR2004
        return await answer.json() if await answer.read() else None


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(f"expected, and not there: {what}")

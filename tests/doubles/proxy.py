"""A way between signupd and Kratos that a test can listen to, hold up and cut.

Calls go by the names of `NAMES`. Those of signupd's own start-up probe are named
`probe`, so that they are never mistaken for a sign-up's.
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import aiohttp
from aiohttp import web
from signupd.kratos.admin import NOBODY
from yarl import URL

from devstack.ports import LOOPBACK, free_ports
from devstack.waiting import WAIT_SECONDS, wait_until

# Longer than anybody here waits for an answer.
FORWARD_SECONDS = 100.0
TURNS = 10  # of the event loop
SHUTDOWN_SECONDS = 1.0
# Each held call takes one.
THREADS = 32

PUBLIC, ADMIN, HOOKS = "public", "admin", "hooks"
# The first that fits "METHOD path"; the two POSTs of a form differ by their bodies.
NAMES = (
    ("open", r"GET /self-service/registration/api"),
    ("flow_state", r"GET /self-service/registration/flows"),
    ("form", r"POST /self-service/registration"),
    ("look_up", r"GET /admin/identities"),
    ("sessions", r"DELETE /admin/identities/[^/]+/sessions"),
    ("delete", r"DELETE /admin/identities/[^/]+"),
    ("courier", r"GET /admin/courier/messages"),
    ("hook_code", r"POST /kratos/code"),
    ("hook_password", r"POST /kratos/password"),
)
# Of one connection only, or made anew by each side.
NOT_PASSED_ON = {"connection", "content-length", "transfer-encoding", "accept-encoding"}


def nothing() -> None:
    """Do nothing."""


@dataclass(eq=False, slots=True)
class Step:
    """What is to happen to one call.

    Attributes:
        name: The call's.
        nth: Which of these calls, counted from now.
        before: Run before the call is passed on.
        after: Run when it is answered, before the answer is passed on.
        forward: Whether the call is passed on.
        relay: Whether the answer is.
        cutting: Closes the caller's connection.
    """

    name: str
    nth: int
    before: Callable[[], object] = nothing
    after: Callable[[], object] = nothing
    forward: bool = True
    relay: bool = True
    cutting: Callable[[], object] = nothing
    _begun: threading.Event = field(default_factory=threading.Event)
    _arrived: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Wait until the call is held here."""
        _expect(self._arrived, f"the call {self.name} to come")

    def wait_begun(self) -> None:
        """Wait until what comes before the call is done."""
        _expect(self._begun, f"the call {self.name} to come")

    def wait_over(self) -> None:
        """Wait until the call is done with: answered or cut."""
        _expect(self._over, f"the call {self.name} to end")

    def release(self) -> None:
        """Let the held call, or its held answer, go on."""
        self._released.set()

    def hold(self) -> None:
        """Hold whoever calls this until `release`."""
        self._arrived.set()
        self._released.wait(FORWARD_SECONDS)

    def break_off(self) -> None:
        """Close the caller's connection, whatever becomes of the call.

        The call must have come.
        """
        self.cutting()

    def begin(self) -> None:
        """Do what comes before the call."""
        self.before()
        self._begun.set()

    def end(self) -> None:
        """Note that the call is done with."""
        for event in (self._begun, self._arrived, self._over):
            event.set()


class Proxy:
    """Passes HTTP on to Kratos' two ports and to the port of its hooks.

    A context manager. Everything passes unless a step says otherwise.

    Args:
        public_url: Of the real Kratos.
        admin_url: Likewise.

    Attributes:
        hook_ports: Where hooks are passed on to, in turn; may be changed at any time.
    """

    def __init__(self, public_url: str, admin_url: str) -> None:
        self.hook_ports: tuple[int, ...] = ()
        self._hooks_passed = 0
        self._targets = {PUBLIC: public_url, ADMIN: admin_url}
        self._ports = dict(zip((PUBLIC, ADMIN, HOOKS), free_ports(3), strict=True))
        self._lock = threading.Lock()
        self._calls: list[str] = []
        self._steps: list[Step] = []
        self._begun: list[Step] = []
        self._in_flight = 0
        self._runners: dict[str, web.ServerRunner] = {}
        self._client: aiohttp.ClientSession
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def public_url(self) -> str:
        """The way to Kratos' public port."""
        return self._url(PUBLIC)

    @property
    def admin_url(self) -> str:
        """The way to Kratos' admin port."""
        return self._url(ADMIN)

    @property
    def hook_url(self) -> str:
        """The way to the port of the hooks."""
        return self._url(HOOKS)

    def before(
        self,
        name: str,
        act: Callable[[], object],
        *,
        nth: int = 1,
        forward: bool = True,
    ) -> Step:
        """Do something when a call has come, before it is passed on, if it is."""
        return self._plan(Step(name, nth, before=act, forward=forward))

    def after(
        self, name: str, act: Callable[[], object], *, nth: int = 1, relay: bool = True
    ) -> Step:
        """Do something when a call is answered, before the answer is passed on."""
        return self._plan(Step(name, nth, after=act, relay=relay))

    def hold(self, name: str, *, nth: int = 1) -> Step:
        """Hold a call until released, before it is passed on."""
        step = Step(name, nth)
        step.before = step.hold
        return self._plan(step)

    def hold_answer(self, name: str, *, nth: int = 1) -> Step:
        """Pass a call on and hold its answer until released."""
        step = Step(name, nth)
        step.after = step.hold
        return self._plan(step)

    def cut(self, name: str, *, nth: int = 1) -> Step:
        """Pass a call on and, when it is answered, close the connection instead."""
        return self._plan(Step(name, nth, relay=False))

    def follow(self, name: str, *, nth: int = 1) -> Step:
        """Let a call pass, to `break_off` its caller's connection when told to."""
        return self._plan(Step(name, nth))

    def refuse(self, name: str, *, nth: int = 1) -> Step:
        """Close the connection instead of passing a call on."""
        return self._plan(Step(name, nth, forward=False))

    @contextlib.contextmanager
    def down(self, lane: str) -> Iterator[None]:
        """Refuse all connections of a lane, as a port that nobody listens on."""
        self._run(self._shut(self._runners.pop(lane)))
        try:
            yield
        finally:
            self._run(self._listen(lane))

    def clear(self) -> None:
        """Forget the steps that have not come, and release what is held."""
        with self._lock:
            steps = self._steps + self._begun
            self._steps, self._begun = [], []
        for step in steps:
            step.release()

    def count(self, name: str) -> int:
        """Tell how many calls of a name have come."""
        with self._lock:
            return self._calls.count(name)

    def calls_since(self, mark: int) -> list[str]:
        """Name the calls that have come since a `mark`, in their order."""
        with self._lock:
            return self._calls[mark:]

    @property
    def mark(self) -> int:
        """How many calls have come."""
        with self._lock:
            return len(self._calls)

    def wait_idle(self) -> None:
        """Wait until no call is under way."""
        wait_until(lambda: not self._in_flight, "calls to end")

    def _url(self, lane: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[lane]}"

    def _plan(self, step: Step) -> Step:
        with self._lock:
            self._steps.append(step)
        return step

    def _step(self, name: str) -> Step:
        """Note a call, and find what is to happen to it: nothing, as a rule."""
        with self._lock:
            self._calls.append(name)
            for step in self._steps:
                step.nth -= step.name == name
            due = [one for one in self._steps if one.name == name and one.nth <= 0]
            for step in due[:1]:
                self._steps.remove(step)
                self._begun.append(step)
                return step
        return Step(name, 0)

    def _run(self, job: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(job, self._loop).result(WAIT_SECONDS)

    async def _open(self) -> None:
        # A connection kept from a server that was killed since would look like a call
        # that was lost.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(FORWARD_SECONDS),
            auto_decompress=False,
        )
        for lane in self._ports:
            await self._listen(lane)

    async def _listen(self, lane: str) -> None:
        server = web.Server(partial(self._pass_on, lane))
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, self._ports[lane]).start()
        self._runners[lane] = runner

    async def _shut(self, runner: web.ServerRunner) -> None:
        for site in [*runner.sites]:
            await site.stop()
        # A connection that was accepted just now reaches the runner a few turns later;
        # the runner closes those that it knows.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await runner.cleanup()

    async def _close(self) -> None:
        for runner in self._runners.values():
            await self._shut(runner)
        await self._client.close()
        await self._loop.shutdown_default_executor()

    async def _pass_on(self, lane: str, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        name = name_of(request.method, request.path, body)
        # Health asks for nobody, in the background.
        nobody = request.query.get("ids") == str(NOBODY)
        step = self._step("other" if nobody else name)
        step.cutting = partial(self._loop.call_soon_threadsafe, _cut, request)
        self._in_flight += 1
        try:
            await asyncio.to_thread(step.begin)
            answer = await self._forward(lane, request, body) if step.forward else None
            await asyncio.to_thread(step.after)
            return answer if answer and step.relay else _cut(request)
        finally:
            self._in_flight -= 1
            step.end()

    def _target(self, lane: str) -> str:
        if lane != HOOKS:
            return self._targets[lane]
        self._hooks_passed += 1
        port = self.hook_ports[self._hooks_passed % len(self.hook_ports)]
        return f"http://{LOOPBACK}:{port}"

    async def _forward(
        self, lane: str, request: web.BaseRequest, body: bytes
    ) -> web.Response | None:
        target = self._target(lane) + request.raw_path
        try:
            async with self._client.request(
                request.method,
                URL(target, encoded=True),
                data=body,
                headers=_passed_on(request.headers),
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return None
        return web.Response(
            status=answer.status, body=content, headers=_passed_on(answer.headers)
        )


def name_of(method: str, path: str, body: bytes) -> str:
    """Name a call by what it asks."""
    if b"@probe.invalid" in body:
        return "probe"
    called = f"{method} {path}"
    name = next((name for name, like in NAMES if re.fullmatch(like, called)), "other")
    if name != "form":
        return name
    form = json.loads(body)
    if form["method"] == "password":
        return "password"
    return "code" if "code" in form else "send"


def _passed_on(headers: Any) -> dict[str, str]:
    return {n: v for n, v in headers.items() if n.lower() not in NOT_PASSED_ON}


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _expect(event: threading.Event, what: str) -> None:
    if not event.wait(WAIT_SECONDS):
        raise AssertionError(f"waited {WAIT_SECONDS:.0f} s for {what}")

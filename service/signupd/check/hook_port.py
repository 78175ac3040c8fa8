"""Our hook port, during a probe: listened to in the server's place, or looked at.

If no server listens there, the check does, and sees what Kratos' hook sends. Other
requests meanwhile get "not now": nothing is stored, and the call may be retried.
"""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from signupd.check.findings import Check, Finding, error, ok
from signupd.errors import SignupdError
from signupd.hooks import KEY_HEADER, PASSWORD_PATH, Hooks
from signupd.kratos.outcomes import NOT_NOW_ID, UNKNOWN_FLOW_ID
from signupd.notation import dialled
from signupd.signup.approve import Refusal
from signupd.web import listen, runner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import structlog
    from aiohttp.typedefs import Handler

    from signupd.kratos.http import HttpClient, Response
    from signupd.settings import Settings

LOOK_SECONDS: Final = 5.0
# Anybody may come by while a probe lasts; what they ask about is not kept for ever.
MAX_HEARD: Final = 1000


@dataclass(slots=True)
class Heard:
    """What came in at our hook port.

    Attributes:
        paths: Of all requests.
        keyless: Whether one for the password hook lacked the key.
        asked: When, in monotonic seconds, a flow and an address were asked about.
    """

    paths: set[str] = field(default_factory=set)
    keyless: bool = False
    asked: dict[tuple[str, str], float] = field(default_factory=dict, repr=False)


class Ear:
    """Answers in the server's place, and remembers who asked.

    Args:
        log: Whoever comes without the key is noted there.
        key: The hook key, where there is one.
        clock: Monotonic seconds.

    Attributes:
        heard: What came in so far.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        key: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hooks = Hooks(self._refuse, log, key)
        self._log = log
        self._clock = clock
        self.heard = Heard()

    def runner(self) -> web.AppRunner:
        """Prepare to serve the hooks, and to remember what is asked."""
        app = self._hooks.app()
        app.middlewares.append(self._remember)
        return runner_of(app, self._log, "hook port")

    @web.middleware
    async def _remember(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if len(self.heard.paths) < MAX_HEARD:
            # Percent-encoded: it may be shown on a terminal.
            self.heard.paths.add(request.rel_url.raw_path)
        if request.path == PASSWORD_PATH and not self._hooks.has_key(request):
            self.heard.keyless = True
        return await handler(request)

    async def _refuse(self, flow_id: str, address: str) -> Refusal:
        if len(self.heard.asked) < MAX_HEARD:
            self.heard.asked[flow_id, address] = self._clock()
        return Refusal.NOT_NOW


@contextlib.asynccontextmanager
async def listening(ear: Ear, address: str) -> AsyncIterator[bool]:
    """Listen for a while, where nobody else does.

    Args:
        ear: What to listen with.
        address: HOOK_LISTEN.

    Yields:
        Whether we listen; else somebody else does.

    Raises:
        OSError: Nobody can listen there.
    """
    runner = ear.runner()
    try:
        yield await _take(runner, address)
    finally:
        await runner.cleanup()


async def _take(runner: web.AppRunner, address: str) -> bool:
    try:
        await listen(runner, address)
    except OSError as fault:
        if fault.errno != errno.EADDRINUSE:
            raise
        return False
    return True


async def occupant_finding(http: HttpClient, settings: Settings) -> Finding:
    """Tell who listens at our hook port.

    Args:
        http: Sends the request; brings no token of Kratos along.
        settings: Where it is, and the key.
    """
    key = settings.hook_key
    headers = {} if key is None else {KEY_HEADER: key.get_secret_value()}
    url = f"http://{dialled(settings.hook_listen)}{PASSWORD_PATH}"
    try:
        answer = await http.request("POST", url, LOOK_SECONDS, {}, headers)
    except SignupdError:
        return _stranger()
    if _is_ours(answer):
        return ok(Check.HOOK_PORT, "a running signupd listens for Kratos' hooks")
    if answer.status == HTTPStatus.FORBIDDEN:
        return error(
            Check.HOOK_PORT,
            "a running signupd listens for Kratos' hooks with another key",
            "This check was given another SIGNUPD_HOOK_KEY than that server, or none.",
            "Run it with the server's settings.",
        )
    return _stranger()


def unusable_finding(fault: OSError) -> Finding:
    """Tell that nobody can listen at HOOK_LISTEN."""
    return error(
        Check.HOOK_PORT,
        f"nobody can listen at HOOK_LISTEN ({fault.strerror})",
        "Kratos' hooks come in there; without them no account is made.",
        "Set SIGNUPD_HOOK_LISTEN to an address of this machine.",
    )


def _is_ours(answer: Response) -> bool:
    """Tell our hook's answer to somebody who asks about nothing."""
    try:
        ids = {
            message["id"]
            for entry in answer.body["messages"]
            for message in entry["messages"]
        }
    except (KeyError, TypeError):
        return False
    return bool(ids & {UNKNOWN_FLOW_ID, NOT_NOW_ID})


def _stranger() -> Finding:
    return error(
        Check.HOOK_PORT,
        "something else than signupd listens at HOOK_LISTEN",
        "signupd cannot start there, and Kratos' hooks are answered by a stranger.",
        "Stop it, or set SIGNUPD_HOOK_LISTEN, and the URLs of Kratos' hooks, to "
        "another port.",
    )

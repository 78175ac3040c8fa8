"""Kratos, signupd, the web example and a mailbox, kept up until they are told to stop.

`make run` runs it. What must outlive a restart lies in `.run/`.
"""

import fcntl
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from devstack import paste
from devstack.inbox import open_inbox
from devstack.mailbox import Mail, Mailbox
from devstack.page import Page
from devstack.ports import Ports
from devstack.process import Process
from devstack.stack import TROUBLE, Stack, made, open_stack
from devstack.waiting import wait_until
from devstack.web import Web

STATE = Path(__file__).parent.parent / ".run"


class AlreadyUpError(Exception):
    """Another one is up on the same state."""


class ProcessEndedError(Exception):
    """One of the servers ended by itself; the text ends with its log."""


def main() -> int:
    """Keep the stack up.

    Returns:
        The exit code: 0 when it was told to stop.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    page = Page()
    try:
        with _locked(STATE):
            _serve(page)
    except KeyboardInterrupt:
        page.say("Everything is stopped.")
        return 0
    except (AlreadyUpError, ProcessEndedError, *TROUBLE) as error:
        page.error(str(error) or type(error).__name__)
    return 1


def _serve(page: Page) -> None:
    page.heading("The servers")
    # Numbers of mails begin anew at each start.
    mails = STATE / "mails" / time.strftime("%Y%m%d-%H%M%S")
    mailbox = Mailbox(mails, lambda mail: _announce(page, mail))
    ports = Ports.usual()
    with (
        open_stack(page, STATE, ports, mailbox) as stack,
        _inbox(stack, mailbox, ports.inbox) as inbox,
        _web(stack, inbox, ports.web) as web,
    ):
        _describe(page, stack, mails)
        _invite(page, web.url, inbox)
        # Your Kratos is meant to be on two of them.
        if (taken := ports.taken()) and stack.foreign is None:
            page.say(f"In use, so free ports take their places: {taken}", "yellow")
        page.heading("Ctrl-C stops everything")
        servers = {
            "signupd": stack.signupd,
            "Kratos": stack.kratos,
            "The web example": web,
        }
        try:
            wait_until(lambda: _check_alive(servers), "the end", math.inf)
        except KeyboardInterrupt:
            page.say("\nStopping signupd, then the rest ...")
            raise


def _inbox(stack: Stack, mailbox: Mailbox, port: int) -> AbstractContextManager[str]:
    """Serve the mailbox page; give its URL, or nothing if the mails go elsewhere."""
    if stack.foreign is not None:
        return nullcontext("")
    return open_inbox(mailbox, port)


def _web(stack: Stack, inbox: str, port: int) -> Web:
    return Web(
        stack.signupd.target,
        stack.public_url,
        mailbox_url=inbox,
        port=port,
        directory=made(STATE / "web"),
    )


def _announce(page: Page, mail: Mail) -> None:
    code = f"  CODE={mail.code}" if mail.code else ""
    page.say(f"{time.strftime('%X')}  mail to {mail.to}{code}", "green")


def _describe(page: Page, stack: Stack, mails: Path) -> None:
    page.heading("Where things are")
    here = {
        "signupd": stack.signupd.target,
        "hooks": stack.signupd.settings["HOOK_LISTEN"],
        "metrics": stack.signupd.metrics_url,
        "Kratos, public": stack.public_url,
        "Kratos, admin": stack.admin_url,
        "databases, logs": _relative(STATE),
        "mails": "where your Kratos sends them" if stack.foreign else _relative(mails),
    }
    page.fields(here)
    page.heading("In another terminal")
    for sentence, commands in paste.blocks(stack.signupd.target, stack.admin_url):
        page.say(f"\n{sentence}", "italic")
        page.verbatim(commands)


def _invite(page: Page, web: str, inbox: str) -> None:
    page.heading("In your browser")
    page.fields(
        {"sign up": web, "read the mails": inbox or "where your Kratos sends them"}
    )


def _check_alive(servers: Mapping[str, Process | None]) -> None:
    """Check that the servers run.

    Raises:
        ProcessEndedError: One of them has ended by itself.
    """
    for name, server in servers.items():
        if server is not None and server.ended:
            raise ProcessEndedError(
                f"{name} has ended. The end of its log:\n{server.log_tail()}"
            )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUpError(
                f"`make run` is up already, on {_relative(directory)}"
            ) from None
        yield


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: what follows must not be cut short.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _relative(path: Path) -> str:
    return str(path.relative_to(STATE.parent))


if __name__ == "__main__":
    sys.exit(main())

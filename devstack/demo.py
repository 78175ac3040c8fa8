"""From nothing to one whole sign-up against a real Kratos, told step by step.

`make demo` runs it. Every claim on the page is checked; the exit code is 0 only if all
of them held.
"""

import signal
import sys
import tempfile
import time
from pathlib import Path

from devstack.mailbox import Mailbox
from devstack.page import Page
from devstack.ports import Ports
from devstack.stack import TROUBLE, open_stack
from devstack.story import Story

INTERRUPTED = 130


def main() -> int:
    """Run the demo.

    Returns:
        The exit code.
    """
    # Somebody who ends us wants the rest ended, and the account removed, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    page = Page()
    begun = time.monotonic()
    try:
        _run(page)
    except KeyboardInterrupt:
        page.error("Interrupted.")
        return INTERRUPTED
    except TROUBLE as error:
        page.error(str(error) or type(error).__name__)
        return 1
    seconds = time.monotonic() - begun
    if page.failed:
        page.error(f"{page.failed} of {page.held + page.failed} claims did not hold.")
        return 1
    page.say(f"\nAll {page.held} claims held. {seconds:.0f} s.", "bold green")
    page.say("`make run` has the same sign-up in your browser.")
    return 0


def _run(page: Page) -> None:
    page.say("A sign-up against a real Ory Kratos", "bold")
    page.heading("The servers")
    with tempfile.TemporaryDirectory(prefix="signupd-demo-") as directory:
        mailbox = Mailbox()
        with open_stack(page, Path(directory), Ports.free(), mailbox) as stack:
            Story(page, stack, mailbox).tell()


if __name__ == "__main__":
    sys.exit(main())

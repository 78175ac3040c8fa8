"""A real browser, without a window."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "google-chrome")


def chromium() -> str | None:
    """Find the machine's Chromium; Playwright's own build is never fetched."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; it does not see the internet's proxies.

    Raises:
        FileNotFoundError: There is none on this machine.
    """
    path = chromium()
    if path is None:
        raise FileNotFoundError(f"none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        # Its sandbox needs a user of its own; it is shown our own pages alone.
        options = ["--no-sandbox", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()

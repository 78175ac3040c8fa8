"""Pictures of the four screens of the web example, for the documents.

`make screenshots` runs it, and writes them to docs/screens.
"""

import base64
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, Page, ViewportSize

from devstack import page as terminal
from devstack.browser import open_browser
from devstack.mailbox import Mailbox
from devstack.ports import Ports
from devstack.stack import TROUBLE, open_stack
from devstack.web import ROOT, Web

SCREENS = ROOT / "docs" / "screens"


class Shot(NamedTuple):
    """One picture: the window's size, how many stand in a row, the colours."""

    width: int
    height: int
    columns: int
    scheme: Literal["light", "dark"]


SHOTS = {
    "narrow-light": Shot(320, 460, 4, "light"),
    "narrow-dark": Shot(320, 460, 4, "dark"),
    "wide-light": Shot(640, 560, 2, "light"),
    "wide-dark": Shot(640, 560, 2, "dark"),
}
SCALE = 1.25  # sharper than on old screens, and not too many bytes
# One for each picture.
ADDRESSES = [f"ada@example.{end}" for end in ("com", "org", "net", "edu")]
PASSWORD = "seven tall ladders"  # noqa: S105 - of an account that is gone afterwards
SHEET = """\
<!doctype html>
<style>
  body {{ margin: 0; display: grid; gap: 16px; padding: 1px;
         grid-template-columns: repeat({columns}, max-content); width: max-content; }}
  img {{ border: 1px solid #8a8f98; border-radius: 12px; }}
</style>
{images}"""


def main() -> int:
    """Take the pictures on a stack of their own.

    Returns:
        The exit code.
    """
    page, mailbox = terminal.Page(), Mailbox()
    SCREENS.mkdir(exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="signupd-screens-") as directory,
            open_stack(page, Path(directory), Ports.free(), mailbox) as stack,
            Web(stack.signupd.target, stack.public_url) as web,
            open_browser() as browser,
        ):
            for (name, shot), address in zip(SHOTS.items(), ADDRESSES, strict=True):
                path = SCREENS / f"{name}.png"
                path.write_bytes(picture(browser, web.url, mailbox, address, shot))
                page.say(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    except TROUBLE as error:
        page.error(str(error) or type(error).__name__)
        return 1
    return 0


def picture(
    browser: Browser, url: str, mailbox: Mailbox, address: str, shot: Shot
) -> bytes:
    """Sign somebody up, for a picture of all screens.

    Args:
        browser: Takes it.
        url: The web example.
        mailbox: Gets the code.
        address: Has no account yet.
        shot: What is to be seen.

    Returns:
        A PNG.
    """
    with browser.new_context(
        viewport=ViewportSize(width=shot.width, height=shot.height),
        color_scheme=shot.scheme,
        device_scale_factor=SCALE,
    ) as context:
        page = context.new_page()
        page.goto(url)
        images = "".join(map(_image, _walk(page, mailbox, address)))
    with browser.new_page() as page:
        page.set_content(SHEET.format(columns=shot.columns, images=images))
        return page.locator("body").screenshot(omit_background=True)


def _walk(page: Page, mailbox: Mailbox, address: str) -> list[bytes]:
    """Sign up, and take a picture of each screen before it is left."""
    pictures = []
    page.locator("#email").fill(address)
    pictures.append(_left(page, "code"))
    page.locator("#code").fill(mailbox.wait_for(address).code)
    pictures.append(_left(page, "password"))
    page.locator("#password").fill(PASSWORD)
    page.locator("#advice").wait_for()
    pictures.append(_left(page, "done"))
    pictures.append(page.screenshot())
    return pictures


def _left(page: Page, following: str) -> bytes:
    """Take a picture, and press the button that leads to the following screen."""
    picture = page.screenshot()
    page.locator("form button:not([type=button])").first.click()
    page.locator(f"body[data-screen={following}]").wait_for()
    return picture


def _image(png: bytes) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}">'


if __name__ == "__main__":
    sys.exit(main())

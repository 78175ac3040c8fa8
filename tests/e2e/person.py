"""A person with a browser, in front of the web example."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    expect,
)

from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address, wrong_codes

# A phone that is narrow, even among the old ones.
NARROW = ViewportSize(width=320, height=640)
GRAVE = {"serious", "critical"}
# What axe-core looks at in each scheme: only colours differ.
SCHEMES: dict[Literal["light", "dark"], dict[str, object]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
# Bounds a hang, however loaded the machine is.
expect.set_options(timeout=30_000)


@dataclass(frozen=True, slots=True)
class Front:
    """Where people go.

    Attributes:
        stack: What is behind it.
        browser: Their browser.
        url: The web example.
        inbox: The mailbox page.
    """

    stack: Stack
    browser: Browser
    url: str
    inbox: str

    def person(
        self, *, locale: str = "en-GB", scripts: bool = True, address: str = ""
    ) -> "Person":
        """Make somebody with a fresh browser, who has opened the front page."""
        context = self.browser.new_context(
            locale=locale, java_script_enabled=scripts, viewport=NARROW
        )
        return Person(self, context, context.new_page(), address or new_address())


class Person:
    """One visitor. A context manager, to close the browser's windows.

    Attributes:
        address: Hers.
        page: The tab that she looks at.
    """

    def __init__(
        self, front: Front, context: BrowserContext, page: Page, address: str
    ) -> None:
        self._front = front
        self._context = context
        self.page = page
        self.address = address
        self.page.goto(front.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    @property
    def stack(self) -> Stack:
        """The stack behind the page."""
        return self._front.stack

    def sees(self, screen: str, notice: str = "") -> None:
        """Wait for a screen, and for the notice on it if one is given."""
        expect(self.page.locator("body")).to_have_attribute("data-screen", screen)
        if notice:
            expect(self.page.locator("#notice")).to_contain_text(notice)

    def enter(self, value: str, clicks: int = 1) -> None:
        """Fill in the field of the screen, and press its button."""
        self.page.bring_to_front()  # a click in a hidden tab takes seconds
        self.field.fill(value)
        self.main_button.click(click_count=clicks, delay=50)

    @property
    def main_button(self) -> Locator:
        """The button of the screen's field."""
        return self.page.locator("form button:not([type=button])").first

    @property
    def field(self) -> Locator:
        """The field of the screen."""
        return self.page.locator("form input:not([type=hidden], [hidden], [readonly])")

    def press(self, name: str) -> None:
        """Press a button by its name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def code(self, count: int = 1) -> str:
        """Read the code of the mail of that number."""
        return self.stack.code(self.address, count)

    def at_code(self) -> "Person":
        """Go on until the code is asked for."""
        self.enter(self.address)
        self.sees("code")
        return self

    def at_password(self) -> "Person":
        """Go on until the password is asked for."""
        count = len(self.stack.mailbox.mails_to(self.address)) + 1
        self.at_code().enter(self.code(count))
        return self

    def done(self) -> "Person":
        """Go on until the account is there."""
        self.at_password().sees("password")
        self.enter(GOOD_PASSWORD)
        self.sees("done")
        return self

    def another_tab(self) -> "Person":
        """Open the page in one more tab of the same browser."""
        return Person(
            self._front, self._context, self._context.new_page(), self.address
        )

    def open_inbox(self) -> Page:
        """Open the mailbox page, by the link on the front page."""
        with self._context.expect_page() as opened:
            self.page.locator("footer a").click()
        return opened.value


def screens(ann: Person) -> Iterator[tuple[str, Page]]:
    """Go past every screen in German; name each, and give its tab."""
    mails = ann.open_inbox()
    yield "mailbox before", mails
    yield "address", ann.page
    ann.enter("ann@localhost")
    ann.sees("address", "Adresse")
    yield "address, refused", ann.page
    ann.enter(ann.address)
    ann.sees("code")
    mails.locator("article", has_text=ann.address).wait_for()
    yield "mailbox", mails
    yield "code", ann.page
    ann.enter(wrong_codes(ann.code(), 1)[0])
    ann.sees("code", "nicht der Code")
    yield "code, refused", ann.page
    ann.enter(ann.code())
    ann.sees("password")
    ann.field.press_sequentially("tiny")
    ann.page.locator("#advice").wait_for()
    yield "password, with the meter", ann.page
    ann.enter("password")
    ann.sees("password", "zu leicht zu erraten")
    yield "password, refused", ann.page
    ann.enter(GOOD_PASSWORD)
    ann.sees("done")
    yield "done", ann.page
    ann.enter(GOOD_PASSWORD)
    ann.sees("signed_in")
    yield "signed_in", ann.page
    ann.press("Abmelden")
    ann.sees("address")
    ann.at_password().sees("registered")
    yield "registered", ann.page
    ann.press("Neu beginnen")
    ann.sees("address")
    ann.address = f"stranger-{ann.address}"
    ann.stack.admin.import_accounts([ann.address])
    ann.at_password().sees("in_use")
    yield "in_use", ann.page


def faults(page: Page) -> list[str]:
    """Find what hinders people on a page, in its light and its dark colours.

    Returns:
        axe-core's grave findings, and whether the page has to be scrolled sideways.
    """
    found = []
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        for fault in Axe().run(page, options=rules).response["violations"]:
            if fault["impact"] in GRAVE:
                places = [node["target"] for node in fault["nodes"]]
                found.append(f"{scheme}: {fault['id']} {places}")
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the window")
    return found

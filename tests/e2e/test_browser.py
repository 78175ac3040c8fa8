"""The web example in a real browser, in front of a real Kratos."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import expect

from devstack.browser import chromium, open_browser
from devstack.inbox import open_inbox
from devstack.ports import free_ports
from devstack.screenshots import SHOTS, picture
from devstack.web import Web
from tests.e2e.person import Front, Person, faults, screens
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, similar_to, wrong_codes

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="Chromium, for the web example, is not installed"
)

ENGLISH = (
    "Create your account",
    "Check your mail",
    "Choose a password",
    "Your account is ready",
    "You are signed in",
)
GERMAN = (
    "Konto anlegen",
    "Sehen Sie in Ihr Postfach",
    "Passwort wählen",
    "Ihr Konto ist bereit",
    "Sie sind angemeldet",
)


@pytest.fixture(scope="module")
def front(site: Site) -> Iterator[Front]:
    """Start everything that people see, once."""
    with (
        site.stack(settings={"RESEND_INTERVAL": "5s"}) as stack,
        open_inbox(site.mailbox, free_ports(1)[0]) as inbox,
        Web(stack.server.target, stack.kratos.public_url, mailbox_url=inbox) as web,
        open_browser() as browser,
    ):
        stack.wait_for_proof()
        yield Front(stack, browser, web.url, inbox)


@pytest.fixture
def ann(front: Front) -> Iterator[Person]:
    """Give somebody who has opened the front page."""
    with front.person() as made:
        yield made


@pytest.mark.parametrize(
    ("locale", "scripts", "headings", "subject"),
    [
        ("en-GB", True, ENGLISH, "Your confirmation code"),
        ("de-AT", True, GERMAN, "Ihr Bestätigungscode"),
        ("en-GB", False, ENGLISH, "Your confirmation code"),
    ],
    ids=["English", "German", "without scripts"],
)
def test_whole_way(
    front: Front, locale: str, headings: tuple[str, ...], subject: str, *, scripts: bool
) -> None:
    """A person signs up and in with two tabs, one of which shows the mails."""
    with front.person(locale=locale, scripts=scripts) as ann:
        heading = ann.page.get_by_role("heading", level=1)
        mails = ann.open_inbox()
        expect(heading).to_have_text(headings[0])
        ann.enter(ann.address)
        expect(heading).to_have_text(headings[1])
        mail = mails.locator("article", has_text=ann.address)
        expect(mail.get_by_role("heading")).to_have_text(subject)
        ann.enter(mail.locator("code").inner_text())
        expect(heading).to_have_text(headings[2])
        ann.enter(GOOD_PASSWORD)
        expect(heading).to_have_text(headings[3])
        ann.enter(GOOD_PASSWORD)
        expect(heading).to_have_text(headings[4])
        expect(ann.page.locator("main")).to_contain_text(ann.address)

    [identity] = front.stack.admin.identities(ann.address)
    assert identity.verified
    assert identity.has_password


def test_every_screen(front: Front) -> None:
    """No screen hinders people: axe-core, light and dark, and 320 px in German."""
    with front.person(locale="de-DE") as ann:
        found = {name: faults(page) for name, page in screens(ann)}

    assert {} == {name: some for name, some in found.items() if some}


def test_back(ann: Person) -> None:
    """The back button leads to the present step, not to a past one."""
    ann.at_password().sees("password")
    ann.page.go_back()
    ann.sees("password")


def test_reload(ann: Person) -> None:
    """A reload shows the same step, and does nothing."""
    ann.at_code().page.reload()
    ann.sees("code")
    ann.enter(ann.code())
    ann.sees("password")
    ann.page.reload()
    ann.sees("password")
    ann.enter(GOOD_PASSWORD)
    ann.sees("done")
    ann.page.reload()
    ann.sees("done")

    assert 1 == len(ann.stack.mailbox.mails_to(ann.address))


def test_two_tabs(ann: Person) -> None:
    """A tab that was left behind comes to where the other one is."""
    ann.at_code()
    other = ann.another_tab()
    other.sees("code")
    other.enter(ann.code())
    other.sees("password")
    ann.enter(ann.code())
    ann.sees("password")
    other.enter(GOOD_PASSWORD)
    other.sees("done")
    ann.enter("another seven ladders")
    ann.sees("done", "the password that you chose first")


def test_another_sign_up_in_another_tab(ann: Person) -> None:
    """A form of a sign-up that the browser has left does nothing to the new one."""
    ann.at_code()
    other = ann.another_tab()
    other.press("Change the address")
    other.sees("address")
    other.enter(f"new-{ann.address}")
    other.sees("code")
    ann.enter(ann.code())
    ann.sees("code", "was out of date")


def test_double_click(ann: Person) -> None:
    """A double click on a button does its work once."""
    ann.enter(ann.address, clicks=2)
    ann.sees("code")
    ann.enter(ann.code(), clicks=2)
    ann.sees("password")
    ann.enter(GOOD_PASSWORD, clicks=2)
    ann.sees("done")

    assert 1 == len(ann.stack.admin.courier_messages(ann.address))


def test_expired(ann: Person) -> None:
    """A code that comes too late leads back to the address, which is filled in."""
    ann.at_code()
    ledger = ann.stack.server.directory / "signupd.db"
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute(
            "UPDATE signups SET expire_time = 1 WHERE state = 'code_required'"
        )
    ann.enter(ann.code())
    ann.sees("address", "That took too long")

    expect(ann.field).to_have_value(ann.address)


def test_wrong_codes(ann: Person) -> None:
    """Each wrong code tells how many are left; after the last the sign-up is over."""
    ann.at_code()
    wrong = wrong_codes(ann.code(), 5)
    for left, code in zip((4, 3, 2, 1), wrong, strict=False):
        ann.enter(code)
        expect(ann.page.locator("#hint")).to_have_text(f"Attempts left: {left}")
        ann.sees("code", "That is not the code")
    ann.enter(wrong[-1])
    ann.sees("address", "Too many wrong codes")


def test_taken(front: Front) -> None:
    """Who has an account is told so after the proof, and signs in."""
    with front.person() as first:
        address = first.done().address
    with front.person(address=address) as ann:
        ann.at_password().sees("registered")
        ann.enter("another seven ladders")
        ann.sees("registered", "The password is wrong")
        ann.enter(GOOD_PASSWORD)
        ann.sees("signed_in")


def test_taken_by_a_stranger(ann: Person) -> None:
    """An account that never proved the address is not one to sign in to."""
    ann.stack.admin.import_accounts([ann.address])
    ann.at_password().sees("in_use")

    expect(ann.page.get_by_role("button")).to_have_text(["Start again"])


def test_resend(ann: Person) -> None:
    """The button for another code opens by itself; the first code is then dead."""
    ann.at_code()
    button = ann.page.locator("#resend")
    expect(button).to_be_disabled()
    expect(button).to_have_text(re.compile(r"Send a new code \(\d s\)"))
    first = ann.code()
    expect(button).to_be_enabled()
    button.click()
    ann.sees("code", "We sent a new code")
    second = ann.code(2)
    ann.enter(first)
    ann.sees("code", "That is not the code")
    ann.enter(second)
    ann.sees("password")


def test_another_address(ann: Person) -> None:
    """Who mistyped the address goes back and gives the right one."""
    ann.at_code()
    ann.press("Change the address")
    ann.sees("address")
    ann.address = f"right-{ann.address}"
    ann.done()


def test_password_meter(ann: Person) -> None:
    """The meter follows what is typed, and the password can be looked at."""
    ann.at_password().sees("password")
    meter, advice = ann.page.locator("#meter"), ann.page.locator("#advice")
    ann.field.press_sequentially("tiny")
    expect(advice).to_have_text("The password is too short.")
    ann.field.fill(GOOD_PASSWORD)
    expect(advice).to_have_text("Very good")
    expect(meter).to_have_js_property("value", 4)
    expect(ann.field).to_have_attribute("type", "password")
    ann.press("Show")
    expect(ann.field).to_have_attribute("type", "text")


def test_refused_password(ann: Person) -> None:
    """A password that is refused may be replaced."""
    ann.at_password().sees("password")
    ann.enter("password")
    ann.sees("password", "too easy to guess")
    ann.enter(similar_to(ann.address))
    ann.sees("password", "too similar to your address")
    ann.enter(GOOD_PASSWORD)
    ann.sees("done")


def test_screenshots(front: Front, address: str) -> None:
    """`make screenshots` can take the documents' pictures."""
    mailbox = front.stack.mailbox
    png = picture(front.browser, front.url, mailbox, address, SHOTS["narrow-dark"])

    assert png.startswith(b"\x89PNG")
    assert 20_000 < len(png) < 200_000


def test_service_away(ann: Person) -> None:
    """Without the service the page says so, and goes on once it is back."""
    ann.at_code()
    ann.stack.server.stop()
    try:
        ann.page.reload()
        ann.sees("trouble", "Please try again in a moment")
        found = faults(ann.page)
    finally:
        ann.stack.server.start()
    ann.page.get_by_role("link", name="Back to the sign-up").click()
    ann.sees("code")

    assert [] == found

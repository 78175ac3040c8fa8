"""The web example over HTTP, in front of the service or a scripted one."""

import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.errors import (
    CodeIncorrect,
    DeadlineTooShort,
    EmailInvalid,
    KratosIncompatible,
    PasswordAttemptsExhausted,
    SendLimitReached,
    SignupdError,
    TokenInvalid,
    Violation,
)

from examples.web.texts import language_of
from tests.documented import ROOT, lines
from tests.doubles.scripted_service import Reply, ScriptedService
from tests.integration.caller import another
from tests.integration.web_browser import Browser
from tests.integration.world import PASSWORD, World

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    """Open the example in front of a service."""
    replica = await world.serve()
    async with Browser.at(f"127.0.0.1:{replica.service.port}") as opened:
        yield opened


async def test_whole_way(world: World, browser: Browser) -> None:
    """Through a wrong code and a poor password to an account, in four screens."""
    seen = [browser.screen]
    await browser.press("start", email=f" {ANN}")
    code = world.kratos.code_for(ANN)
    for name, typed in [
        ("code", {"code": another(code)}),
        ("code", {"code": code}),
        ("password", {"password": "password"}),
        ("password", {"password": PASSWORD}),
        ("sign_in", {"password": "wrong"}),
        ("sign_in", {"password": PASSWORD}),
    ]:
        seen.append(browser.screen)
        await browser.press(name, **typed)
    account = world.kratos.account(ANN)

    way = "address code code password password done done signed_in"
    assert way.split() == [*seen, browser.screen]
    assert account is not None
    assert [ANN, ANN] == [sent["identifier"] for sent in browser.kratos]
    assert {303} == {one.status_code for page in browser.pages for one in page.history}


async def test_secrets_stay_in_the_cookie(world: World, browser: Browser) -> None:
    """No page or URL has the token, the code or the password; no page is cached."""
    secrets = set()
    await browser.press("start", email=ANN)
    secrets.add(browser.session["token"])
    await browser.press("code", code=world.kratos.code_for(ANN))
    secrets |= {browser.session["token"], world.kratos.code_for(ANN), PASSWORD}
    await browser.press("password", password=PASSWORD)
    cookies = {c for page in browser.pages for c in page.headers.get_list("set-cookie")}
    shown = "".join(f"{page.url} {page.text}" for page in browser.pages)

    assert 4 == len(secrets)
    assert [] == [secret for secret in secrets if secret in shown]
    assert all("httponly; samesite=lax" in one for one in cookies)
    pages = [page for page in browser.pages if page.status_code == httpx.codes.OK]
    assert {"no-store"} == {page.headers["cache-control"] for page in pages}
    assert all(
        "default-src 'self'" in p.headers["content-security-policy"] for p in pages
    )


async def test_cookie_under_https() -> None:
    """Where people come by https, the cookie goes over https alone."""
    with ScriptedService() as service:
        async with Browser.at(service.target, PUBLIC_URL="https://web") as browser:
            (cookie,) = browser.cookies.jar

    assert ("__Host-signup", True) == (cookie.name, cookie.secure)


@pytest.mark.parametrize("csrf", [None, "", "another"])
async def test_foreign_form(world: World, browser: Browser, csrf: str | None) -> None:
    """A form without this session's CSRF token does nothing."""
    fields = browser.hidden | {"email": ANN} | ({"csrf": csrf} if csrf else {})
    answer = await browser.post(
        "/start", data={k: v for k, v in fields.items() if csrf or k != "csrf"}
    )

    assert (403, "trouble") == (answer.status_code, browser.screen)
    assert [] == world.rows()


@pytest.mark.parametrize("csrf", [{}, {"csrf": ""}])
async def test_form_without_a_cookie(
    world: World, browser: Browser, csrf: dict[str, str]
) -> None:
    """A form of a browser without cookies does nothing, and it is told why."""
    fields = browser.hidden | {"email": ANN} | csrf
    browser.cookies.clear()
    answer = await browser.post("/start", data=fields)

    assert 403 == answer.status_code
    assert "cookies" in browser.notice
    assert [] == world.rows()


async def test_double_click(world: World, browser: Browser) -> None:
    """Each button pressed twice works once, and leads to the next screen."""
    screens = []
    for name in ("start", "code", "password"):
        form = browser.hidden | {"email": ANN, "password": PASSWORD}
        if name == "code":
            form["code"] = world.kratos.code_for(ANN)
        cookies = httpx.Cookies(browser.cookies)
        for _ in range(2):
            await browser.post(f"/{name}", data=form)
            screens.append((browser.screen, browser.notice))
        browser.cookies = cookies  # as if sent before the first answer came
        await browser.post(f"/{name}", data=form)
        screens.append((browser.screen, browser.notice))

    assert [(s, "") for s in ("code", "password", "done") for _ in range(3)] == screens
    assert 1 == len(world.kratos.mails_to(ANN))
    assert 1 == len(world.rows())


async def test_form_of_another_tab(world: World, browser: Browser) -> None:
    """A code typed for a sign-up that the browser has left costs no attempt."""
    await browser.press("start", email=ANN)
    old = browser.hidden
    await browser.press("restart")
    await browser.press("start", email=BOB)
    await browser.post("/code", data=old | {"code": world.kratos.code_for(ANN)})

    assert "code" == browser.screen
    assert "Please go on here" in browser.notice
    assert "Attempts left: 5" in browser.pages[-1].text


async def test_address_of_another_tab(world: World, browser: Browser) -> None:
    """A tab left at the address does not touch the sign-up that another has begun."""
    old = browser.hidden
    await browser.press("start", email=ANN)
    await browser.press("code", code=world.kratos.code_for(ANN))
    await browser.post("/start", data=old | {"email": BOB, "request_id": ""})

    assert ("password", ANN) == (browser.screen, browser.session["email"])
    assert "Please go on here" in browser.notice


async def test_refused_start_keeps_the_address(world: World, browser: Browser) -> None:
    """Whatever start is refused, people sign in to the account of their sign-up."""
    await browser.press("start", email=ANN)
    await browser.press("code", code=world.kratos.code_for(ANN))
    await browser.press("password", password=PASSWORD)
    await browser.press("start", email=BOB, request_id="x")
    await browser.press("sign_in", password="not hers")

    assert [ANN] == [sent["identifier"] for sent in browser.kratos]


@pytest.mark.parametrize(
    ("name", "password", "status"),
    [("password", "x" * 17_000, 400), ("nowhere", "", 404)],
)
async def test_refused_requests(
    browser: Browser, name: str, password: str, status: int
) -> None:
    """What the framework refuses is a page too, with the headers of all pages."""
    answer = await browser.press(name, password=password)

    assert (status, "trouble") == (answer.status_code, browser.screen)
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/start", 405), ("/favicon.ico", 404)])
async def test_no_page(browser: Browser, path: str, status: int) -> None:
    """A form's URL that is opened by itself, or one that is unknown, is no mistake."""
    page = await browser.get(path)

    assert status == page.status_code
    assert "There is no such page." in page.text
    assert 'href="/"' in page.text


async def test_lost_answer(world: World, browser: Browser) -> None:
    """Without the token of the password step the same code gives it again."""
    await browser.press("start", email=ANN)
    before = httpx.Cookies(browser.cookies)
    await browser.press("code", code=world.kratos.code_for(ANN))
    browser.cookies = before
    await browser.get("/")

    assert ("code", "Please enter your code once more.") == (
        browser.screen,
        browser.notice,
    )
    await browser.press("code", code=world.kratos.code_for(ANN))
    assert "password" == browser.screen


def test_unwanted_language() -> None:
    """A language with the quality 0 is never chosen (RFC 9110, 12.4.2)."""
    assert ["en", "de"] == [language_of(f"de;q={quality}") for quality in (0, 0.1)]


async def test_meter(world: World, browser: Browser) -> None:
    """The meter says in the visitor's language what is wrong, or how good it is."""
    browser.headers["accept-language"] = "fr, de-CH;q=0.9, en;q=0.8"
    await browser.press("start", email=ANN)
    await browser.press("code", code=world.kratos.code_for(ANN))
    fields = browser.hidden
    weak = await browser.post("/check", data=fields | {"password": "password"})
    good = await browser.post("/check", data=fields | {"password": PASSWORD})
    long = await browser.post("/check", data=fields | {"password": "seven wet " * 9})

    assert "de" == world.kratos.mails_to(ANN)[-1].locale
    sentence = "Das Passwort ist zu leicht zu erraten."
    assert {"strength": 0, "advice": sentence} == weak.json()
    assert "Das Passwort ist zu lang." == long.json()["advice"]
    assert 0 == long.json()["strength"]
    assert {"strength": 4, "advice": "Sehr gut"} == good.json()


def _signup(state: str, **fields: Any) -> pb.Signup:
    number = pb.SignupState.Value(f"SIGNUP_STATE_{state}")
    fields = {"code_attempts_remaining": 5, **fields}
    return pb.Signup(signup_id="id", state=number, masked_email="a***@b", **fields)


CODE = _signup("CODE_REQUIRED")
NO_ATTEMPT_LEFT = _signup("CODE_REQUIRED", code_attempts_remaining=0)


@pytest.mark.parametrize(
    ("signup", "screen", "words"),
    [
        (CODE, "code", ""),
        (
            _signup("CODE_REQUIRED", code_delivery="CODE_DELIVERY_FAILED"),
            "code",
            "sent",
        ),
        (NO_ATTEMPT_LEFT, "address", "wrong codes"),
        (_signup("PASSWORD_REQUIRED"), "code", "once more"),
        (_signup("COMPLETED"), "done", ""),
        (
            _signup("ALREADY_REGISTERED", existing_account_verified=True),
            "registered",
            "",
        ),
        (_signup("ALREADY_REGISTERED"), "in_use", ""),
        (_signup("EXPIRED"), "address", "too long"),
        (_signup("CANCELLED"), "address", "cancelled"),
        (TokenInvalid(), "address", "start again"),
        (KratosIncompatible(), "trouble", "went wrong"),
    ],
)
async def test_states(
    signup: pb.Signup | SignupdError, screen: str, words: str
) -> None:
    """The screen is that of the state which the service names, and it has its words."""
    shown = Reply(signup, "token") if isinstance(signup, pb.Signup) else signup
    script = ("StartSignup", Reply(CODE, "token")), ("GetSignup", shown)
    with ScriptedService(*script) as service:
        async with Browser.at(service.target) as browser:
            await browser.press("start", email=ANN)

            assert screen == browser.screen
            assert words in browser.notice
            assert bool(words) == bool(browser.notice)
            may_sign_in = screen in {"done", "registered"}
            assert may_sign_in == ('action="/sign_in"' in browser.pages[-1].text)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            EmailInvalid(violations=(Violation("email", "bad"),)),
            "Please check the address.",
        ),
        (
            EmailInvalid(violations=(Violation("email", "bad", "DOMAIN_BLOCKED"),)),
            "another provider",
        ),
        (SendLimitReached(retry_after_seconds=61), "try again in 2 min."),
    ],
)
async def test_address_refused(error: SignupdError, words: str) -> None:
    """A refused address stands in the form again, with the reason."""
    with ScriptedService(("StartSignup", error)) as service:
        async with Browser.at(service.target) as browser:
            await browser.press("start", email=ANN)

            assert "address" == browser.screen
            assert words in browser.notice
            assert f'value="{ANN}"' in browser.pages[-1].text


async def test_same_request_after_a_failure() -> None:
    """What failed is sent again as the same request, unless the address changed."""
    failed = ("StartSignup", DeadlineTooShort())
    with ScriptedService(failed, failed, failed) as service:
        async with Browser.at(service.target) as browser:
            for email in (ANN, ANN, BOB):
                await browser.press("start", email=email)
        ids = [request.request_id for request in service.requests]

    assert ids[0] == ids[1] != ids[2]
    assert {"192.0.2.7"} == {request.client_ip for request in service.requests}


async def test_no_meter() -> None:
    """When no more passwords are judged, there is no meter, and all else goes on."""
    with ScriptedService(
        ("StartSignup", Reply(CODE, "token")),
        ("GetSignup", Reply(CODE, "token")),
        ("CheckPassword", PasswordAttemptsExhausted()),
        ("GetSignup", Reply(CODE, "token")),
    ) as service:
        async with Browser.at(service.target) as browser:
            await browser.press("start", email=ANN)
            judged = await browser.press("check", password=PASSWORD)
            await browser.get("/")

            assert {} == judged.json()
            assert ("code", "") == (browser.screen, browser.notice)


@pytest.mark.parametrize(
    ("name", "error", "signup", "words"),
    [
        (
            "password",
            PasswordAttemptsExhausted(),
            _signup("PASSWORD_REQUIRED"),
            "refused",
        ),
        ("code", CodeIncorrect(), NO_ATTEMPT_LEFT, "Too many wrong codes"),
    ],
)
async def test_no_attempt_left(
    name: str, error: SignupdError, signup: pb.Signup, words: str
) -> None:
    """When no code or password is taken any more, the person begins again."""
    with ScriptedService(
        ("StartSignup", Reply(CODE, "token")),
        ("GetSignup", Reply(CODE, "token")),
        ({"code": "VerifyCode", "password": "SetPassword"}[name], error),
        ("GetSignup", Reply(signup, "token")),
    ) as service:
        async with Browser.at(service.target) as browser:
            await browser.press("start", email=ANN)
            await browser.press(name, password=PASSWORD, code="123456")

            assert "address" == browser.screen
            assert words in browser.notice


async def test_no_sign_in_before_the_end() -> None:
    """Nobody tries passwords at Kratos through a sign-up that is not at its end."""
    reply = ("GetSignup", Reply(CODE, "token"))
    with ScriptedService(
        ("StartSignup", Reply(CODE, "token")), *[reply] * 3
    ) as service:
        async with Browser.at(service.target) as browser:
            await browser.press("start", email=ANN)
            await browser.press("sign_in", password=PASSWORD)

            assert ("code", []) == (browser.screen, browser.kratos)


@pytest.mark.parametrize("copied", [False, True])
def test_command(tmp_path: Path, *, copied: bool) -> None:
    """The documented command says where it listens, serves the page, and ends at ^C.

    So does a copy of the folder, with the one file that it needs.
    """
    (command,) = lines("examples/README.md", "python -m ")
    if copied:
        assert (
            f"`{command.replace('examples.', '')}`"
            in (ROOT / "examples/README.md").read_text()
        )
        command = command.replace("examples.", "")
        shutil.copytree(ROOT / "examples/web", tmp_path / "web")
        shutil.copy(ROOT / "examples/service_config.json", tmp_path)
    process = subprocess.Popen(  # noqa: S603 - our own document
        [sys.executable, *command.split()[1:]],
        cwd=tmp_path if copied else ROOT,
        env={"LISTEN": "127.0.0.1:0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            page = httpx.get(url, trust_env=False)
        finally:
            process.send_signal(signal.SIGINT)

    assert "Create your account" in page.text
    assert 0 == process.returncode

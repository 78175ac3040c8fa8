"""The pages: one URL whose screen follows the sign-up's state, and the forms on it."""

import logging
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from .failure import ALARMING, notice_of
from .kratos import Kratos
from .settings import Settings
from .texts import INVALID, PLAIN, Speaker, language_of

HERE = Path(__file__).parent
TEMPLATES = Jinja2Templates(HERE / "templates")
# The retry policy; gRPC itself sends a call again.
CHANNEL_OPTIONS = [
    ("grpc.service_config", (HERE.parent / "service_config.json").read_text("utf-8"))
]
DEADLINE_SECONDS = 60.0
CHECK_SECONDS = 2.0  # a later answer is of no use to a meter
LIMITS = {"max_files": 0, "max_fields": 10, "max_part_size": 16 * 1024}
HEADERS = {
    "Cache-Control": "no-store",  # so that "back" shows the present state
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

logger = logging.getLogger(__name__)
Handler = Callable[[Request, dict[str, str]], Awaitable[Response | None]]


async def page(request: Request) -> Response:
    """Show the screen of the present state, whatever the browser showed before."""
    session = request.session
    notice = session.pop("notice", {})
    if "kratos_session" in session:
        return await _signed_in(request)
    signup = pb.Signup()
    if "token" in session:
        try:
            signup = await _get_signup(request)
        except grpc.aio.AioRpcError as error:
            notice = notice_of(error)
            if notice["reason"] != "TOKEN_INVALID":
                return _show(request, "trouble", notice, status=503)
            session.clear()
    screen, reason = _screen_of(signup, bool(session.get("proved")))
    if reason and not notice:
        notice = {"reason": reason}
    return _show(request, screen, notice, signup)


def _screen_of(signup: pb.Signup, is_proved: bool) -> tuple[str, str]:
    """Choose the screen of a state, and the reason to name on it."""
    match signup.state:
        case pb.SIGNUP_STATE_CODE_REQUIRED:
            if not signup.code_attempts_remaining:
                return "address", "CODE_ATTEMPTS_EXHAUSTED"
            failed = signup.code_delivery == pb.CODE_DELIVERY_FAILED
            return "code", "MAIL_FAILED" if failed else ""
        case pb.SIGNUP_STATE_PASSWORD_REQUIRED:
            if not signup.password_attempts_remaining:
                return "address", "PASSWORD_ATTEMPTS_EXHAUSTED"
            # The answer with the token of this step was lost: have it given again.
            return ("password", "") if is_proved else ("code", "PROVE_AGAIN")
        case pb.SIGNUP_STATE_COMPLETED:
            return "done", ""
        case pb.SIGNUP_STATE_ALREADY_REGISTERED:
            # Nobody may be led into an account that never proved the address.
            return "registered" if signup.existing_account_verified else "in_use", ""
        case pb.SIGNUP_STATE_EXPIRED:
            return "address", "SIGNUP_EXPIRED"
        case pb.SIGNUP_STATE_CANCELLED:
            return "address", "SIGNUP_CANCELLED"
    return "address", ""


async def _signed_in(request: Request) -> Response:
    """Show that the person is signed in, if Kratos says so."""
    kratos: Kratos = request.app.state.kratos
    try:
        alive = await kratos.is_signed_in(request.session["kratos_session"])
    except httpx.HTTPError:
        return _show(request, "trouble", {"reason": "KRATOS_UNAVAILABLE"}, status=503)
    if alive:
        return _show(request, "signed_in")
    request.session.clear()
    return RedirectResponse("/", 303)


def _show(
    request: Request,
    screen: str,
    notice: dict[str, Any] | None = None,
    signup: pb.Signup | None = None,
    status: int = 200,
) -> Response:
    session, signup = request.session, signup or pb.Signup()
    say = _speaker(request)
    reason = notice["reason"] if notice else ""
    context = {
        "say": say,
        "screen": screen,
        "signup": signup,
        "sentences": say.sentences(notice) if notice else [],
        "is_invalid": reason in INVALID,
        "is_plain": reason in PLAIN,
        "email": session.get("email", ""),
        "csrf": session.setdefault("csrf", secrets.token_urlsafe()),
        # One id for each rendered form: pressed twice, it still sends one mail. A form
        # that failed is sent again with the id that it had.
        "request_id": session.get("request_id") or uuid.uuid4(),
        "resend_seconds": max(0, signup.resend_time.seconds - int(time.time())),
        "settings": request.app.state.settings,
    }
    return TEMPLATES.TemplateResponse(
        request, f"{screen}.html", context, status_code=status, headers=HEADERS
    )


def _speaker(request: Request) -> Speaker:
    return Speaker(language_of(request.headers.get("accept-language", "")))


def form(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of what a form does: check it, do it, go back to the page."""

    async def endpoint(request: Request) -> Response:
        sent = await request.form(**LIMITS)
        fields = {name: value for name, value in sent.items() if isinstance(value, str)}
        session = request.session
        expected = session.get("csrf", "")
        given = fields.get("csrf", "")
        if not expected or not secrets.compare_digest(
            given.encode(), expected.encode()
        ):
            return _show(request, "trouble", {"reason": "FORM_OUTDATED"}, status=403)
        # A form of another tab, whose sign-up this browser has left since.
        if fields.get("signup", session.get("signup")) != session.get("signup"):
            session["notice"] = {"reason": "OTHER_SIGNUP"}
            return RedirectResponse("/", 303)
        try:
            return await handler(request, fields) or RedirectResponse("/", 303)
        except grpc.aio.AioRpcError as error:
            session["notice"] = notice_of(error)
        except httpx.HTTPError:
            session["notice"] = {"reason": "KRATOS_UNAVAILABLE"}
        reason = session["notice"]["reason"]
        level = logging.ERROR if reason in ALARMING else logging.INFO
        logger.log(level, "%s: %s", request.url.path, reason)
        return RedirectResponse("/", 303)

    return endpoint


@form
async def start(request: Request, fields: dict[str, str]) -> None:
    """Have a code mailed to an address."""
    session = request.session
    email = fields.get("email", "").strip()
    request_id = fields.get("request_id", "")
    if request_id == session.get("request_id") and email != session.get("email"):
        request_id = str(uuid.uuid4())  # the failed form, with another address
    session.update(email=email, request_id=request_id)
    answer = await request.app.state.signups.StartSignup(
        pb.StartSignupRequest(
            email=email,
            request_id=request_id,
            locale=_speaker(request).language,
            client_ip=request.client.host if request.client else "",
        ),
        timeout=DEADLINE_SECONDS,
    )
    _keep(session, answer, proved=False)


@form
async def code(request: Request, fields: dict[str, str]) -> None:
    """Check the code. A second click finds that done."""
    session = request.session
    if session.get("proved"):
        return
    answer = await request.app.state.signups.VerifyCode(
        pb.VerifyCodeRequest(
            continuation_token=session.get("token", ""), code=fields.get("code", "")
        ),
        timeout=DEADLINE_SECONDS,
    )
    _keep(session, answer, proved=True)


@form
async def resend(request: Request, fields: dict[str, str]) -> None:
    """Have a new code mailed."""
    session = request.session
    session["request_id"] = fields.get("request_id", "")
    answer = await request.app.state.signups.ResendCode(
        pb.ResendCodeRequest(
            continuation_token=session.get("token", ""),
            request_id=session["request_id"],
        ),
        timeout=DEADLINE_SECONDS,
    )
    _keep(session, answer)
    session["notice"] = {"reason": "RESENT"}


@form
async def restart(request: Request, _fields: dict[str, str]) -> None:
    """Leave this sign-up, for another address."""
    cancel = pb.CancelSignupRequest(continuation_token=request.session.get("token", ""))
    with suppress(grpc.aio.AioRpcError):  # it then expires by itself
        await request.app.state.signups.CancelSignup(cancel, timeout=DEADLINE_SECONDS)
    request.session.clear()


@form
async def check(request: Request, fields: dict[str, str]) -> Response:
    """Judge a password while it is typed, for the meter."""
    say = _speaker(request)
    try:
        answer = await request.app.state.signups.CheckPassword(
            pb.CheckPasswordRequest(
                continuation_token=request.session.get("token", ""),
                password=fields.get("password", ""),
            ),
            timeout=CHECK_SECONDS,
        )
    except grpc.aio.AioRpcError:
        return Response(status_code=204)  # no meter; the password can still be set
    faults = [say(one.reason) for one in answer.violations if one.reason in say]
    advice = " ".join(faults) or say(f"strength_{answer.strength}")
    return JSONResponse({"strength": answer.strength, "advice": advice})


@form
async def password(request: Request, fields: dict[str, str]) -> None:
    """Make the account."""
    answer = await request.app.state.signups.SetPassword(
        pb.SetPasswordRequest(
            continuation_token=request.session.get("token", ""),
            password=fields.get("password", ""),
        ),
        timeout=DEADLINE_SECONDS,
    )
    _keep(request.session, answer)


@form
async def sign_in(request: Request, fields: dict[str, str]) -> None:
    """Sign in at Kratos, to the account of this sign-up and no other."""
    session = request.session
    screen, _ = _screen_of(await _get_signup(request), is_proved=True)
    if screen not in {"done", "registered"}:
        return
    email = session["email"]
    token = await request.app.state.kratos.sign_in(email, fields.get("password", ""))
    if not token:
        session["notice"] = {"reason": "SIGN_IN_REFUSED"}
        return
    session.clear()
    session.update(kratos_session=token, email=email)


@form
async def sign_out(request: Request, _fields: dict[str, str]) -> None:
    """End the session at Kratos."""
    await request.app.state.kratos.sign_out(request.session.get("kratos_session", ""))
    request.session.clear()


async def _get_signup(request: Request) -> pb.Signup:
    ask = pb.GetSignupRequest(continuation_token=request.session.get("token", ""))
    signups = request.app.state.signups
    answer: pb.GetSignupResponse
    answer = await signups.GetSignup(ask, timeout=DEADLINE_SECONDS)
    return answer.signup


def _keep(session: dict[str, Any], answer: Any, **more: bool) -> None:
    """Keep what a successful step gave, for the next one."""
    session.pop("request_id", None)
    session.update(more, signup=answer.signup.signup_id)
    if answer.continuation_token:  # a final state has none; the last one still shows it
        session["token"] = answer.continuation_token


def make_app(settings: Settings) -> Starlette:
    """Make the application. Its lifespan holds the connections."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Beyond loopback: grpc.aio.secure_channel, mostly with a client certificate.
        channel = grpc.aio.insecure_channel(settings.signup_target, CHANNEL_OPTIONS)
        async with channel, Kratos(settings.kratos_public_url) as app.state.kratos:
            app.state.signups = SignupServiceStub(channel)
            yield

    cookie = Middleware(
        SessionMiddleware,
        secret_key=settings.session_secret,
        session_cookie="signup",
        max_age=None,  # until the browser is closed
        same_site="lax",  # strict would forget the sign-up when a link leads here
        https_only=settings.secure,
    )
    forms = (start, code, resend, restart, check, password, sign_in, sign_out)
    names = "start code resend restart check password sign-in sign-out".split()
    app = Starlette(
        routes=[
            Route("/", page),
            *(
                Route(f"/{name}", endpoint, methods=["POST"])
                for name, endpoint in zip(names, forms, strict=True)
            ),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[cookie],
        lifespan=lifespan,
    )
    app.state.settings = settings
    return app

"""The pages: one URL, whose screen follows the sign-up's state, and forms on it."""

import logging
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from .failure import Notice, notice_of
from .visit import Visit, screen_of

HERE = Path(__file__).parent
TEMPLATES = Jinja2Templates(HERE / "templates")
RECONNECT = ("grpc.max_reconnect_backoff_ms", 5000)  # by default two minutes
FORMS = {"start", "resend", "code", "check", "password", "restart"}
FORMS |= {"sign_in", "sign_out"}
CSP = "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",  # so that "back" asks for the present state
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
}
# What was typed is at fault.
INVALID = {"REQUEST_INVALID", "EMAIL_INVALID", "TRAITS_INVALID", "CODE_INCORRECT"}
INVALID |= {"PASSWORD_REJECTED", "SIGN_IN_REFUSED"}
# The same request is to be sent again; what became of it may be unknown.
RETRY = {"OVERLOADED", "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE", "SIGNUP_BUSY"}
RETRY |= {"DEADLINE_TOO_SHORT"}
# Nothing more can come of the sign-up.
OVER = {"TOKEN_INVALID", "CODE_ATTEMPTS_EXHAUSTED", "PASSWORD_ATTEMPTS_EXHAUSTED"}
# Only an operator or a programmer can mend it.
ALARMING = {"REQUEST_ID_REUSED", "CALLER_NOT_PERMITTED", "DEADLINE_TOO_SHORT"}
ALARMING |= {"KRATOS_INCOMPATIBLE", "INTERNAL"}


async def page(request: Request) -> Response:
    """Show the screen of the present state, whatever the browser showed before."""
    visit, signup = Visit(request), pb.Signup()
    notice = visit.session.pop("notice", {})
    if "kratos_session" in visit.session:
        return _show(visit, "signed_in", notice)
    try:
        if visit.token:
            signup = await visit.signup()
    except grpc.aio.AioRpcError as error:
        notice = _failed(visit, error)
        if notice["reason"] not in OVER:
            return _show(visit, "trouble", notice, status=503)
    screen, reason = screen_of(signup, visit.session.get("proved", False))
    if reason and (screen == "address" or not notice):
        notice = {"reason": reason}
    if screen == "address":
        visit.session.update(token="", signup="")
    return _show(visit, screen, notice, signup)


async def form(request: Request) -> Response:
    """Check a form, do what it asks for, and go back to the page."""
    visit, name = Visit(request), request.url.path.rpartition("/")[2]
    sent = await request.form(max_files=0, max_fields=10, max_part_size=16 * 1024)
    fields = {key: str(value) for key, value in sent.items()}
    csrf, given = visit.session.get("csrf", ""), fields.get("csrf", "")
    if not csrf or not secrets.compare_digest(given.encode(), csrf.encode()):
        return _show(visit, "trouble", {"reason": "FORM_OUTDATED"}, status=403)
    present = visit.session.get("signup", "")
    if fields.get("signup", present) != present:  # another tab has gone on
        if fields.get("request_id") != visit.session.get("started"):  # no second press
            visit.session["notice"] = {"reason": "OTHER_SIGNUP"}
        return RedirectResponse("/", 303)
    try:
        result = await getattr(visit, name)(**fields)
        return RedirectResponse("/", 303) if result is None else JSONResponse(result)
    except (grpc.aio.AioRpcError, httpx.HTTPError) as error:
        notice = visit.session["notice"] = _failed(visit, error)
        again = fields.get("request_id") if notice["reason"] in RETRY else None
        visit.session["request_id"] = again
    return RedirectResponse("/", 303)


def _failed(visit: Visit, error: grpc.aio.AioRpcError | httpx.HTTPError) -> Notice:
    if isinstance(error, httpx.HTTPError):
        return {"reason": "KRATOS_UNAVAILABLE"}
    notice = notice_of(error)
    if notice["reason"] in ALARMING:
        logging.getLogger(__name__).error("a call failed: %s", notice["reason"])
    if notice["reason"] in OVER:
        visit.session.update(token="", signup="")
    return notice


async def refused(request: Request, error: Exception) -> Response:
    """Show as a page what Starlette refuses, such as a form that is too large."""
    status = getattr(error, "status_code", 500)
    reason = {404: "NOT_FOUND", 405: "NOT_FOUND"}.get(status, "REQUEST_INVALID")
    return _show(Visit(request), "trouble", {"reason": reason}, None, status)


def _show(
    visit: Visit, screen: str, notice: Notice, signup: object = None, status: int = 200
) -> Response:
    visit.session.setdefault("csrf", secrets.token_urlsafe())
    context = {
        "visit": visit,
        "say": visit.say,
        "screen": screen,
        "signup": signup or pb.Signup(),
        "notice": notice,
        "sentences": visit.say.notice(notice) if notice else [],
        "is_invalid": notice.get("reason") in INVALID,
        # One for each form shown. A form that failed is shown with its own again.
        "request_id": visit.session.get("request_id") or uuid.uuid4(),
        "now": time.time(),
        "links": visit.request.app.state.links,
    }
    return TEMPLATES.TemplateResponse(
        visit.request, "page.html", context, status_code=status, headers=HEADERS
    )


def make_app(environment: Mapping[str, str]) -> Starlette:
    """Make the application. Its lifespan holds the connections."""
    env = environment.get

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        url = env("KRATOS_PUBLIC_URL", "http://127.0.0.1:4433")
        kratos = httpx.AsyncClient(base_url=url, timeout=10.0, trust_env=False)
        target = env("SIGNUP_TARGET", "127.0.0.1:50051")
        retries = (HERE.parent / "service_config.json").read_text(encoding="utf-8")
        options = [("grpc.service_config", retries), RECONNECT]
        channel = grpc.aio.insecure_channel(target, options)  # or secure_channel
        async with channel, kratos as app.state.kratos:
            app.state.signups = SignupServiceStub(channel)
            yield

    static = StaticFiles(directory=HERE / "static")
    forms = [Route(f"/{name}", form, methods=["POST"]) for name in FORMS]
    routes = [Route("/", page), Mount("/static", static), *forms]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_exception_handler(HTTPException, refused)
    app.state.links = {name: env(name) for name in ("MAILBOX_URL", "RECOVERY_URL")}
    is_secure = env("PUBLIC_URL", "").startswith("https:")
    app.add_middleware(
        SessionMiddleware,
        # Without a secret, a restart forgets the sign-ups under way.
        secret_key=env("SESSION_SECRET") or secrets.token_urlsafe(),
        session_cookie="__Host-signup" if is_secure else "signup",
        https_only=is_secure,
        max_age=None,  # until the browser ends
        same_site="lax",  # with "strict" a link to this site would begin anew
    )
    return app

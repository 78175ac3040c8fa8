"""One request of a visitor: what each form does, and what the session keeps.

The session is a signed, HttpOnly cookie. The continuation token never reaches a page.
"""

import uuid
from contextlib import suppress
from typing import Any

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from starlette.requests import Request

from . import kratos
from .texts import Speaker, language_of

DEADLINE_SECONDS = 60.0  # of a call, with all its retries
LOOK_SECONDS = 10.0  # of a look at the state, for a page that a person waits for
CHECK_SECONDS = 2.0  # an answer that comes later is of no use to a meter


class Visit:
    """The visit. A method without underscore, but `signup` and `forget`, is a form."""

    def __init__(self, request: Request) -> None:
        self.request, self.session = request, request.session
        self.signups = request.app.state.signups
        self.kratos = request.app.state.kratos
        self.language = language_of(request.headers.get("accept-language", ""))
        self.say = Speaker(self.language)
        self.token = str(self.session.get("token", ""))

    async def start(self, /, email: str = "", request_id: str = "", **_: str) -> None:
        """Have a code mailed to an address."""
        email, client = email.strip()[:255], self.request.client  # 254 are allowed
        typed, self.session["typed"] = self.session.get("typed"), email
        if email != typed and request_id == self.session.get("request_id"):
            request_id = str(uuid.uuid4())  # what failed was for another address
        ask = pb.StartSignupRequest(
            email=email,
            request_id=request_id,
            locale=self.language,
            client_ip=client.host if client else "",
        )
        answer = await self.signups.StartSignup(ask, timeout=DEADLINE_SECONDS)
        self._keep(answer, proved=False, email=email, started=request_id)

    async def resend(self, /, request_id: str = "", **_: str) -> None:
        """Have a new code mailed."""
        ask = pb.ResendCodeRequest(continuation_token=self.token, request_id=request_id)
        self._keep(await self.signups.ResendCode(ask, timeout=DEADLINE_SECONDS))
        self.session["notice"] = {"reason": "RESENT"}

    async def code(self, /, code: str = "", **_: str) -> None:
        """Check the code. A second click finds that done."""
        if not self.session.get("proved"):
            ask = pb.VerifyCodeRequest(continuation_token=self.token, code=code)
            answer = await self.signups.VerifyCode(ask, timeout=DEADLINE_SECONDS)
            self._keep(answer, proved=True)

    async def check(self, /, password: str = "", **_: str) -> dict[str, Any]:
        """Judge a password while it is typed, for the meter."""
        ask = pb.CheckPasswordRequest(continuation_token=self.token, password=password)
        try:
            answer = await self.signups.CheckPassword(ask, timeout=CHECK_SECONDS)
        except grpc.RpcError:
            return {}  # no meter, but the password can still be set
        faults = self.say.each(one.reason for one in answer.violations)
        advice = " ".join(faults) or self.say(f"strength_{answer.strength}")
        return {"strength": 0 if faults else answer.strength, "advice": advice}

    async def password(self, /, password: str = "", **_: str) -> None:
        """Have the account made."""
        ask = pb.SetPasswordRequest(continuation_token=self.token, password=password)
        self._keep(await self.signups.SetPassword(ask, timeout=DEADLINE_SECONDS))

    async def restart(self, /, **_: str) -> None:
        """Leave this sign-up. If it cannot be cancelled now, it will expire."""
        ask = pb.CancelSignupRequest(continuation_token=self.token)
        with suppress(grpc.RpcError):
            await self.signups.CancelSignup(ask, timeout=DEADLINE_SECONDS)
        self.forget(typed=self.session.get("typed", ""))

    async def sign_in(self, /, password: str = "", **_: str) -> None:
        """Sign in at Kratos, to the account of this sign-up and no other."""
        if screen_of(await self.signup(), is_proved=True)[0] in {"done", "registered"}:
            email = self.session["email"]
            if token := await kratos.sign_in(self.kratos, email, password):
                self.forget(email=email, kratos_session=token)
            else:
                self.session["notice"] = {"reason": "SIGN_IN_REFUSED"}

    async def sign_out(self, /, **_: str) -> None:
        """End the session at Kratos."""
        await kratos.sign_out(self.kratos, self.session.get("kratos_session", ""))
        self.forget()

    async def signup(self) -> Any:
        """Ask for the present state, which another tab may have changed."""
        ask = pb.GetSignupRequest(continuation_token=self.token)
        return (await self.signups.GetSignup(ask, timeout=LOOK_SECONDS)).signup

    def forget(self, **kept: Any) -> None:
        """Forget all but the CSRF token, which other tabs have in their forms."""
        kept["csrf"] = self.session.get("csrf", "")
        self.session.clear()
        self.session.update(kept)

    def _keep(self, answer: Any, **more: bool | str) -> None:
        self.session.pop("request_id", None)
        # A final state has no token. The last one still shows it.
        token = answer.continuation_token or self.token
        self.session.update(more, token=token, signup=answer.signup.signup_id)


def screen_of(signup: pb.Signup, is_proved: bool) -> tuple[str, str]:
    """Choose the screen of a state, and a reason to name on it."""
    failed = signup.code_delivery == pb.CODE_DELIVERY_FAILED
    code = ("code", "MAIL_FAILED" if failed else "")
    if signup.code_attempts_remaining == 0:
        code = ("address", "CODE_ATTEMPTS_EXHAUSTED")
    # Without the token of its step, the code is needed again: an answer was lost.
    password = ("password", "") if is_proved else ("code", "PROVE_AGAIN")
    # Nobody may be led into an account that never proved its address.
    taken = "registered" if signup.existing_account_verified else "in_use"
    return {
        pb.SIGNUP_STATE_CODE_REQUIRED: code,
        pb.SIGNUP_STATE_PASSWORD_REQUIRED: password,
        pb.SIGNUP_STATE_COMPLETED: ("done", ""),
        pb.SIGNUP_STATE_ALREADY_REGISTERED: (taken, ""),
        pb.SIGNUP_STATE_EXPIRED: ("address", "SIGNUP_EXPIRED"),
        pb.SIGNUP_STATE_CANCELLED: ("address", "SIGNUP_CANCELLED"),
    }.get(signup.state, ("address", ""))

"""A sign-up with all in it that could leak, marked, and all that can go wrong."""

import base64
import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kratos_signup.v1 import account_service_pb2 as accounts
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.ports import LOOPBACK
from tests.e2e.stack import Stack, similar_to, wrong_codes

SERVICES = ("kratos_signup.v1.SignupService", "kratos_signup.v1.AccountService")
CLIENT_IP = "2001:db8:ca7a:91::7"
TRACE = secrets.token_hex(16)
CALL_SECONDS = 30.0


def mark(what: str) -> str:
    """Make a mark of something: a word that is nowhere else."""
    return f"{what}-mark-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The operator's secrets, marked."""

    token: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    old_token: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    digest: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    hook: str = field(default_factory=lambda: mark("hook"))
    admin: str = field(default_factory=lambda: mark("admin"))
    collector: str = field(default_factory=lambda: mark("collector"))

    def settings(self) -> dict[str, str]:
        """Put them as settings."""
        rings = [base64.b64encode(one).decode() for one in (self.token, self.old_token)]
        return {
            "TOKEN_KEYS": ",".join(rings),
            "DIGEST_KEY": base64.b64encode(self.digest).decode(),
            "HOOK_KEY": self.hook,
            "KRATOS_ADMIN_TOKEN": self.admin,
        }

    def marks(self) -> dict[str, bytes]:
        """Name them."""
        return {
            "token key": self.token,
            "old token key": self.old_token,
            "digest key": self.digest,
            "hook key": self.hook.encode(),
            "admin token": self.admin.encode(),
            "collector's key": self.collector.encode(),
        }


class MarkedWalk:
    """Makes calls with marks in them, and keeps all that comes back."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.address = f"{mark('address')}@example.com"
        self.marks: dict[str, bytes] = {
            "address": self.address.partition("@")[0].encode(),
            "client's address": ipaddress.ip_address(CLIENT_IP).packed,
            "client's address in words": CLIENT_IP.encode(),
        }
        self.tokens: dict[str, bytes] = {}
        self.signup_id = ""
        self.answers: list[bytes] = []

    def make(self) -> None:
        """Make every call, with success and without, and a few that nobody should."""
        token, code = self._start()
        token = self._verify(token, code)
        self._set_password(token)
        self._cancel()
        self._look_up()
        self._misbehave()
        self._without_kratos()

    def reflect(self) -> bytes:
        """Ask reflection for all it knows."""
        request = reflection_pb2.ServerReflectionRequest
        questions = [request(list_services="")] + [
            request(file_containing_symbol=name) for name in SERVICES
        ]
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(self._stack.caller.channel)
        answers = stub.ServerReflectionInfo(iter(questions), timeout=CALL_SECONDS)
        return b"".join(answer.SerializeToString() for answer in answers)

    def _start(self) -> tuple[str, str]:
        name, locale = self._mark("name"), "de-x-marked1"
        self.marks["locale"] = locale.encode()
        wanted = {"email": self.address, "locale": locale, "client_ip": CLIENT_IP}
        started = self._call(pb.StartSignupRequest(**wanted, traits=_struct(name=name)))
        self.signup_id = started.signup.signup_id
        token = started.continuation_token
        for spoiled in (
            {"email": self._mark("malformed address")},
            {"email": self.address, "client_ip": self._mark("malformed ip")},
            {"email": self.address, "locale": self._mark("malformed_locale")},
            {"email": self.address, "request_id": self._mark("malformed id")},
            {"email": self.address, "traits": _struct(name=name * 20)},
            {"email": self.address, "traits": _struct(**{self._mark("trait"): 1})},
            {"email": self.address, "traits": _struct(email=self._mark("second"))},
        ):
            self._call(pb.StartSignupRequest(**spoiled))
        self._call(pb.ResendCodeRequest(continuation_token=token))
        self._call(pb.ResendCodeRequest(continuation_token=self._mark("forged")))
        self._call(pb.GetSignupRequest(continuation_token=token))
        self._call(pb.GetSignupRequest(continuation_token=f"{token[:-1]}!"))
        return token, self._stack.code(self.address, 2)

    def _verify(self, token: str, code: str) -> str:
        (wrong,) = wrong_codes(code, 1)
        self.marks |= {"code": code.encode(), "wrong code": wrong.encode()}
        for one in (wrong, self._mark("malformed code")):
            self._call(pb.VerifyCodeRequest(continuation_token=token, code=one))
        good = pb.VerifyCodeRequest(continuation_token=token, code=code)
        self._call(good)
        return str(self._call(good).continuation_token)

    def _set_password(self, token: str) -> None:
        good, similar = self._mark("password"), similar_to(self.address)
        self.marks["similar password"] = similar.encode()
        controlled = f"{self._mark('controlled')}\0"
        for one in (similar, "tiny#7", controlled, good, good, self._mark("another")):
            self._call(pb.CheckPasswordRequest(continuation_token=token, password=one))
            self._call(pb.SetPasswordRequest(continuation_token=token, password=one))
        # As somebody who wants to know: an account is there by now.
        again = self._call(pb.StartSignupRequest(email=self.address))
        self._call(
            pb.VerifyCodeRequest(
                continuation_token=again.continuation_token,
                code=self._stack.code(self.address, 3),
            )
        )

    def _cancel(self) -> None:
        other = self._call(pb.StartSignupRequest(email=f"{self._mark('other')}@a.test"))
        self._call(pb.CancelSignupRequest(continuation_token=other.continuation_token))
        self._call(pb.CancelSignupRequest(continuation_token=self._mark("no token")))
        self._call(pb.ResendCodeRequest(continuation_token=other.continuation_token))

    def _look_up(self) -> None:
        found = self._call(accounts.GetAccountRequest(email=self.address))
        identity_id = found.account.identity_id
        nobody = f"{self._mark('nobody')}@example.com"
        self._call(accounts.GetAccountRequest(email=nobody))
        self._call(accounts.BatchGetAccountsRequest(identity_ids=[identity_id]))
        spoiled = [identity_id, self._mark("identity")]
        self._call(accounts.BatchGetAccountsRequest(identity_ids=spoiled))

    def _misbehave(self) -> None:
        """Send what is no message, is too large, or goes to the hooks' port."""
        path = f"/{SERVICES[0]}/StartSignup"
        for content in (
            self._mark("garbage").encode(),
            b"\x0a\xff" + self._mark("cut short").encode(),
            self._mark("huge").encode() * 4096,
        ):
            self._send(path, content)
        self._send(f"/{SERVICES[0]}/{self._mark('Method')}", b"")
        url = f"http://{LOOPBACK}:{self._stack.server.hook_port}/kratos"
        for name, key in (("password", self._mark("guess")), ("code", "")):
            body = {"flow_id": self._mark("flow"), "email": self.address}
            headers = {"X-Hook-Key": key, "User-Agent": self._mark("agent")}
            answer = httpx.post(
                f"{url}/{name}", json=body, headers=headers, trust_env=False
            )
            self.answers.append(answer.content)

    def _without_kratos(self) -> None:
        """Have calls fail whose requests to Kratos have an address in their URL."""
        self._stack.kratos.stop()
        self._call(accounts.GetAccountRequest(email=self.address))
        self._call(pb.StartSignupRequest(email=f"{self._mark('late')}@example.com"))

    def _call(self, request: Message) -> Any:
        """Call a request's method; give an empty answer where it was refused."""
        method = request.DESCRIPTOR.name.removesuffix("Request")
        signups = request.DESCRIPTOR.file.name.endswith("signup_service.proto")
        module = pb if signups else accounts
        answer: Any = getattr(module, f"{method}Response")()
        service = SERVICES[0 if signups else 1]
        answer.ParseFromString(
            self._send(f"/{service}/{method}", request.SerializeToString())
        )
        token = getattr(answer, "continuation_token", "")
        if token:
            self.tokens[f"token {len(self.tokens)}"] = token.encode()
        return answer

    def _send(self, path: str, content: bytes) -> bytes:
        """Send bytes to a method; keep whatever comes back, and give the answer."""
        call: Any = self._stack.caller.channel.unary_unary(path)
        metadata = (
            ("traceparent", f"00-{TRACE}-{secrets.token_hex(8)}-01"),
            ("baggage", f"user={self._mark('baggage')}"),
            ("authorization", f"Bearer {self._mark('bearer')}"),
        )
        try:
            answer: bytes = call(content, metadata=metadata, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            refused: Any = error
            trailers = [value for _, value in refused.trailing_metadata() or ()]
            texts = [f"{refused!r} {refused.details()}", *trailers]
            self.answers += [t.encode() if isinstance(t, str) else t for t in texts]
            return b""
        self.answers.append(answer)
        return answer

    def _mark(self, what: str) -> str:
        """Make a mark that is to be looked for, and that metadata can spell."""
        made = mark(what.replace(" ", "."))
        self.marks[f"{what} {len(self.marks)}"] = made.encode()
        return made


def _struct(**fields: Any) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct

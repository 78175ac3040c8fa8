"""A double of SignupService that answers from a script, over a real connection."""

import functools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from grpc_status import rpc_status
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.errors import SignupdError
from signupd.rpc.statuses import DETAILS_KEY, status_of

SERVICE = pb.DESCRIPTOR.services_by_name["SignupService"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer."""

    signup: pb.Signup
    token: str = ""


class ScriptedService:
    """The double. A context manager.

    Args:
        script: The calls to expect, and what to answer: a reply, one of our errors, the
            bytes of a status' details, or a code of gRPC's own.

    Attributes:
        requests: The requests received.
        target: Its address.
    """

    def __init__(
        self, *script: tuple[str, Reply | SignupdError | bytes | grpc.StatusCode]
    ) -> None:
        self.requests: list[Any] = []
        self.target = ""
        self._script = deque(script)
        self._server = grpc.server(ThreadPoolExecutor(1))
        handlers = {name: self._handler(name) for name in SERVICE.methods_by_name}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)]
        )

    def __enter__(self) -> Self:
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    @property
    def left(self) -> list[str]:
        """The calls that are still expected."""
        return [method for method, _ in self._script]

    def _handler(self, method: str) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(self._play, method),
            request_deserializer=getattr(pb, f"{method}Request").FromString,
            response_serializer=getattr(pb, f"{method}Response").SerializeToString,
        )

    def _play(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if self.left[:1] != [method]:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"unexpected {method}")
        _, answer = self._script.popleft()
        if isinstance(answer, Reply):
            response = getattr(pb, f"{method}Response")
            return response(continuation_token=answer.token, signup=answer.signup)
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "over")
        if isinstance(answer, bytes):
            context.set_trailing_metadata(((DETAILS_KEY, answer),))
            context.abort(grpc.StatusCode.INTERNAL, "over")
        return context.abort_with_status(rpc_status.to_status(status_of(answer)))

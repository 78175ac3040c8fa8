"""The floor: the least that an RPC costs in Python, with the service's library.

Run as a script it serves on the loopback port it is given, on one of LOOPS. Its one
method takes any bytes and answers as many as its name says: `/bench.Floor/175`.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from devstack.ports import LOOPBACK

SERVICE = "/bench.Floor/"
ASYNCIO, UVLOOP = "asyncio", "uvloop"
LOOPS = {ASYNCIO: asyncio.run, UVLOOP: uvloop.run}
# The service's own.
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 64 * 1024),
)


class Floor(grpc.GenericRpcHandler):
    """Answers with zeroes."""

    def __init__(self) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Give the handler of one size."""
        method = handler_call_details.method
        if method not in self._handlers:
            self._handlers[method] = self._handler(int(method.removeprefix(SERVICE)))
        return self._handlers[method]

    def _handler(self, size: int) -> grpc.RpcMethodHandler[bytes, bytes]:
        answer = bytes(size)

        async def behaviour(_request: bytes, _context: object) -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(behaviour)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Floor(),))
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    LOOPS[sys.argv[2]](serve(int(sys.argv[1])))

"""The floor: the least that an RPC costs in Python, with the service's libraries.

Run as a script it serves on the loopback port it is given. It answers every request
with as many bytes as an answer of the service has.
"""

from __future__ import annotations

import sys

import grpc
import uvloop

METHOD = "/bench.Floor/Echo"
# A message with a token of 197 zeroes.
ANSWER = b"\x0a\xc5\x01" + bytes(197)
# The service's own.
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 64 * 1024),
)


class Floor(grpc.GenericRpcHandler):
    """Answers every request with the same bytes."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Give the one handler, whatever the method."""
        del handler_call_details

        async def behaviour(_request: bytes, _context: object) -> bytes:
            return ANSWER

        return grpc.unary_unary_rpc_method_handler(behaviour)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Floor(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

"""The floor: a bare grpc.aio server that answers 200 bytes and does nothing else.

It is the least that an RPC costs in Python. Run as a script it serves on the port that
it is given.
"""

import sys
from pathlib import Path

import grpc
import uvloop
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.config import inherited
from devstack.ports import LOOPBACK, free_ports, is_served
from devstack.process import Process

ROOT = Path(__file__).parents[1]
ANSWER = pb.GetSignupResponse(continuation_token="x" * 197).SerializeToString()


class Echo(Process):
    """The server's process."""

    def __init__(self) -> None:
        super().__init__("echo")
        self._port = free_ports(1)[0]
        self.target = f"{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        command = [sys.executable, "-m", "bench.echo", str(self._port)]
        environment = {**inherited(), "PYTHONPATH": str(ROOT)}
        self._serve(command, environment, lambda: is_served(self._port))


class _Handler(grpc.GenericRpcHandler):
    def service(self, _: object) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Give the one handler, whatever the method."""

        async def answer(_request: bytes, _context: object) -> bytes:
            return ANSWER

        return grpc.unary_unary_rpc_method_handler(answer)


async def _serve(port: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(),))
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))

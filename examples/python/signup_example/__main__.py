"""The command: `python -m signup_example [--async] TARGET ADDRESS`.

It writes questions to standard error, reads one answer a line from standard input, and
writes the id of the new identity to standard output.
"""

import argparse
import asyncio
import sys

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signup_example import asynchronous, synchronous
from signup_example.channel import channel_options
from signup_example.failure import Failure


def main() -> int:
    """Make one sign-up; return the exit code."""
    parser = argparse.ArgumentParser(prog="signup_example")
    parser.add_argument("--async", action="store_true", dest="is_async")
    parser.add_argument("target", help="where signupd serves, such as 127.0.0.1:50051")
    parser.add_argument("address", help="the address to sign up")
    given = parser.parse_args()
    try:
        if given.is_async:
            signup = asyncio.run(_awaited(given.target, given.address))
        else:
            signup = _waited(given.target, given.address)
    except grpc.RpcError as error:
        sys.exit(f"No account: {Failure.of(error).reason or 'the service is away'}.")
    if signup.state != pb.SIGNUP_STATE_COMPLETED:
        sys.exit(f"{signup.masked_email} has an account already.")
    print(signup.identity_id)
    return 0


def _waited(target: str, address: str) -> pb.Signup:
    with grpc.insecure_channel(target, channel_options()) as channel:
        signups = SignupServiceStub(channel)
        return synchronous.sign_up(signups, address, _ask)


async def _awaited(target: str, address: str) -> pb.Signup:
    async with grpc.aio.insecure_channel(target, channel_options()) as channel:
        signups = SignupServiceStub(channel)
        return await asynchronous.sign_up(signups, address, _ask)


def _ask(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit("No answer.")
    return answer.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())

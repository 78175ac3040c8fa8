"""The load: prepared requests, sent by a program in Go, and how they fared."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.programs import ProgramFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# As go/load/main.go reads it: each message after its length.
LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Sent:
    """How a load fared; lists are in the order of the requests.

    Attributes:
        seconds: From the first request to the last answer.
        micros: Each call's latency, in microseconds.
        answers: The messages; empty where a call failed.
    """

    seconds: float
    micros: list[int]
    answers: list[bytes]


@dataclass(frozen=True, slots=True)
class Way:
    """How requests are sent.

    Attributes:
        concurrency: Calls under way at the same time.
        connections: Connections to each server.
        rate: Calls a second; 0 sends as fast as answers come. A call that has to wait
            for its turn has been waiting from the moment it was due.
        code: The gRPC status that all are to be answered with, in grpc-go's spelling.
    """

    concurrency: int = 16
    connections: int = 4
    rate: float = 0.0
    code: str = "OK"


class Load:
    """Sends load.

    Args:
        program: The built one.
    """

    def __init__(self, program: Path) -> None:
        self._program = program

    def send(
        self,
        targets: Sequence[str],
        method: str,
        requests: Sequence[bytes],
        way: Way,
    ) -> Sent:
        """Send each request once.

        Args:
            targets: `HOST:PORT` of each server; they take turns.
            method: `/PACKAGE.SERVICE/METHOD`.
            requests: Serialised messages.
            way: How they are sent.

        Raises:
            ProgramFailedError: A call was answered otherwise.
        """
        with tempfile.TemporaryDirectory() as directory:
            given, got = Path(directory, "requests"), Path(directory, "answers")
            given.write_bytes(b"".join(_framed(requests)))
            command = [
                str(self._program),
                f"-targets={','.join(targets)}",
                f"-method={method}",
                f"-requests={given}",
                f"-answers={got}",
                f"-concurrency={way.concurrency}",
                f"-connections={way.connections}",
                f"-rate={way.rate}",
            ]
            report = json.loads(_output(command))
            if report["codes"] != {way.code: len(requests)}:
                raise ProgramFailedError(f"{method} was answered {report['codes']}")
            answers = list(_unframed(got.read_bytes()))
        return Sent(report["seconds"], report["micros"], answers)


def _output(command: list[str]) -> bytes:
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, check=False
    )
    if done.returncode:
        raise ProgramFailedError(done.stderr.decode())
    return done.stdout


def _framed(messages: Iterable[bytes]) -> Iterator[bytes]:
    for message in messages:
        yield LENGTH.pack(len(message))
        yield message


def _unframed(content: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(content):
        (size,) = LENGTH.unpack_from(content, place)
        place += LENGTH.size
        yield content[place : place + size]
        place += size

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
        micros: Each call's latency, in microseconds.
        answers: The messages.
    """

    micros: list[int]
    answers: list[bytes]


class Load:
    """Sends load, 16 calls at a time over 4 connections.

    Args:
        program: The built one.
    """

    def __init__(self, program: Path) -> None:
        self._program = program

    def send(
        self, target: str, method: str, requests: Sequence[bytes], rate: float = 0.0
    ) -> Sent:
        """Send each request once.

        Args:
            target: The server's `HOST:PORT`.
            method: `/PACKAGE.SERVICE/METHOD`.
            requests: Serialised messages.
            rate: Calls a second; 0 sends as fast as answers come. The latency of a
                call counts from the moment it is due.

        Raises:
            ProgramFailedError: A call failed.
        """
        with tempfile.TemporaryDirectory() as directory:
            given, got = Path(directory, "requests"), Path(directory, "answers")
            given.write_bytes(b"".join(_framed(requests)))
            command = [
                str(self._program),
                f"-target={target}",
                f"-method={method}",
                f"-requests={given}",
                f"-answers={got}",
                f"-rate={rate}",
            ]
            report = json.loads(_output(command))
            if report["codes"] != {"OK": len(requests)}:
                raise ProgramFailedError(f"{method} was answered {report['codes']}")
            answers = list(_unframed(got.read_bytes()))
        return Sent(report["micros"], answers)


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

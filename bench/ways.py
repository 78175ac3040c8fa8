"""The two ways to an account: direct calls to Kratos, and signupd's RPCs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.people import PASSWORD
from bench.programs import ProgramFailedError
from devstack.mailbox import MailMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.site import Served, Site
    from devstack.kratos import Kratos
    from devstack.mailbox import Mailbox

# The last mail comes when the machine gets round to it.
MAIL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Path:
    """A way to an account, which go/signups knows how to go.

    Attributes:
        arguments: What that program is told.
        pids: The processes that it uses, by what they are.
    """

    arguments: list[str]
    pids: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Walked:
    """How people fared; lists are in their order, microseconds they waited at a step.

    Attributes:
        seconds: From the first call to the last answer.
        start: At StartSignup.
        verify: At VerifyCode.
        finish: At SetPassword.
    """

    seconds: float
    start: list[int]
    verify: list[int]
    finish: list[int]


def by_hand(site: Site, kratos: Kratos) -> Path:
    """Go by direct calls to a Kratos, which asks go/hooks."""
    urls = [f"-public={kratos.public_url}", f"-admin={kratos.admin_url}"]
    return Path(urls, {"service": [], **_behind(site, kratos)})


def through(site: Site, kratos: Kratos, served: Served) -> Path:
    """Go through the one signupd that a Kratos asks."""
    pids = {"service": [served.pid], **_behind(site, kratos)}
    return Path([f"-signupd={served.target}"], pids)


def walk(
    site: Site,
    path: Path,
    mailbox: Mailbox,
    emails: Sequence[str],
    *arguments: str,
) -> Walked:
    """Sign people up.

    Args:
        site: Where.
        path: The way they go.
        mailbox: Where their codes come.
        emails: Their addresses.
        arguments: Further ones, of go/signups.

    Raises:
        ProgramFailedError: Somebody did not arrive.
    """
    command = [str(site.program("signups")), *path.arguments, *arguments]
    with subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        try:
            _tell(program, {"emails": emails, "password": PASSWORD})
            for email in emails:
                mail = mailbox.wait_for(email, timeout_seconds=MAIL_SECONDS)
                _tell(program, {"email": email, "code": mail.code})
        except BrokenPipeError:
            pass  # it has ended, and says why
        except MailMissingError:
            if program.poll() is None:
                program.kill()
                raise
        except BaseException:
            program.kill()
            raise
        report, complaint = program.communicate()
    if program.returncode:
        raise ProgramFailedError(complaint.decode())
    return Walked(**json.loads(report))


def _tell(program: subprocess.Popen[bytes], what: dict[str, Any]) -> None:
    if program.stdin is None:
        raise AssertionError("it was made with a pipe")
    program.stdin.write(json.dumps(what).encode() + b"\n")
    program.stdin.flush()


def _behind(site: Site, kratos: Kratos) -> dict[str, list[int]]:
    return {"kratos": [kratos.pid or 0], "database": [site.postgres.pid or 0]}

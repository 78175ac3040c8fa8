"""A mail server that keeps everything."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.ports import LOOPBACK, free_ports
from devstack.waiting import WAIT_SECONDS

# A line of its own with nothing but digits.
CODE = re.compile(r"^[ \t]*(\d{4,10})[ \t]*$", re.MULTILINE)


class MailMissingError(Exception):
    """The mail that somebody waited for did not come."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, as its reader sees it.

    Attributes:
        to: The recipient, as the envelope has it.
        subject: Decoded.
        text: The plain part.
        html: The HTML part; empty when there is none.
        code: The digits that stand on a line of their own in the plain part; empty
            when there are none.
    """

    to: str
    subject: str
    text: str
    html: str
    code: str


class Mailbox:
    """Every mailbox of the world, on a free loopback port.

    A context manager; it works from `__enter__` to `__exit__`.

    Args:
        directory: Where each mail is written too, as `0001.eml` and so on.
        on_mail: Called with each mail, in the server's thread.
    """

    def __init__(
        self,
        directory: Path | None = None,
        on_mail: Callable[[Mail], None] | None = None,
    ) -> None:
        self._directory = directory
        self._on_mail = on_mail
        self._mails: defaultdict[str, list[Mail]] = defaultdict(list)
        self._count = 0
        self._arrival = threading.Condition()
        (self._port,) = free_ports(1)
        self._controller = Controller(self, hostname=LOOPBACK, port=self._port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def uri(self) -> str:
        """The address of this server, in the form that Kratos wants."""
        return f"smtp://{LOOPBACK}:{self._port}/?disable_starttls=true"

    def mails_to(self, address: str) -> list[Mail]:
        """Give the mails to one address, in any case, oldest first."""
        with self._arrival:
            return [*self._mails[address.lower()]]

    def wait_for(
        self, address: str, count: int = 1, timeout_seconds: float = WAIT_SECONDS
    ) -> Mail:
        """Wait until an address has got so many mails.

        Args:
            address: In any case.
            count: How many in all, those of before included.
            timeout_seconds: How long to wait.

        Returns:
            The last of these.

        Raises:
            MailMissingError: They did not come in time.
        """
        with self._arrival:
            self._arrival.wait_for(
                lambda: len(self.mails_to(address)) >= count, timeout_seconds
            )
            mails = self.mails_to(address)
        if len(mails) < count:
            raise MailMissingError(
                f"{len(mails)} of {count} mails in {timeout_seconds} s"
            )
        return mails[count - 1]

    async def handle_DATA(  # noqa: D102 - aiosmtpd's name for it
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=modern)
        with self._arrival:
            for recipient in envelope.rcpt_tos:
                mail = _mail(recipient, message)
                self._mails[recipient.lower()].append(mail)
                self._count += 1
                self._keep(content)
                if self._on_mail is not None:
                    self._on_mail(mail)
            self._arrival.notify_all()
        return "250 OK"

    def _keep(self, content: bytes) -> None:
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{self._count:04}.eml"
            path.write_bytes(content)


def _mail(recipient: str, message: EmailMessage) -> Mail:
    text = _part(message, "plain")
    code = CODE.search(text)
    return Mail(
        to=recipient,
        subject=str(message["subject"] or ""),
        text=text,
        html=_part(message, "html"),
        code=code.group(1) if code else "",
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")

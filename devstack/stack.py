"""The stack: a mailbox, a Kratos and a signupd, up together."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from devstack.binary import KratosMissingError, kratos_binary
from devstack.config import KratosConfig
from devstack.foreign import ForeignKratos, ForeignKratosError
from devstack.kratos import Kratos
from devstack.mailbox import Mailbox, MailMissingError
from devstack.page import Page
from devstack.ports import LOOPBACK, Ports
from devstack.process import ServerFailedError
from devstack.server import Signupd

# What can go wrong through no fault of ours; the text of each is for people.
TROUBLE = (
    KratosMissingError,
    ServerFailedError,
    ForeignKratosError,
    MailMissingError,
    httpx.HTTPError,
    OSError,
)

HOOK_PORT_TAKEN = """\
{listen} is in use, perhaps by another signupd. Kratos' hooks come in there.
Stop what listens there, or point the hooks of your Kratos elsewhere and name that
place in SIGNUPD_HOOK_LISTEN."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What is up.

    Attributes:
        signupd: The server.
        kratos: None where somebody else runs it.
        foreign: None where it is ours.
    """

    signupd: Signupd
    kratos: Kratos | None = None
    foreign: ForeignKratos | None = None

    @property
    def public_url(self) -> str:
        """Kratos' public API."""
        return self.signupd.settings["KRATOS_PUBLIC_URL"]

    @property
    def admin_url(self) -> str:
        """Kratos' admin API."""
        return self.signupd.settings["KRATOS_ADMIN_URL"]


@contextmanager
def open_stack(
    page: Page, directory: Path, ports: Ports, mailbox: Mailbox
) -> Iterator[Stack]:
    """Start everything, and stop it in the opposite order.

    Args:
        page: Told step by step.
        directory: Databases, logs and secrets; what is there already is used.
        ports: Where to listen.
        mailbox: Gets Kratos' mails. Stays closed where the environment names a Kratos.

    Yields:
        The running stack.

    Raises:
        TROUBLE: One of these.
    """
    foreign = ForeignKratos.named(os.environ)
    with ExitStack() as resources:
        if foreign is not None:
            yield _in_front_of(foreign, page, directory, ports, resources)
        else:
            resources.enter_context(mailbox)
            yield _from_nothing(page, directory, ports, mailbox.uri, resources)


def _from_nothing(
    page: Page, directory: Path, ports: Ports, smtp_uri: str, resources: ExitStack
) -> Stack:
    begun = time.monotonic()
    with page.building() as on_progress:
        binary = kratos_binary(on_progress)
    page.tick(f"Kratos' program: {_short(binary)}", begun)
    config = KratosConfig(
        hook_url=f"http://{LOOPBACK}:{ports.hook}",
        smtp_uri=smtp_uri,
        ports=(ports.public, ports.admin),
    )
    kratos = Kratos(binary, config, made(directory / "kratos"))
    resources.callback(kratos.close)
    with page.step("Starting Kratos on SQLite") as done:
        kratos.start()
        done(
            f"Kratos {kratos.version} on SQLite, its public API at {kratos.public_url}"
        )
    signupd = Signupd(
        kratos.public_url,
        kratos.admin_url,
        hook_port=ports.hook,
        port=ports.rpc,
        directory=made(directory / "signupd"),
    )
    _start(signupd, page, resources)
    return Stack(signupd, kratos=kratos)


def _in_front_of(
    foreign: ForeignKratos,
    page: Page,
    directory: Path,
    ports: Ports,
    resources: ExitStack,
) -> Stack:
    with page.step("Looking for your Kratos") as done:
        done(f"Your Kratos {foreign.version()}, its public API at {foreign.public_url}")
    signupd = Signupd(
        foreign.public_url,
        foreign.admin_url,
        port=ports.rpc,
        directory=made(directory / "signupd"),
        settings=foreign.settings,
    )
    try:
        _start(signupd, page, resources)
    except ServerFailedError as error:
        if "address already in use" not in str(error):
            raise
        taken = HOOK_PORT_TAKEN.format(listen=foreign.settings["HOOK_LISTEN"])
        raise ForeignKratosError(taken) from error
    return Stack(signupd, foreign=foreign)


def _start(signupd: Signupd, page: Page, resources: ExitStack) -> None:
    resources.callback(signupd.close)
    with page.step("Starting signupd") as done:
        signupd.start()
        done(f"signupd serves on {signupd.target}, as process {signupd.pid}")


def made(directory: Path) -> Path:
    """Make a private directory, unless it is there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _short(path: Path) -> str:
    """Write the home directory as people do."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)

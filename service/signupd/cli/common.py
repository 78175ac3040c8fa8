"""What all commands share: the settings, how they run, how they end."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from signupd.errors import SignupdError
from signupd.settings import Settings, SettingsInvalidError, load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

EXIT_TROUBLE: Final = 1
EXIT_SETTINGS: Final = 2

T = TypeVar("T")

Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Traits = Annotated[
    str, typer.Option("--traits", help="Further traits, as a JSON object.")
]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", help="Certificates to trust instead of the system's, in PEM."),
]
Cert = Annotated[
    Path | None, typer.Option("--cert", help="Your certificate, in PEM, with --key.")
]
Key = Annotated[Path | None, typer.Option("--key", help="Its private key, in PEM.")]


def settings_of(config: Path | None) -> Settings:
    """Read the settings.

    Raises:
        typer.Exit: They cannot be used; each mistake has been printed.
    """
    try:
        return load(config)
    except SettingsInvalidError as error:
        complain(error.mistakes)
        raise typer.Exit(EXIT_SETTINGS) from None


def json_object(text: str) -> dict[str, Any]:
    """Read what is given as ``--traits``.

    Raises:
        typer.BadParameter: It is no JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("is not a JSON object", param_hint="--traits")
    return value


def run(
    job: Callable[[], Coroutine[Any, Any, T]],
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a command's work to its end.

    Args:
        job: The work.
        new_loop: Makes the event loop, where asyncio's own is not wanted.

    Raises:
        typer.Exit: It could not be done; why has been said, in a line.
        KeyboardInterrupt: It was interrupted, and has cleaned up.
    """
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_interruptible(job))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        raise  # click ends in silence when the reader has seen enough
    except (SignupdError, OSError) as error:
        complain([str(error)])
        raise typer.Exit(EXIT_TROUBLE) from None


async def _interruptible(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Have Ctrl-C cancel a job, at once.

    asyncio.run would hear of a signal that comes just before it waits for events only
    when the next one comes, and while a person is asked there may be none.
    """
    if threading.current_thread() is not threading.main_thread():
        return await job()  # no signal comes here
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # the next one breaks off
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await job()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def complain(lines: Iterable[str]) -> None:
    """Say on standard error what is wrong."""
    for line in lines:
        typer.echo(f"signupd: {line}", err=True)

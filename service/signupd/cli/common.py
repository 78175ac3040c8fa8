"""What the commands share: options, reading the settings, running and ending."""

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
    Path | None, typer.Option("--config", help="A TOML file with settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Traits = Annotated[
    str, typer.Option("--traits", help="Further traits as a JSON object.")
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca", help="Trust these certificates (PEM) instead of the system's."
    ),
]
Cert = Annotated[
    Path | None, typer.Option("--cert", help="Your certificate (PEM). Needs --key.")
]
Key = Annotated[
    Path | None, typer.Option("--key", help="The private key (PEM) of --cert.")
]


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
    """Parse the value of ``--traits``.

    Raises:
        typer.BadParameter: It is not a JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("is not a JSON object", param_hint="--traits")
    return value


def run(
    work: Callable[[], Coroutine[Any, Any, T]],
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a command's work to its end.

    Args:
        work: The work.
        new_loop: Makes the event loop; asyncio's own if None.

    Raises:
        typer.Exit: The work failed; the reason was printed in one line.
        KeyboardInterrupt: It was interrupted and has cleaned up.
    """
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_interruptible(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        raise  # click exits silently when the reader of a pipe is gone
    except (SignupdError, OSError) as error:
        complain([str(error)])
        raise typer.Exit(EXIT_TROUBLE) from None


async def _interruptible(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Cancel the work at once on Ctrl-C.

    asyncio.run may notice a signal only at the next event, and there may be none while
    a command waits for input.
    """
    if threading.current_thread() is not threading.main_thread():
        return await work()  # signals reach the main thread only
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C ends the process
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await work()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def complain(lines: Iterable[str]) -> None:
    """Print what is wrong on standard error."""
    for line in lines:
        typer.echo(f"signupd: {line}", err=True)

"""The command: `python -m examples.web`. `examples/README.md` names its settings."""

import contextlib
import os
import socket

import uvicorn

from .app import make_app


def main() -> None:
    """Print the address once the port listens, and serve until told to stop."""
    config = uvicorn.Config(
        make_app(os.environ),
        log_level="warning",
        # Anybody can write an address into X-Forwarded-For: only these are believed.
        proxy_headers="TRUSTED_PROXIES" in os.environ,
        forwarded_allow_ips=os.environ.get("TRUSTED_PROXIES"),
        timeout_graceful_shutdown=5,
    )
    host, _, port = os.environ.get("LISTEN", ":8080").rpartition(":")
    host = host or "127.0.0.1"  # not every address of this machine
    with socket.create_server((host, int(port))) as listener:
        print(f"http://{host}:{listener.getsockname()[1]}/", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""The command: `python -m examples.web`. The environment has its settings."""

import contextlib
import os
import secrets
import socket

import uvicorn

from .app import make_app
from .settings import Settings


def main() -> None:
    """Serve until told to stop; print the address once the port listens."""
    env = os.environ.get
    settings = Settings(
        signup_target=env("SIGNUP_TARGET", "127.0.0.1:50051"),
        kratos_public_url=env("KRATOS_PUBLIC_URL", "http://127.0.0.1:4433"),
        mailbox_url=env("MAILBOX_URL", ""),
        recovery_url=env("RECOVERY_URL", ""),
        secure=env("PUBLIC_URL", "").startswith("https:"),
        # Without one, a restart forgets the sign-ups under way. Replicas share one.
        session_secret=env("SESSION_SECRET", "") or secrets.token_urlsafe(32),
    )
    proxies = env("TRUSTED_PROXIES", "")
    config = uvicorn.Config(
        make_app(settings),
        log_level="warning",
        # The visitor's address and scheme are the connection's own, unless it comes
        # from one of these: everybody else can write what he likes into a header.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=5,
    )
    host, _, port = env("LISTEN", "127.0.0.1:8080").rpartition(":")
    with socket.create_server((host, int(port))) as listener:
        print(f"http://{host}:{listener.getsockname()[1]}/", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

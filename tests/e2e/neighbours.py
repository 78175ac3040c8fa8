"""An operator's own hooks, beside ours, under `after.password`."""

import base64
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from devstack.ports import LOOPBACK
from tests.e2e.broken import after_registration

BODY = b"function(ctx) { payload: ctx.flow.transient_payload }"


REFUSED = {
    "messages": [
        {
            "instance_ptr": "#/traits/email",
            "messages": [{"id": 1234, "text": "No such domain", "type": "error"}],
        }
    ]
}


class OperatorHooks:
    """Three hooks: `early` and `late` around ours, and `stored` after the store.

    A context manager.

    Attributes:
        wanted: What `early` and `late` want of the identity.
        asked: What each hook was last sent.
        refusing: The hooks that refuse each registration.
        on_stored: Is called while Kratos waits for the hook `stored`.
    """

    def __init__(self) -> None:
        self.wanted: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, Any] = {}
        self.refusing: set[str] = set()
        self.on_stored: Callable[[], object] = lambda: None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        operator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = self.path.strip("/")
                length = int(self.headers["Content-Length"])
                operator.asked[name] = json.loads(self.rfile.read(length))
                if name == "stored":
                    operator.on_stored()
                refuses = name in operator.refusing
                wanted = {"identity": operator.wanted.get(name, {})}
                said = json.dumps(REFUSED if refuses else wanted).encode()
                self.send_response(403 if refuses else 200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._resources.callback(self._server.server_close)
        self._resources.callback(self._server.shutdown)
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def mutate(self, config: dict[str, Any]) -> None:
        """Put them into Kratos' configuration."""
        password = after_registration(config)["password"]
        early, late, stored = (self._hook(one) for one in ("early", "late", "stored"))
        del stored["config"]["response"]
        password["hooks"] = [early, *password["hooks"], late, stored]

    def mutate_code(self, config: dict[str, Any]) -> None:
        """Put one before our code hook."""
        after_registration(config)["code"]["hooks"].insert(0, self._hook("code"))

    def forget(self) -> None:
        """Want nothing, and forget who asked."""
        self.wanted.clear()
        self.asked.clear()
        self.refusing.clear()
        self.on_stored = lambda: None

    def _hook(self, name: str) -> dict[str, Any]:
        config = {
            "url": f"http://{LOOPBACK}:{self._server.server_address[1]}/{name}",
            "method": "POST",
            "body": f"base64://{base64.b64encode(BODY).decode()}",
            "response": {"parse": True},
        }
        return {"hook": "web_hook", "config": config}

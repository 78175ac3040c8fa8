"""The mailbox as a page for a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jinja2 import Template

from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK

TEMPLATE = Path(__file__).with_name("mailbox.html")
# A mailbox that is kept up for days would make a page that no browser refreshes.
SHOWN = 50


@contextmanager
def open_inbox(mailbox: Mailbox, port: int) -> Iterator[str]:
    """Serve the mails on a loopback port.

    Args:
        mailbox: Whose mails to show. It may be closed.
        port: Where to listen.

    Yields:
        The URL of the page.

    Raises:
        OSError: The port is taken; the text names it.
    """
    page = Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)

    handler = _handler(page, mailbox)
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as error:
        raise OSError(
            f"The mailbox page cannot listen on port {port}: {error}"
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{port}/"
        finally:
            server.shutdown()
            thread.join()


def _handler(page: Template, mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    """Make what answers a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            mails = mailbox.mails()
            body = page.render(mails=mails[-SHOWN:], count=len(mails)).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the page asks twice a second."""

    return Handler

"""A browser without JavaScript, in front of the web example."""

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx

from examples.web.app import make_app
from tests.integration.world import PASSWORD

KRATOS = "http://kratos"


class Browser(httpx.AsyncClient):
    """The browser. Follows redirects.

    Attributes:
        pages: All answers, redirects included.
        kratos: What it sent to Kratos to sign in.
    """

    pages: list[httpx.Response]
    kratos: list[dict[str, Any]]

    @classmethod
    @asynccontextmanager
    async def at(cls, target: str, **environment: str) -> AsyncIterator[Self]:
        """Serve the example, and open it."""
        app = make_app({"SIGNUP_TARGET": target, **environment})
        scheme = "https" if "PUBLIC_URL" in environment else "http"
        async with (
            app.router.lifespan_context(app),
            cls(
                transport=httpx.ASGITransport(app, client=("192.0.2.7", 1234)),
                base_url=f"{scheme}://web",
                follow_redirects=True,
            ) as browser,
        ):
            browser.kratos, browser.pages = [], []
            app.state.kratos = httpx.AsyncClient(
                transport=httpx.MockTransport(browser.play_kratos), base_url=KRATOS
            )
            await browser.get("/")
            yield browser

    async def request(self, *args: Any, **options: Any) -> httpx.Response:
        """Send a request, and keep what came."""
        answer = await super().request(*args, **options)
        self.pages += [*answer.history, answer]
        return answer

    def play_kratos(self, request: httpx.Request) -> httpx.Response:
        """Let one password in."""
        if request.method == "GET":
            return httpx.Response(200, json={"id": "flow"})
        self.kratos.append(json.loads(request.content))
        good = self.kratos[-1].get("password") == PASSWORD
        return httpx.Response(200 if good else 400, json={"session_token": "secret"})

    @property
    def screen(self) -> str:
        """Name the screen that it shows."""
        return self._find(r'data-screen="(\w+)"')

    @property
    def notice(self) -> str:
        """Read the message on the page; empty if there is none."""
        return self._find(r'id="notice".*?>(.*?)</div>')

    @property
    def hidden(self) -> dict[str, str]:
        """Read the hidden fields of the form."""
        fields = r'type="hidden" name="(\w+)" value="(.*?)"'
        return dict(re.findall(fields, self.pages[-1].text))

    @property
    def session(self) -> dict[str, Any]:
        """Open the cookie."""
        (cookie,) = self.cookies.jar
        signed = (cookie.value or "").partition(".")[0]
        session: dict[str, Any] = json.loads(base64.b64decode(signed))
        return session

    async def press(self, name: str, **typed: str) -> httpx.Response:
        """Send the form that it shows."""
        return await self.post(f"/{name}", data=self.hidden | typed)

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.pages[-1].text, re.DOTALL)
        return found.group(1) if found else ""

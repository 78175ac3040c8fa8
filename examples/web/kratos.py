"""Signs people in at Kratos, by its API flows.

Kratos' browser flows need a login page that Kratos redirects to. The API flow needs
none, and is safe here: only this server speaks to Kratos, after its own CSRF check, and
the session token of Kratos stays in the HttpOnly cookie.
"""

import httpx


class Kratos(httpx.AsyncClient):
    """Kratos' public API. A failed call is an httpx.HTTPError."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=10.0, trust_env=False)

    async def sign_in(self, email: str, password: str) -> str:
        """Give the token of a new session; empty if Kratos refuses the password."""
        flow = (await self.get("/self-service/login/api")).raise_for_status().json()
        body = {"method": "password", "identifier": email, "password": password}
        url = f"/self-service/login?flow={flow['id']}"
        answer = await self.post(url, json=body)
        if answer.status_code in {400, 401}:
            return ""
        return str(answer.raise_for_status().json()["session_token"])

    async def is_signed_in(self, token: str) -> bool:
        """Ask whether a session is alive."""
        headers = {"X-Session-Token": token}
        answer = await self.get("/sessions/whoami", headers=headers)
        return answer.status_code != httpx.codes.UNAUTHORIZED

    async def sign_out(self, token: str) -> None:
        """End a session."""
        body = {"session_token": token}
        await self.request("DELETE", "/self-service/logout/api", json=body)

"""Signs people in at Kratos, by its API flow.

It needs no login page that Kratos redirects to. It is safe here: only this server calls
Kratos, after its own CSRF check, and the session token stays in the HttpOnly cookie.
"""

import httpx


async def sign_in(http: httpx.AsyncClient, email: str, password: str) -> str:
    """Give the token of a new session; empty if Kratos refuses the password."""
    flow = (await http.get("/self-service/login/api")).raise_for_status().json()
    body = {"method": "password", "identifier": email, "password": password}
    answer = await http.post(f"/self-service/login?flow={flow['id']}", json=body)
    if answer.status_code in {400, 401}:
        return ""
    return str(answer.raise_for_status().json()["session_token"])


async def sign_out(http: httpx.AsyncClient, token: str) -> None:
    """End a session."""
    body = {"session_token": token}
    await http.request("DELETE", "/self-service/logout/api", json=body)

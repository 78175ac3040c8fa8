"""The names of the calls to Kratos, where their callers gave none."""

from __future__ import annotations

import uuid

import pytest
from signupd.kratos.calls import Call, call_of

ID = uuid.UUID("5e3f6a1c-8f0e-4c0f-9f3b-2d8f0a1b2c3d")
ADDRESS = "ann%40example.com"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"/admin/identities?credentials_identifier={ADDRESS}", Call.ACCOUNTS),
        ("GET", f"/admin/identities/{ID}", Call.ACCOUNTS),
        ("DELETE", f"/admin/identities/{ID}", Call.DELETE),
        ("DELETE", f"/admin/identities/{ID}/sessions", Call.SESSIONS),
        ("GET", f"/admin/identities/{ID}/sessions?active=true", Call.SESSIONS),
        ("GET", f"/admin/courier/messages?recipient={ADDRESS}", Call.COURIER),
        ("GET", "/admin/version", Call.VERSION),
        ("GET", "/admin/health/ready", Call.HEALTH),
        ("GET", "/schemas/some-operator-s-own", Call.SCHEMAS),
        ("GET", f"/self-service/registration/flows?id={ID}", Call.FLOW),
        ("POST", f"/self-service/registration?flow={ID}", Call.OTHER),
        ("GET", f"/{ADDRESS}/{ID}", Call.OTHER),
        ("GET", "", Call.OTHER),
    ],
)
def test_named_by_the_path(method: str, path: str, expected: Call) -> None:
    """What a path is about names the call, in front of whatever Kratos lies."""
    assert expected is call_of(method, path)
    assert expected is call_of(method, f"http://127.0.0.1:4434{path}")
    assert expected is call_of(method, f"https://example.com/kratos/{path[1:]}")

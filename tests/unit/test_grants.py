"""CALLERS: what it may contain, and what it means."""

import json
from typing import Any

import pytest
from signupd.notation import METHODS, read_grants

NO_OBJECT = "is not a JSON object of names and lists, such as "
NO_OBJECT += '{"front.example": ["SignupService"]}'
NO_NAME = "is not the full DNS name or URI of a certificate"
NO_LIST = "has no list of services and methods"
NO_METHOD = "is not a known service or method"

MISTAKES: list[tuple[Any, str]] = [
    ("hunter2", NO_OBJECT),
    ("{}", NO_OBJECT),
    ('["web.example"]', NO_OBJECT),
    ('{"web.example": ["SignupService"]', NO_OBJECT),
    ("[" * 100_000, NO_OBJECT),
    (7, NO_OBJECT),
    (
        '{"web.example": ["SignupService"], "web.example": ["AccountService"]}',
        "has a name twice",
    ),
    ({"CN=hunter2": ["SignupService"]}, f"name 1 {NO_NAME}"),
    ({"web.example": "SignupService"}, f"name 1 {NO_LIST}"),
    ({"web.example": {"SignupService": True}}, f"name 1 {NO_LIST}"),
    *(
        ({"web.example": [entry]}, f"name 1, entry 1 {NO_METHOD}")
        for entry in (
            *("hunter2", "*", "SignupService/", "SignupService/GetAccount"),
            *("kratos_signup.v1.SignupService", ["SignupService"]),
        )
    ),
    (
        {"x y": ["signupservice"], "web.example": []},
        f"name 1 {NO_NAME}; name 1, entry 1 {NO_METHOD}; name 2 {NO_LIST}",
    ),
]


def test_grants() -> None:
    """A service stands for all its methods; entries add up."""
    given = {
        "spiffe://example.org/web": ["SignupService"],
        "account.example": ["AccountService/GetAccount", "SignupService/GetSignup"],
    }
    expected = {
        "spiffe://example.org/web": {
            f"SignupService/{name}" for name in METHODS["SignupService"]
        },
        "account.example": {"AccountService/GetAccount", "SignupService/GetSignup"},
    }

    assert expected == read_grants(json.dumps(given)) == read_grants(given)


@pytest.mark.parametrize(("value", "message"), MISTAKES)
def test_mistakes(value: Any, message: str) -> None:
    """Each mistake is reported by its place, all at once, and not repeated."""
    with pytest.raises(ValueError, match=r"\A(is not|has a|name)") as refusal:
        read_grants(value)

    assert message == str(refusal.value)

"""Traits besides the address, and a real Kratos with a schema that has numbers."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.binary import KRATOS_DIRECTORY
from tests.e2e.caller import refusal
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack


@pytest.fixture(scope="module")
def numbers(site: Site) -> Iterator[Stack]:
    """Start a Kratos whose schema has numbers, one of them required."""
    with site.stack(_with_numbers) as made:
        yield made


def test_stored(numbers: Stack, address: str) -> None:
    """Traits are stored as given; whole numbers, sent as doubles, are integers."""
    traits = {"name": "ü" * 200, "age": 30, "home": {"floor": -2}, "rating": 4.5}
    token = numbers.caller.start(address, traits=traits).continuation_token
    verified = numbers.caller.verify(token, numbers.code(address))
    numbers.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    (identity,) = numbers.admin.identities(address)
    stored = identity.traits

    assert {"email": address, **traits} == stored
    assert (int, int) == (type(stored["age"]), type(stored["home"]["floor"]))


def test_no_field(numbers: Stack, address: str) -> None:
    """Kratos 1.3 breaks off at a trait without a field: it is refused, with no mail."""
    traits = {"age": 30, "home": {"cat": {"name": "Tom"}}, "tags": ["a", "b"]}
    if not numbers.kratos.version.startswith("v1."):
        token = numbers.caller.start(address, traits=traits).continuation_token
        verified = numbers.caller.verify(token, numbers.code(address))
        numbers.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
        return
    refused = refusal(numbers.caller.start, address, traits=traits)

    assert ("TRAITS_INVALID", ["traits"]) == (refused.reason, refused.fields)
    assert [] == numbers.mailbox.mails_to(address)


def _with_numbers(config: dict[str, Any]) -> None:
    """Give Kratos another schema, without a file of its own."""
    path = KRATOS_DIRECTORY / "identity.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    traits = schema["properties"]["traits"]
    floor = {"type": "integer"}
    traits["properties"] |= {
        "age": {"type": "integer", "minimum": 0, "maximum": 200},
        "rating": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"floor": floor}},
    }
    traits["required"].append("age")
    encoded = base64.b64encode(json.dumps(schema).encode()).decode()
    config["identity"]["schemas"] = [{"id": "user", "url": f"base64://{encoded}"}]

"""What cannot begin a sign-up: bad addresses, bad traits, bad forms."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.binary import KRATOS_DIRECTORY
from tests.e2e.errors import refusal
from tests.e2e.holdings import mail_ids
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack

BAD_ADDRESSES = [
    "",
    " ",
    "ann",
    "ann@",
    "@example.com",
    "ann@example",
    "ann.example.com",
    "ann@@example.com",
    "ann@bob@example.com",
    "ann@exam ple.com",
    "ann lee@example.com",
    " ann@example.com",
    "ann@example.com ",
    "ann@example.com\n",
    "ann@example.com\0",
    "ann@example.com\r\nBcc: bob@example.com",
    "ann@example.com,bob@example.com",
    "ann@example.com;bob@example.com",
    "Ann <ann@example.com>",
    "mailto:ann@example.com",
    ".ann@example.com",
    "ann.@example.com",
    "an..n@example.com",
    '"ann"@example.com',
    '"ann lee"@example.com',
    "ann(lee)@example.com",
    "änn@example.com",
    "ann@example..com",
    "ann@.example.com",
    "ann@-example.com",
    "ann@example-.com",
    "ann@exa_mple.com",
    "ann@127.0.0.1",
    "ann@[127.0.0.1]",
    "ann@[IPv6:::1]",
    "a" * 65 + "@example.com",
    "ann@" + "a" * 64 + ".com",
    "ann@" + "example." * 31 + "com",
]

# The field that a violation names, and what the traits were.
BAD_TRAITS = [
    ("traits.newsletter", {"newsletter": "yes"}),
    ("traits.newsletter", {"newsletter": 1}),
    ("traits.name", {"name": 7}),
    ("traits.name", {"name": None}),
    ("traits.name", {"name": {"first": "Ann"}}),
    ("traits.name", {"name": "x" * 201}),
    ("traits.email", {"email": "eve@example.com"}),
    ("traits", {"nickname": "Ann"}),
    ("traits", {"name": "x" * 9000}),
    ("traits", {"name": float("nan")}),
]


@pytest.fixture(scope="module")
def numbers(site: Site) -> Iterator[Stack]:
    """Start a Kratos whose schema has numbers, and one trait that must be there."""
    with site.stack(_with_numbers) as made:
        yield made


class TestAddress:
    """The address."""

    @pytest.mark.parametrize("email", BAD_ADDRESSES)
    def test_bad(self, stack: Stack, email: str) -> None:
        """What is no address is refused on its field, and no mail goes."""
        before = mail_ids(stack.kratos)
        refused = refusal(stack.caller.start, email)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "EMAIL_INVALID" == refused.reason
        assert ["email"] == refused.fields
        assert before == mail_ids(stack.kratos)

    @pytest.mark.parametrize(
        ("email", "canonical"),
        [
            ("Ann.Lee-{}+Shop@Example.COM", "ann.lee-{}+shop@example.com"),
            ("o'neil_{}@example.com", "o'neil_{}@example.com"),
            ("{}@bücher.example", "{}@xn--bcher-kva.example"),
            ("{}@xn--bcher-kva.example", "{}@xn--bcher-kva.example"),
            ("{}@corp.internal", "{}@corp.internal"),
            ("!#$%&*-/=?^`{{|}}~{}@example.com", "!#$%&*-/=?^`{{|}}~{}@example.com"),
            ("{}@" + "a" * 63 + ".example", "{}@" + "a" * 63 + ".example"),
        ],
    )
    def test_good(self, stack: Stack, address: str, email: str, canonical: str) -> None:
        """What is one gets its account, under its canonical form."""
        local = address.partition("@")[0]
        canonical = canonical.format(local)
        done = stack.caller.start(email.format(local))
        code = stack.code(canonical)
        verified = stack.caller.verify(done.continuation_token, code)
        token = verified.continuation_token
        stack.caller.set_password(token, GOOD_PASSWORD)
        (identity,) = stack.admin.identities(canonical)

        assert canonical == identity.traits["email"]
        assert identity.verified


class TestTraits:
    """Traits besides the address."""

    @pytest.mark.parametrize(("field", "traits"), BAD_TRAITS)
    def test_bad(
        self, stack: Stack, address: str, field: str, traits: dict[str, Any]
    ) -> None:
        """What the schema does not allow is refused on its field, and no mail goes."""
        before = mail_ids(stack.kratos)
        refused = refusal(stack.caller.start, address, traits=traits)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "TRAITS_INVALID" == refused.reason
        assert [field] == refused.fields
        assert before == mail_ids(stack.kratos)

    def test_all_at_once(self, stack: Stack, address: str) -> None:
        """All faults come in one answer, and the caller's own values in none."""
        traits = {"name": "secret" * 40, "newsletter": "secret"}
        refused = refusal(stack.caller.start, address, traits=traits)

        assert ["traits.name", "traits.newsletter"] == sorted(refused.fields)
        assert "secret" not in repr(refused)

    def test_longest(self, stack: Stack, address: str) -> None:
        """What just fits is stored as it came."""
        traits = {"name": "ü" * 200, "newsletter": False}
        token = stack.caller.start(address, traits=traits).continuation_token
        verified = stack.caller.verify(token, stack.code(address))
        token = verified.continuation_token
        stack.caller.set_password(token, GOOD_PASSWORD)
        (identity,) = stack.admin.identities(address)

        assert {"email": address, **traits} == identity.traits


class TestSchema:
    """Traits of another schema: whole numbers, and one that must be there."""

    def test_integer(self, numbers: Stack, address: str) -> None:
        """Whole numbers are integers to Kratos, though a Struct has doubles only."""
        traits = {"age": 30, "home": {"floor": -2}, "rating": 4.5}
        token = numbers.caller.start(address, traits=traits).continuation_token
        verified = numbers.caller.verify(token, numbers.code(address))
        numbers.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
        (identity,) = numbers.admin.identities(address)
        stored = identity.traits

        assert {"email": address, **traits} == stored
        assert (int, int) == (type(stored["age"]), type(stored["home"]["floor"]))

    @pytest.mark.parametrize(
        ("field", "traits"),
        [
            ("traits.age", {}),
            ("traits.age", {"age": 30.5}),
            ("traits.age", {"age": -1}),
            ("traits.age", {"age": 2.0**60}),
            ("traits.home.floor", {"age": 30, "home": {"floor": 1.5}}),
        ],
    )
    def test_refused(
        self, numbers: Stack, address: str, field: str, traits: dict[str, Any]
    ) -> None:
        """A trait that is missing, or no such number, is named."""
        refused = refusal(numbers.caller.start, address, traits=traits)

        assert "TRAITS_INVALID" == refused.reason
        assert [field] == refused.fields
        assert [] == numbers.admin.courier_messages(address)


class TestForm:
    """The other fields."""

    @pytest.mark.parametrize(
        ("field", "fields"),
        [
            ("request_id", {"request_id": "1"}),
            ("request_id", {"request_id": str(uuid.UUID(int=1))}),
            ("request_id", {"request_id": uuid.uuid4().hex}),
            ("locale", {"locale": "de_CH!"}),
            ("locale", {"locale": "x" * 36}),
            ("client_ip", {"client_ip": "localhost"}),
            ("client_ip", {"client_ip": "127.0.0.1:80"}),
        ],
    )
    def test_bad(
        self, stack: Stack, address: str, field: str, fields: dict[str, Any]
    ) -> None:
        """A malformed field is named, and no mail goes."""
        request = pb.StartSignupRequest(email=address, **fields)
        refused = refusal(stack.caller.signups.StartSignup, request)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "REQUEST_INVALID" == refused.reason
        assert [field] == refused.fields
        assert [] == stack.admin.courier_messages(address)


def _with_numbers(config: dict[str, Any]) -> None:
    """Give Kratos another schema, without a file of its own."""
    path = KRATOS_DIRECTORY / "identity.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    traits = schema["properties"]["traits"]
    floor = {"type": "integer"}
    traits["properties"] |= {
        "age": {"type": "integer", "minimum": 0, "maximum": 200},
        "rating": {"type": "number"},
        "home": {"type": "object", "properties": {"floor": floor}},
    }
    traits["required"].append("age")
    encoded = base64.b64encode(json.dumps(schema).encode()).decode()
    config["identity"]["schemas"] = [{"id": "user", "url": f"base64://{encoded}"}]

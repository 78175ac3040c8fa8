"""The form of requests, field by field."""

import contextlib
import uuid
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.errors import RequestInvalid, SignupdError, TokenInvalid
from signupd.rpc import requests

UUID4 = "5f0c2a3e-7b1d-4c52-9d6a-0a1b2c3d4e5f"
LOCALES = ["", "de", "de-CH", "zh-Hant-TW", "sl-rozaj-biske-1994", "x-whatever"]
LOCALES += ["de-" + "-".join(["abcdefgh"] * 3) + "-abcde"]  # 35 characters
NO_LOCALES = ["-", "_", "de_", "de-", "-de", "d e", "de\n", "dé", "1", "\uff44\uff45"]
NO_LOCALES += ["C", "x", "a-de", "abcdefghi", "de--CH", "de" + "-abcdefgh" * 4]
# What is pasted, and what is understood.
PASTED_IPS = {
    "": "",
    " 192.0.2.1\n": "192.0.2.1",
    "192.0.2.1:54321": "192.0.2.1",
    "2001:DB8:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "[2001:db8::1]:443": "2001:db8::1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "[::ffff:c000:201]:80": "192.0.2.1",
    "::": "::",
}
PASTED_LOCALES = {"de_DE": "de-DE", "zh_Hant_TW": "zh-Hant-TW", "de-CH": "de-CH"}
PASTED_CODES = {
    " 123456\r\n": "123456",
    "123 456": "123456",
    "123-456": "123456",
    "12\u00a034\u202f56": "123456",
    "123\u2013456": "123456",
    "123\u00ad456": "123456",
    "\uff11\uff12\uff13": "123",
    "\u0661\u0662\u0663": "123",
    "1 " * 16: "1" * 16,
    "1" + " " * 63: "1",
}
NO_IPS = ["192.0.2", "192.0.2.256", "192.0.2.01", "192.0.2.1:", "192.0.2.1:x", "host"]
NO_IPS += ["[::1", "[::1]x", "[::1]:123456", "[192.0.2.1", "192.0.2.0/24"]
NO_IPS += ["\u0661.1.1.1", "2001:db8::1:99999", "[::1]:\u0661", "1.2.3.4:80:90"]
NO_IPS += ["[192.0.2.1]", "192.0.2.1:65536", "[2001:db8::1]:99999"]
REQUEST_IDS = [UUID4, UUID4.upper(), str(uuid.uuid4())]
NO_REQUEST_IDS = [
    "x",
    " ",
    UUID4[:-1],
    UUID4 + "0",
    UUID4.replace("-", ""),
    "{" + UUID4 + "}",
    "urn:uuid:" + UUID4,
    UUID4.replace("0a1b", "0a1g"),
    "00000000-0000-0000-0000-000000000000",
    str(uuid.uuid1()),
    str(uuid.uuid3(uuid.NAMESPACE_DNS, "x.test")),
    str(uuid.uuid5(uuid.NAMESPACE_DNS, "x.test")),
    "5f0c2a3e-7b1d-4c52-1d6a-0a1b2c3d4e5f",  # another variant
]
# Of 36 characters, so that Python's lenient reader takes them; the contract does not.
LOOSE_REQUEST_IDS = [
    "urn:" + UUID4.replace("-", ""),
    "{{" + UUID4.replace("-", "") + "}}",
    "----" + UUID4.replace("-", ""),
]
# Kratos' ids are UUIDs of version 4; another one is simply unknown to it.
IDENTITY_IDS = [*REQUEST_IDS, str(uuid.uuid1()), str(uuid.UUID(int=0))]
NO_IDENTITY_IDS = ["", *NO_REQUEST_IDS[:8], *LOOSE_REQUEST_IDS]
CODES = ["0", "000000", "123456", "1234567890123456"]
NO_CODES = ["", " ", "-", "12345678901234567", "12345a", "1" + " " * 64]
NO_CODES += ["12\x003456", "\x1b12345", "12345\x7f", "1\u200b2", "1\x1f2", "12\x1c"]
NO_CODES += ["\u00b2", "\u2460", "\u4e00", "1_0", "1.0", "+1"]


def faults_of(error: SignupdError) -> list[str]:
    """Name the faulty fields."""
    return [violation.field for violation in error.violations]


def struct(values: dict[str, Any]) -> Struct:
    """Make a Struct."""
    made = Struct()
    made.update(values)
    return made


def start_faults(**fields: Any) -> list[str]:
    """Name the fields of a StartSignupRequest that are refused."""
    message = pb.StartSignupRequest(email="anna@example.com", **fields)
    try:
        requests.start_request(message, "")
    except RequestInvalid as refusal:
        return faults_of(refusal)
    return []


@pytest.mark.parametrize(
    ("field", "values"), [("locale", LOCALES), ("request_id", ["", *REQUEST_IDS])]
)
def test_taken(field: str, values: list[str]) -> None:
    """Language tags and UUIDs of version 4 pass, as does none."""
    assert [] == [one for one in values if start_faults(**{field: one})]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("locale", NO_LOCALES),
        ("client_ip", NO_IPS),
        ("request_id", [*NO_REQUEST_IDS, *LOOSE_REQUEST_IDS]),
    ],
)
def test_refused(field: str, values: list[str]) -> None:
    """Whatever else is refused, by the name of its field."""
    found = [start_faults(**{field: one}) for one in values]

    assert [[field]] * len(values) == found


def test_pasted() -> None:
    """Codes, client addresses and locales are understood as people paste them."""
    start = pb.StartSignupRequest

    assert PASTED_CODES == {
        one: requests.code_of(pb.VerifyCodeRequest(code=one)) for one in PASTED_CODES
    }
    assert PASTED_IPS == {
        one: requests.start_request(start(client_ip=one), "").client_ip
        for one in PASTED_IPS
    }
    assert PASTED_LOCALES == {
        one: requests.start_request(start(locale=one), "").locale
        for one in PASTED_LOCALES
    }


def test_token_length() -> None:
    """A token of 1 to 1 024 characters is looked at; none and a longer one are not."""
    tokens = ["", "x", "x" * 1024, "x" * 1025]
    taken = []
    for token in tokens:
        with contextlib.suppress(TokenInvalid):
            request = pb.GetSignupRequest(continuation_token=token)
            taken.append(requests.token_of(request))

    assert tokens[1:3] == taken


@pytest.mark.parametrize("code", CODES)
def test_code(code: str) -> None:
    """One to sixteen decimal digits are a code."""
    assert code == requests.code_of(pb.VerifyCodeRequest(code=code))


@pytest.mark.parametrize("code", NO_CODES)
def test_no_code(code: str) -> None:
    """Anything else is none: letters, invisible characters, other numbers."""
    with pytest.raises(RequestInvalid) as refusal:
        requests.code_of(pb.VerifyCodeRequest(code=code))

    assert ["code"] == faults_of(refusal.value)


def test_largest_traits() -> None:
    """Traits of 8 KiB, as encoded, pass; one byte more is refused."""
    spare = 8192 - struct({"k": "x" * 8000}).ByteSize()
    largest, larger = (struct({"k": "x" * (8000 + spare + n)}) for n in (0, 1))

    assert [8192, 8193] == [largest.ByteSize(), larger.ByteSize()]
    assert [] == start_faults(traits=largest)
    assert ["traits"] == start_faults(traits=larger)


@pytest.mark.parametrize("identity_id", IDENTITY_IDS)
def test_identity_id(identity_id: str) -> None:
    """A UUID of any version is an identity's id, in either letter case."""
    one = accounts_pb.GetAccountRequest(identity_id=identity_id)
    many = accounts_pb.BatchGetAccountsRequest(identity_ids=[identity_id] * 2)

    assert uuid.UUID(identity_id) == requests.account_key(one)
    assert [uuid.UUID(identity_id)] * 2 == requests.identity_ids_of(many)


@pytest.mark.parametrize("identity_id", NO_IDENTITY_IDS)
def test_no_identity_id(identity_id: str) -> None:
    """Anything else is none, and its place in a batch is named."""
    with pytest.raises(RequestInvalid) as refusal:
        requests.account_key(accounts_pb.GetAccountRequest(identity_id=identity_id))
    ids = [UUID4, identity_id, UUID4, identity_id]
    with pytest.raises(RequestInvalid) as refused_batch:
        requests.identity_ids_of(accounts_pb.BatchGetAccountsRequest(identity_ids=ids))

    assert ["identity_id"] == faults_of(refusal.value)
    assert ["identity_ids[1]", "identity_ids[3]"] == faults_of(refused_batch.value)
    assert RequestInvalid is type(refusal.value)

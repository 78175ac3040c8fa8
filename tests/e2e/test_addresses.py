"""What is accepted as an address here, a real Kratos takes: mail, account and login."""

from collections.abc import Iterator

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.address import parse_address

from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack

# RFC 5322's atext beside letters and digits: all that a dot-atom may hold.
ATEXT = "!#$%&'*+-/=?^_`{|}~"
LOCALS = [
    *[f"a{char}b" for char in ATEXT],
    *ATEXT,
    "A.Name.In.CAPITALS",
    "first.last+tag+tag",
    "a%40b",
    "x" * 64,
    ".".join("abcdefghijklmnopqrstuvwxyz"),
]
DOMAINS = [
    *("EXAMPLE.com", "a.co", "a--b.example", "123.example", "1-2-3.example"),
    *("corp.internal", "app.localhost", "hidden.onion", "gone.invalid"),
    *("bücher.example", "straße.example", "пример.example", "例え.テスト"),
    *("उदाहरण.परीक्षा", "مثال.إختبار", "실례.테스트", "ขั้ว.example"),
    "ma\u0301\u00f1ana.example",  # the accent apart from its letter
    "\uff26\uff35\uff2c\uff2c.example",
    "a\u3002example",  # the ideographic full stop separates labels
    f"{'l' * 63}.example",
    ".".join("abcdefghijklmnopqrstuvwxyz") + ".com",
]
ACCEPTED = [
    *[f"{local}@example.com" for local in LOCALS],
    *[f"ann{number}@{domain}" for number, domain in enumerate(DOMAINS)],
]
# Each is a whole account: too slow, by its password's hash, to be done for all.
WHOLE = [
    "Whole.WAY+Tag@Example.COM",
    f"w{ATEXT}@example.com",
    "w@BÜCHER.example",
    "w@例え.テスト",
    f"{'w' * 64}@example.com",
    f"w@{'.'.join(['d' * 63, 'e' * 63, 'f' * 63, 'com'])}",
]


@pytest.fixture(scope="module")
def post(site: Site) -> Iterator[Stack]:
    """Give a stack of its own, whose mails are these."""
    with site.stack() as made:
        made.wait_for_proof()
        yield made


@pytest.mark.parametrize("email", ACCEPTED, ids=ascii)
def test_kratos_sends_to_it(post: Stack, email: str) -> None:
    """Kratos takes the address, and mails a code that is right to it."""
    canonical = parse_address(email).text
    started = post.caller.start(email)
    code = post.code(canonical)
    verified = post.caller.verify(started.continuation_token, code)

    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state


@pytest.mark.parametrize("email", WHOLE, ids=ascii)
def test_kratos_makes_its_account(post: Stack, email: str) -> None:
    """Kratos stores it as the address verified, and lets its owner in by it."""
    canonical = parse_address(email).text
    started = post.caller.start(email)
    verified = post.caller.verify(started.continuation_token, post.code(canonical))
    done = post.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    identity = post.admin.identity(done.signup.identity_id)
    again = post.caller.start(email.swapcase())
    taken = post.caller.verify(again.continuation_token, post.code(canonical, 2))

    assert canonical == identity.traits["email"]
    assert identity.verified
    assert post.visitor.login(canonical, GOOD_PASSWORD)
    assert pb.SIGNUP_STATE_ALREADY_REGISTERED == taken.signup.state

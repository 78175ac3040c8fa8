"""Addresses: which are taken, in which form, and how they show."""

import pytest
from signupd.address import parse_address
from signupd.errors import EmailInvalid, Violation

LONG_LOCAL = "a" * 64
# With "a@": 254 characters.
LONG_DOMAIN = ".".join(["b" * 63, "c" * 63, "d" * 63, "e" * 56, "com"])

# As typed, in canonical form, as shown.
TAKEN = [
    ("anna@example.com", "anna@example.com", "a***@example.com"),
    ("Anna.B@Example.COM", "anna.b@example.com", "a***@example.com"),
    ("a@x.test", "a@x.test", "a***@x.test"),
    (" \ta@x.test\u00a0\r\n", "a@x.test", "a***@x.test"),
    ("anna@corp.internal", "anna@corp.internal", "a***@corp.internal"),
    ("anna+tag@example.com", "anna+tag@example.com", "a***@example.com"),
    ("o'neil@example.com", "o'neil@example.com", "o***@example.com"),
    ("%@example.com", "%@example.com", "%***@example.com"),
    ("a@BÜCHER.example", "a@xn--bcher-kva.example", "a***@xn--bcher-kva.example"),
    ("a@xn--bcher-kva.example",) * 2 + ("a***@xn--bcher-kva.example",),
    (f"{LONG_LOCAL}@example.com",) * 2 + ("a***@example.com",),
    (f"a@{LONG_DOMAIN}",) * 2 + (f"a***@{LONG_DOMAIN}",),
]

REFUSED = {
    "empty": "",
    "no at-sign": "anna",
    "no local part": "@example.com",
    "no domain": "anna@",
    "two at-signs": "anna@b@example.com",
    "no dot in the domain": "anna@localhost",
    "space within": "an na@example.com",
    "header": "anna@example.com\r\nBcc: x@example.com",
    "control character before": "\x1fanna@example.com",
    "NUL": "an\0na@example.com",
    "two addresses": "anna@example.com,bert@example.com",
    "display name": "Anna <anna@example.com>",
    "quoted local part": '"anna"@example.com',
    "comment": "anna(x)@example.com",
    "dot first": ".anna@example.com",
    "dot last": "anna.@example.com",
    "two dots": "an..na@example.com",
    "domain's dot last": "anna@example.com.",
    "domain's hyphen first": "anna@-example.com",
    "underscore in the domain": "anna@ex_ample.com",
    "address literal": "anna@[127.0.0.1]",
    "IP address": "anna@127.0.0.1",
    "local part beyond ASCII": "änna@example.com",
    "letter that lower-cases to ASCII": "\u212aarl@example.com",
    "fullwidth at-sign": "anna\uff20example.com",
    "long local part": f"{LONG_LOCAL}a@example.com",
    "long label": f"anna@{'b' * 64}.com",
    "long": f"aa@{LONG_DOMAIN}",
    "long in punycode": f"anna@{'ü' * 50}.{'ö' * 50}.{'ä' * 50}.{'é' * 50}.com",
    "very long": "a" * 1_000_000 + "@example.com",
}


@pytest.mark.parametrize(("typed", "canonical", "masked"), TAKEN)
def test_taken(typed: str, canonical: str, masked: str) -> None:
    """A mailbox has one form, lower-case ASCII, and shows by its first letter."""
    address = parse_address(typed)

    assert address == parse_address(canonical)
    assert canonical == address.text
    assert masked == address.masked


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    """What no mailbox can be called is refused, in words that hold none of it."""
    with pytest.raises(EmailInvalid) as refusal:
        parse_address(REFUSED[kind])

    assert (Violation("email", "is not an e-mail address"),) == refusal.value.violations
    assert "" == refusal.value.detail

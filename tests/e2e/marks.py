"""Marks that must not be found again, and a search for them in all their spellings."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

# Six digits are a code, unless they are a part of a longer number or of an id.
SHORT_BYTES = 8
IN_A_NUMBER = rb"(?<![0-9a-fA-F.])%s(?![0-9a-fA-F])"
# What a digest without a key would make of it: anybody can compute that as well.
DIGESTS = ("md5", "sha1", "sha256", "sha512")


def spellings(mark: bytes) -> dict[str, bytes]:
    """Spell a mark in each way in which software writes bytes."""
    digests = {name: hashlib.new(name, mark).digest() for name in DIGESTS}
    forms = {"as it is": mark} | digests
    spelt = {}
    for form, content in forms.items():
        spelt[form] = content
        spelt |= {f"{form}, in {how}": one for how, one in _written(content)}
    return {form: one for form, one in spelt.items() if one != mark or form in forms}


def found(marks: Mapping[str, bytes], content: bytes) -> list[str]:
    """Name the marks that are in some content, and how they are spelt there."""
    return [
        f"{name} {form}"
        for name, mark in marks.items()
        for form, spelt in spellings(mark).items()
        if _is_in(spelt, content)
    ]


def _is_in(spelt: bytes, content: bytes) -> bool:
    if len(spelt) < SHORT_BYTES and spelt.isdigit():
        return re.search(IN_A_NUMBER % spelt, content) is not None
    return spelt in content


def _written(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hex", content.hex().encode()
    yield "capital hex", content.hex().upper().encode()
    yield "percent", quote(content, safe="").encode()
    yield "percent throughout", "".join(f"%{byte:02x}" for byte in content).encode()
    yield "JSON", "".join(f"\\u{byte:04x}" for byte in content).encode()
    yield "UTF-16", content.decode("latin-1").encode("utf-16-le")
    for shift in range(3):
        for name, encode in (
            ("base64", base64.b64encode),
            ("url-safe base64", base64.urlsafe_b64encode),
        ):
            yield f"{name}, shifted by {shift}", _inner(encode, content, shift)


def _inner(encode: object, content: bytes, shift: int) -> bytes:
    """Encode at a place in a longer text; give what does not depend on the rest."""
    assert callable(encode)
    whole = bytes(encode(b"\0" * shift + content))
    first = -(-shift * 8 // 6)
    last = (shift + len(content)) * 8 // 6
    return whole[first:last]

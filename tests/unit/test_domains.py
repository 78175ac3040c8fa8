"""BLOCKED_EMAIL_DOMAINS_FILE: what a line may be, and what is said of a bad one."""

import os
from pathlib import Path

import pytest
from signupd.policy.domains import MAX_FILE_BYTES, read_domains
from signupd.settings import SettingsInvalidError, load

BUCHER = "xn--bcher-kva.example"

FILES = {
    "empty": (b"", set()),
    "comments": (b"# a\n\n  # b\nx.test # c\ny.test#d\n", {"x.test", "y.test"}),
    "no newline at the end": (b"x.test", {"x.test"}),
    "Windows": (b"\xef\xbb\xbfx.test\r\ny.test\r\n", {"x.test", "y.test"}),
    "twice": (b"X.Test\nx.test\n", {"x.test"}),
    "trailing dot": (b"x.test.\n", {"x.test"}),
    "white space": ("\t x.test \u00a0\n".encode(), {"x.test"}),
    "one label": (b"Test\nxn--P1AI\n", {"test", "xn--p1ai"}),
    "Unicode": ("BÜCHER.example\n".encode(), {BUCHER}),
    "punycode": (b"XN--Bcher-KVA.example\n", {BUCHER}),
    "sharp s": ("fa\u00df.example\n".encode(), {"xn--fa-hia.example"}),
    "other dots": ("例え\u3002example\n".encode(), {"xn--r8jz45g.example"}),
}
BAD = [
    *(b".", b"x test", b"ann@x.test", b"@x.test", b"*.x.test", b".x.test", b"x..test"),
    *(b"x.test..", b"-x.test", b"x_y.test", b"127.0.0.1", b"127.0.0.1 x.test"),
    *(b"x,y", b"xn--a.test", b"a" * 64 + b".test", b"x\0.test", b"x.test;", b"\xff"),
    *(b"https://x.test", b"a." * 200 + b"test-", b"\x1b[31m"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "domains"


@pytest.mark.parametrize("kind", FILES)
def test_good(file: Path, kind: str) -> None:
    """A line is a domain in whatever form, a comment, or empty."""
    content, domains = FILES[kind]
    file.write_bytes(content)

    assert domains == read_domains(file).domains


@pytest.mark.parametrize("line", BAD)
def test_bad_line(file: Path, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no domain is a mistake at start, with setting, file and line alone."""
    file.write_bytes(b"# a\nx.test\n" + line + b"\ny.test\n")
    monkeypatch.setenv("SIGNUPD_BLOCKED_EMAIL_DOMAINS_FILE", str(file))
    with pytest.raises(SettingsInvalidError) as caught:
        load(None)

    said = f"SIGNUPD_BLOCKED_EMAIL_DOMAINS_FILE: {file}, line 3 is not a domain"
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(said)


def test_no_file(file: Path) -> None:
    """What is not a file is refused by its name, and a pipe is not waited for."""
    with pytest.raises(ValueError, match=f"{file}: No such file"):
        read_domains(file)
    os.mkfifo(file)
    with pytest.raises(ValueError, match=f"{file}: is not a regular file"):
        read_domains(file)


def test_large_file(file: Path) -> None:
    """A file over the limit is refused, whatever is in it."""
    with file.open("wb") as opened:
        opened.write(b"# a comment")
        opened.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match=f"{file}: has more than {MAX_FILE_BYTES}"):
        read_domains(file)

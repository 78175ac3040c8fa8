"""Reading Kratos' configuration files."""

import json
from pathlib import Path

import pytest
from signupd.check.kratos_file import MAX_FILE_BYTES, FileUnreadableError, read_files

NOWHERE = b"nowhere"


def test_merged(tmp_path: Path) -> None:
    """Maps are merged, lists replaced, the last file wins; JSON will do."""
    below, above = tmp_path / "kratos.yml", tmp_path / "here.json"
    below.write_text(
        "hashers: {algorithm: argon2, argon2: {memory: 1MB}}\nurls: [a, b]\n"
    )
    above.write_text(json.dumps({"hashers": {"algorithm": "bcrypt"}, "urls": ["c"]}))
    file = read_files([below, above])

    assert "bcrypt" == file.value("hashers.algorithm")
    assert "1MB" == file.value("hashers.argon2.memory")
    assert ["c"] == file.value("urls")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [hunter2", "ParserError"),
        (b"\xff\xfe\xfa", "ReaderError"),
        (b"!!python/object:os.system {}", "ConstructorError"),
        (b"just words", "not a configuration"),
        (b"", "not a configuration"),
        (b"a" * (MAX_FILE_BYTES + 1), "more than"),
        (b"[" * 10_000, "RecursionError"),
        (NOWHERE, "FileNotFoundError"),
    ],
    ids=range(8),
)
def test_unreadable(tmp_path: Path, content: bytes, why: str) -> None:
    """What cannot be read, or is not there, is said without its content."""
    path = tmp_path / "kratos.yml"
    if content != NOWHERE:
        path.write_bytes(content)
    with pytest.raises(FileUnreadableError, match=why) as caught:
        read_files([path])

    assert "hunter2" not in str(caught.value)

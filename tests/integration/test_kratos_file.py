"""Reading Kratos' configuration files."""

import json
from pathlib import Path

import pytest
from signupd.check.kratos_file import MAX_FILE_BYTES, read_files
from signupd.textfile import FileUnusableError

NOWHERE = b"nowhere"


def test_merged(tmp_path: Path) -> None:
    """Maps are merged, lists replaced, the last file wins; JSON will do."""
    below, above = tmp_path / "kratos.yml", tmp_path / "here.json"
    below.write_text(
        "hashers: {algorithm: argon2, argon2: {memory: 1MB}}\nurls: [a, b]\n"
        "selfservice: {}\n---\n"
    )
    given = {"hashers": {"algorithm": "bcrypt"}, "urls": ["c"]}
    above.write_text(json.dumps(given, indent="\t"))
    file = read_files([below, above])

    assert "bcrypt" == file.value("hashers.algorithm")
    assert "1MB" == file.value("hashers.argon2.memory")
    assert ["c"] == file.value("urls")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: 1\nb: [hunter2", ", line 2, column 12: is not YAML"),
        (b"a: 1\n\tb: hunter2", ", line 2, column 1: is not YAML"),
        (b"a: *hunter2", ", line 1, column 4: is not YAML"),
        (b"a: hunter2\nb: \xff\xfe", ", line 2: is not UTF-8"),
        (b"a: hunter2\n\nb: \x01", ", line 3: has a control character"),
        (b"!!python/object:os.system {}", ", line 1, column 1: is not YAML"),
        (b"just words", ": is not a configuration of Kratos"),
        (b"", ": is not a configuration of Kratos"),
        (b"kratos: {}", ": is not a configuration of Kratos: it lacks selfservice"),
        (b"a" * (MAX_FILE_BYTES + 1), f": has more than {MAX_FILE_BYTES} bytes"),
        (b"[" * 10_000, ": is not YAML"),
        (b"a: !!timestamp nope", ": is not YAML"),
        (NOWHERE, ": No such file or directory"),
    ],
    ids=range(13),
)
def test_unreadable(tmp_path: Path, content: bytes, why: str) -> None:
    """What cannot be used, and where, is said without the content."""
    path = tmp_path / "kratos.yml"
    if content != NOWHERE:
        path.write_bytes(content)
    with pytest.raises(FileUnusableError) as caught:
        read_files([path])

    assert f"{path}{why}" == str(caught.value)

"""Settings that go wrong, and what must not be told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from signupd.settings import SettingsInvalidError, load

if TYPE_CHECKING:
    from pathlib import Path

# A wrong value of a setting, and what of it may not be read in the complaint.
TOLD = [
    ("LEDGER_URL", "postgresql://signupd:hunter2/db", "hunter2"),
    ("LISTEN", "127.0.0.1:\u00b2", "\u00b2"),
    ("HOOK_KEY", "fourteen chars", "14"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without a ``.env`` file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes(environ: dict[str, str], config: Path | None = None) -> list[str]:
    """Load settings that are wrong."""
    with pytest.raises(SettingsInvalidError) as refusal:
        load(config, {f"SIGNUPD_{name}": value for name, value in environ.items()})
    return refusal.value.mistakes


@pytest.mark.parametrize(("name", "value", "secret"), TOLD)
def test_nothing_of_the_value_is_told(name: str, value: str, secret: str) -> None:
    """A complaint names its setting, and tells nothing of the value."""
    (line,) = mistakes({name: value})

    assert line.startswith(f"SIGNUPD_{name}: ")
    assert secret not in line


def test_one_listener_does_not_hide_the_other() -> None:
    """Both ports are complained of, one wrong alone and one for want of a key."""
    lines = mistakes({"LISTEN": "nowhere", "HOOK_LISTEN": "0.0.0.0:9465"})

    assert ["SIGNUPD_LISTEN", "SIGNUPD_HOOK_LISTEN"] == [
        line.partition(":")[0] for line in lines
    ]


@pytest.mark.parametrize("value", ["90", "1.5", "true", '"\u0663s"'])
def test_durations_have_a_unit(folder: Path, value: str) -> None:
    """In a TOML file too, a duration is a whole number of ASCII digits and a unit."""
    config = folder / "signupd.toml"
    config.write_text(f"code_ttl = {value}")

    expected = ["SIGNUPD_CODE_TTL: is not a duration such as 90s, 15m or 24h"]
    assert expected == mistakes({}, config)


def test_dotenv_that_is_no_text(folder: Path) -> None:
    """A ``.env`` file that cannot be read is a mistake like any other."""
    (folder / ".env").write_bytes(b"SIGNUPD_HOOK_KEY=\xff\xfe\n")

    (line,) = mistakes({})

    assert line.startswith(".env: cannot be read")


def test_name_of_a_file_that_cannot_be(folder: Path) -> None:
    """A path that no file can have is a mistake like any other."""
    config = folder / "signupd.toml"
    config.write_text('hook_key_file = "\\u0000"')

    (line,) = mistakes({}, config)

    assert line.startswith("SIGNUPD_HOOK_KEY_FILE: cannot be read")

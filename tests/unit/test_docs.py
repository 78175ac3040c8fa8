"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from signupd.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented() -> None:
    """The table of docs/configuration.md names the settings, all and no others."""
    text = (ROOT / "docs" / "configuration.md").read_text()

    names = re.findall(r"^\| ([A-Z_]+) \|", text, re.MULTILINE)

    assert [name.upper() for name in Settings.model_fields] == names


def test_documents_named_by_the_readme_exist() -> None:
    """Each file that the README sends its reader to is there."""
    text = (ROOT / "README.md").read_text()

    named = re.findall(r"\b(?:docs|kratos)/[\w.-]+\b|\b[A-Z]+\.md\b", text)

    assert [] == [name for name in named if not (ROOT / name).exists()]
    assert len(named) > 4

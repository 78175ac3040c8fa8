"""What the pages say, in each language of texts.toml."""

import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from .failure import Notice

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8"))


def language_of(accept_language: str) -> str:
    """Choose the language that a browser likes best, and English if we speak none."""
    tag_and_quality = r"(?:^|,)\s*([a-z]{2,3})\b[^,;]*(?:;\s*q=([01](?:\.\d*)?))?"
    wanted = re.findall(tag_and_quality, accept_language.lower())
    liked = [(float(q or 1), tag) for tag, q in wanted if tag in TEXTS]
    return str(max([(0.0, "en"), *liked], key=lambda one: one[0])[1])  # q=0: never


class Speaker:
    """Says things in one language."""

    def __init__(self, language: str) -> None:
        self._texts: dict[str, str] = TEXTS[language]

    def __call__(self, name: str, **values: object) -> str:
        """Give a text, with values filled in."""
        return self._texts[name].format(**values)

    def each(self, names: Iterable[str]) -> list[str]:
        """Give the texts of those names that have one."""
        return [self._texts[name] for name in names if name in self._texts]

    def notice(self, notice: Notice) -> list[str]:
        """Put a notice into words: the rules that are broken, or else the reason."""
        reason, wait = notice["reason"], notice.get("wait_seconds", 0)
        if reason == "SEND_LIMIT_REACHED" and wait:
            reason = "SEND_LIMIT_WAIT"
        if reason not in self._texts:  # of a newer server
            reason = "INTERNAL"
        text = self(reason, seconds=math.ceil(wait), minutes=math.ceil(wait / 60))
        return self.each(map(str.upper, notice.get("faults", []))) or [text]

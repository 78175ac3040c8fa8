"""What the pages say, in each language of texts.toml."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8"))
FALLBACK = "en"
# Reasons that the person is told of as of another one.
SAME_AS = {
    "KRATOS_UNAVAILABLE": "OVERLOADED",
    "LEDGER_UNAVAILABLE": "OVERLOADED",
    "DEADLINE_TOO_SHORT": "OVERLOADED",
    "REQUEST_ID_REUSED": "INTERNAL",
    "CALLER_NOT_PERMITTED": "INTERNAL",
    "KRATOS_INCOMPATIBLE": "INTERNAL",
    "ACCOUNT_NOT_FOUND": "INTERNAL",  # of AccountService, which is not called here
}
# In these cases what was typed is at fault.
INVALID = {"REQUEST_INVALID", "EMAIL_INVALID", "TRAITS_INVALID", "CODE_INCORRECT"}
INVALID |= {"PASSWORD_REJECTED", "SIGN_IN_REFUSED"}
PLAIN = {"RESENT"}


def language_of(accept_language: str) -> str:
    """Choose the language that a browser likes best."""
    wanted = re.findall(
        r"(?:^|,)\s*([a-z]{2,3})\b[^,;]*(?:;\s*q=([01](?:\.\d*)?))?",
        accept_language.lower(),
    )
    liked = [(float(q or 1), tag) for tag, q in wanted if tag in TEXTS]
    return max(liked, key=lambda one: one[0], default=(0.0, FALLBACK))[1]


class Speaker:
    """Says things in one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, name: str, **values: object) -> str:
        """Give a text, with values filled in."""
        return str(TEXTS[self.language][name]).format(**values)

    def sentences(self, notice: dict[str, Any]) -> list[str]:
        """Put a notice into words: what is at fault, or else the reason."""
        details = [one for one in notice.get("details", ()) if one in self]
        if details:
            return [self(one) for one in dict.fromkeys(details)]
        reason = SAME_AS.get(notice["reason"], notice["reason"])
        minutes = math.ceil(notice.get("wait_seconds", 0) / 60)
        if minutes and f"{reason}_WAIT" in self:
            reason = f"{reason}_WAIT"
        return [self(reason if reason in self else "INTERNAL", minutes=minutes)]

    def __contains__(self, name: object) -> bool:
        return name in TEXTS[self.language]

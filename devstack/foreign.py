"""A Kratos that somebody else runs, named by KRATOS_PUBLIC_URL and KRATOS_ADMIN_URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 10.0
NAMES = ("KRATOS_PUBLIC_URL", "KRATOS_ADMIN_URL")
DEFAULT_HOOK_LISTEN = "127.0.0.1:9465"

# What its owner may have set for signupd, and the server here needs just so.
HANDED_DOWN = ("HOOK_LISTEN", "HOOK_KEY")

UNREACHABLE = """\
No Kratos answers at {name}.
{url}: {why}
Start it, or correct the URL. Without KRATOS_PUBLIC_URL and KRATOS_ADMIN_URL one
is built and started here."""


class ForeignKratosError(Exception):
    """The named Kratos cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ForeignKratos:
    """A Kratos of which only the two URLs are known.

    Attributes:
        public_url: Without a slash at the end.
        admin_url: Without a slash at the end.
        settings: What signupd in front of it is to be told.
    """

    public_url: str
    admin_url: str
    settings: Mapping[str, str]

    @classmethod
    def named(cls, environ: Mapping[str, str]) -> Self | None:
        """Read the environment.

        Returns:
            None when no Kratos is named.

        Raises:
            ForeignKratosError: One of the two URLs is missing.
        """
        urls = {name: environ.get(name, "").rstrip("/") for name in NAMES}
        missing = [name for name, url in urls.items() if not url]
        if len(missing) == len(NAMES):
            return None
        if missing:
            raise ForeignKratosError(
                f"{missing[0]} is not set, and the other one is.\n"
                "Set both to use a Kratos of your own, or none to have one built here."
            )
        settings = {"HOOK_LISTEN": DEFAULT_HOOK_LISTEN} | {
            name: environ[f"SIGNUPD_{name}"]
            for name in HANDED_DOWN
            if f"SIGNUPD_{name}" in environ
        }
        return cls(urls[NAMES[0]], urls[NAMES[1]], settings)

    def version(self) -> str:
        """See that both APIs answer, and ask for the version.

        Raises:
            ForeignKratosError: One of them does not.
        """
        _get(NAMES[0], f"{self.public_url}/health/ready")
        return str(_get(NAMES[1], f"{self.admin_url}/admin/version")["version"])


def _get(name: str, url: str) -> Any:
    try:
        answer = httpx.get(url, trust_env=False, timeout=TIMEOUT_SECONDS)
        return answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        why = str(error) or type(error).__name__
        text = UNREACHABLE.format(name=name, url=url, why=why)
        raise ForeignKratosError(text) from error

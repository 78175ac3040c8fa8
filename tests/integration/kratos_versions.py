"""What differs between versions of Kratos, as far as the adapter can see it.

docs/compatibility.md explains the differences to operators.
"""

import re
from typing import Any, Final, NamedTuple

from signupd.kratos.answers import CodeAnswer


class Version(NamedTuple):
    """What a version does where versions differ. The double does as 1.3.1 does."""

    chooses_schema: bool = False  # registers with ``?identity_schema=``
    unnamed_fault: int = 4000001  # the id of a schema fault that has no id of its own
    # The answer to the right code past its lifespan.
    late_code: CodeAnswer = CodeAnswer.LAPSED
    normalises: bool = False  # takes a verified address from a hook in any letter case


# From which version on; each holds for the later ones too.
_CHANGES: Final[tuple[tuple[tuple[int, int], dict[str, Any]], ...]] = (
    ((25, 4), {"chooses_schema": True}),
    ((26, 2), {"unnamed_fault": 4000040}),
    ((26, 3), {"late_code": CodeAnswer.INCORRECT, "normalises": True}),
)


def version_of(name: str) -> Version:
    """Look up what a version does; one without a number counts as the newest."""
    number = re.match(r"v?(\d+)\.(\d+)\.", name)
    version = Version()
    for since, change in _CHANGES:
        if number is None or (int(number[1]), int(number[2])) >= since:
            version = version._replace(**change)
    return version

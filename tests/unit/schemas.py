"""Identity schemas, made from the reference schema."""

import json
from typing import Any

from devstack.binary import KRATOS_DIRECTORY

Json = dict[str, Any]

CODE = {"credentials": {"code": {"identifier": True, "via": "email"}}}
USER_NAME = {"credentials": {"password": {"identifier": True}}}
PHONE = {"verification": {"via": "sms"}}
RECOVERY = {"recovery": {"via": "email"}}


def reference() -> Json:
    """Read the reference schema."""
    text = (KRATOS_DIRECTORY / "identity.schema.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


def with_traits(**traits: Json) -> Json:
    """Make the reference schema with further traits."""
    schema = reference()
    schema["properties"]["traits"]["properties"] |= traits
    return schema


def marked(mark: Json) -> Json:
    """Describe a trait that Kratos does something with."""
    return {"type": "string", "ory.sh/kratos": mark}

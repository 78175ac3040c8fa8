"""The identity schema over gRPC: which one, is it fit, which traits may callers set."""

from copy import deepcopy

from tests.integration.caller import refusal, state_of
from tests.integration.world import World

ADDRESS = "ann@example.com"
IDENTIFIER = {"credentials": {"password": {"identifier": True}}}


async def test_reserved_trait(world: World) -> None:
    """A trait that is an identifier is refused, named, and no mail goes."""
    schema = world.kratos.setup.schemas["user"]
    traits = schema["properties"]["traits"]["properties"]
    traits["username"] = {"type": "string", "ory.sh/kratos": IDENTIFIER}
    caller = (await world.serve()).caller
    refused = await refusal(caller.start(ADDRESS, traits={"username": "root"}))

    assert ("TRAITS_INVALID", [("traits.username", "")]) == (
        refused.reason,
        refused.faults,
    )
    assert [] == world.kratos.mails_to(ADDRESS)
    assert "CODE_REQUIRED" == state_of(await caller.start(ADDRESS))


async def test_which_schema(world: World) -> None:
    """Of several schemas the setting names the one; else nobody begins."""
    schemas = world.kratos.setup.schemas
    schemas["staff"] = deepcopy(schemas["user"])
    reasons = []
    for undecided in ({}, {"identity_schema_id": "nobody"}):
        replica = await world.serve(proved=False, **undecided)
        reasons.append((await refusal(replica.caller.start(ADDRESS))).reason)
    why = world.log.entry("kratos_incompatible")["why"]
    caller = (await world.serve(identity_schema_id="staff")).caller

    assert ["KRATOS_INCOMPATIBLE"] * 2 == reasons
    assert "IDENTITY_SCHEMA_ID" in why
    assert [] == world.kratos.mails_to(ADDRESS)
    assert "CODE_REQUIRED" == state_of(await caller.start(ADDRESS))

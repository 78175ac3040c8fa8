"""``signupd orphans`` on a real Kratos, with what a flow built by hand leaves there."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from signupd.accounts.orphans import Orphans, Outcome
from signupd.kratos.admin import AdminApi
from signupd.kratos.http import HttpClient

from devstack.kratos import Kratos
from devstack.visitor import Visitor
from tests.doubles.people import person, session
from tests.e2e.handmade import Handmade, handmade
from tests.e2e.holdings import identity_ids
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, new_address

COMMAND_SECONDS = 50.0
CALL_SECONDS = 10.0
PASSWORD = {"method": "password", "password": GOOD_PASSWORD}
LOOKUP = (
    {"method": "lookup_secret", "lookup_secret_regenerate": True},
    {"method": "lookup_secret", "lookup_secret_confirm": True},
)
HASH = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


@pytest.fixture
def kratos(site: Site) -> Iterator[Kratos]:
    """Start a Kratos as people set it up who build the flow by hand."""
    with site.kratos(0, handmade) as started:
        yield started


@pytest.fixture
def flow(kratos: Kratos, site: Site) -> Iterator[Handmade]:
    """Go through that flow."""
    with Handmade(kratos, site.mailbox) as made:
        yield made


def orphans(kratos: Kratos, *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; give exit code, lines of JSON, and what it says."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "signupd", "orphans", "--json", *options],
        env={**os.environ, "SIGNUPD_KRATOS_ADMIN_URL": kratos.admin_url},
        capture_output=True,
        check=False,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, lines, done.stderr


def others(flow: Handmade) -> dict[str, str]:
    """Make one of each kind of identity that is no orphan; give their ids by kind."""
    made = {}
    made["finished"], token = flow.register(new_address())
    flow.change(token, PASSWORD)
    made["lookup secrets"], token = flow.register(new_address())
    flow.change(token, *LOOKUP)
    made["imported password"] = flow.make(
        new_address(),
        credentials={"password": {"config": {"hashed_password": HASH}}},
    )
    made["migration hook"] = flow.make(
        new_address(),
        credentials={"password": {"config": {"use_password_migration_hook": True}}},
    )
    provider = {"subject": "s-1", "provider": "example"}
    made["social"] = flow.make(
        address := new_address(),
        credentials={"oidc": {"config": {"providers": [provider]}}},
        verifiable_addresses=[verified(address)],
    )
    made["provisioned"] = flow.make(new_address())
    made["provisioned and proved"] = flow.make(address := new_address())
    flow.let_pass(1)
    flow.sign_in(address)
    made["imported as verified"] = flow.make(
        address := new_address(), verifiable_addresses=[verified(address)]
    )
    made["disabled"], _ = flow.register(new_address())
    flow.disable(made["disabled"])
    made["forgotten"], _ = flow.register(new_address())
    flow.forget_sessions(made["forgotten"])
    return made


def verified(address: str) -> dict[str, Any]:
    """Say that an address is verified, as an operator does."""
    return {"value": address, "via": "email", "verified": True, "status": "completed"}


def test_orphans(kratos: Kratos, flow: Handmade) -> None:
    """Orphans are found and removed; no account that has anything else ever is."""
    left = {flow.register(new_address())[0] for _ in range(2)}
    kept = others(flow)
    flow.let_pass(90)
    back, _ = flow.register(address := new_address())
    flow.let_pass(60)
    flow.sign_in(address)
    code, lines, said = orphans(kratos)
    refused, _, _ = orphans(kratos, "--apply", "--expect", "3")
    before = identity_ids(kratos)
    removed, outcomes, _ = orphans(kratos, "--apply", "--expect", "2")

    assert 0 == code
    assert left == {line["identity_id"] for line in lines}
    assert {"a***@example.com"} == {line["masked_email"] for line in lines}
    for reason in ("1 with a session", "1 disabled", "2 of whose registration"):
        assert f"Left out: {reason}" in said
    assert (1, {*left, *kept.values(), back}) == (refused, before)
    assert 0 == removed
    assert {(one, "removed") for one in left} == {
        (one["identity_id"], one["outcome"]) for one in outcomes if "outcome" in one
    }
    assert {*kept.values(), back} == identity_ids(kratos)


def test_untraced(kratos: Kratos, flow: Handmade) -> None:
    """What the clean-up made doubtful is found on request, and then an import too."""
    kept = others(flow)
    flow.let_pass(90)
    _, lines, _ = orphans(kratos, "--untraced")

    assert {kept["forgotten"], kept["imported as verified"]} == {
        line["identity_id"] for line in lines
    }


def test_fresh(kratos: Kratos, flow: Handmade) -> None:
    """Whoever could go on with the flow is left alone, whatever duration is given."""
    flow.register(new_address())
    code, lines, said = orphans(kratos, "--older-than", "1ms")

    assert (0, []) == (code, lines)
    assert "Left out: 1 with a session that works" in said


async def test_password_after_the_listing(
    kratos: Kratos, flow: Handmade, address: str
) -> None:
    """Who comes back after the listing, and sets a password, keeps the account."""
    registered, _ = flow.register(address)
    identity_id = uuid.UUID(registered)
    flow.let_pass(90)
    async with searching(kratos) as found:
        listed = [orphan.id async for page in found.pages() for orphan in page.orphans]
        _, token = flow.sign_in(address)
        signed_in = await found.remove(identity_id)
        flow.change(token, PASSWORD)
        complete = await found.remove(identity_id)
        flow.let_pass(90)
        flow.forget_sessions(registered)
        long_after = await found.remove(identity_id)
    with Visitor(kratos.public_url) as visitor:
        works = visitor.login(address, GOOD_PASSWORD)

    assert [identity_id] == listed
    assert [Outcome.CHANGED] * 3 == [signed_in, complete, long_after]
    assert works


def test_double_is_no_liar(flow: Handmade) -> None:
    """The doubles' identities and sessions are like those of the real one."""
    identity_id, _ = flow.register(new_address())
    path = f"/admin/identities/{identity_id}"
    shown = "include_credential=password&include_credential=webauthn"
    webauthn = {"webauthn": {"user_handle": "eA=="}}

    assert [] == [*unlike(person(others=webauthn), flow.body(f"{path}?{shown}"))]
    assert [] == [*unlike([session()], flow.body(f"{path}/sessions"))]


def unlike(double: Any, real: Any, path: str = "") -> Iterator[str]:
    """Name where a double shows what the real one does not, or as another type."""
    if type(double) is not type(real):
        yield path
    elif isinstance(double, dict):
        for name, value in double.items():
            yield from unlike(value, real.get(name), f"{path}/{name}")
    elif isinstance(double, list):
        yield from unlike(double[0], real[0], f"{path}/0")


@asynccontextmanager
async def searching(kratos: Kratos) -> AsyncIterator[Orphans]:
    """Search here in this process, untraced ones included."""
    http = HttpClient(ca=None)
    since = datetime.now(UTC) - timedelta(days=30)
    try:
        yield Orphans(
            AdminApi(http, kratos.admin_url, CALL_SECONDS),
            lambda: datetime.now(UTC),
            since,
            untraced=True,
        )
    finally:
        await http.close()

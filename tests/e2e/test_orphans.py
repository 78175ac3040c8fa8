"""``signupd orphans`` on a real Kratos, with what a hand-built flow leaves there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.kratos import Kratos
from tests.doubles.kratos_crowd import person, session
from tests.e2e.handmade import Handmade, handmade
from tests.e2e.holdings import identity_ids
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, new_address

COMMAND_SECONDS = 50.0
PASSWORD = {"method": "password", "password": GOOD_PASSWORD}
LOOKUP = (
    {"method": "lookup_secret", "lookup_secret_regenerate": True},
    {"method": "lookup_secret", "lookup_secret_confirm": True},
)
HASH = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


@pytest.fixture
def kratos(site: Site) -> Iterator[Kratos]:
    """Start a Kratos set up for a hand-built flow."""
    with site.kratos(0, handmade) as started:
        yield started


@pytest.fixture
def flow(kratos: Kratos, site: Site) -> Iterator[Handmade]:
    """Go through that flow."""
    with Handmade(kratos, site.mailbox) as made:
        yield made


def orphans(kratos: Kratos, *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; return its exit code, lines of JSON, and standard error."""
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
    """Make one of each kind of identity that is not an orphan; return their ids."""
    made = {}
    made["finished"], token = flow.register(new_address())
    flow.change(token, PASSWORD)
    made["lookup secrets"], token = flow.register(new_address())
    flow.change(token, *LOOKUP)
    made["imported password"] = flow.make(
        new_address(), credentials={"password": {"config": {"hashed_password": HASH}}}
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
    """Mark an address as verified, as an operator does."""
    return {"value": address, "via": "email", "verified": True, "status": "completed"}


def test_orphans(kratos: Kratos, flow: Handmade) -> None:
    """Orphans are found and removed; no other account ever is."""
    left = {flow.register(new_address())[0] for _ in range(2)}
    kept = others(flow)
    flow.let_pass(90)
    back, _ = flow.register(address := new_address())
    flow.let_pass(60)
    flow.sign_in(address)
    code, lines, said = orphans(kratos)
    _, untraced, _ = orphans(kratos, "--untraced")
    refused, _, _ = orphans(kratos, "--apply", "--expect", "3")
    before = identity_ids(kratos)
    removed, outcomes, _ = orphans(kratos, "--apply", "--expect", "2")

    assert 0 == code
    assert left == {line["identity_id"] for line in lines}
    assert {"a***@example.com"} == {line["masked_email"] for line in lines}
    for reason in ("1 with a session", "1 disabled", "2 without the session"):
        assert f"Not listed: {reason}" in said
    assert {*left, kept["forgotten"], kept["imported as verified"]} == {
        line["identity_id"] for line in untraced
    }
    assert (1, {*left, *kept.values(), back}) == (refused, before)
    assert 0 == removed
    assert {(one, "removed") for one in left} == {
        (one["identity_id"], one["outcome"]) for one in outcomes if "outcome" in one
    }
    assert {*kept.values(), back} == identity_ids(kratos)


def test_double_agrees(flow: Handmade) -> None:
    """The double's identities and sessions look like the real ones."""
    identity_id, _ = flow.register(new_address())
    path = f"/admin/identities/{identity_id}"
    shown = "include_credential=password&include_credential=webauthn"
    webauthn = {"webauthn": {"user_handle": "eA=="}}

    assert [] == [*unlike(person(others=webauthn), flow.body(f"{path}?{shown}"))]
    assert [] == [*unlike([session()], flow.body(f"{path}/sessions"))]


def unlike(double: Any, real: Any, path: str = "") -> Iterator[str]:
    """Return where the double has what the real one lacks, or another type."""
    if type(double) is not type(real):
        yield path
    elif isinstance(double, dict):
        for name, value in double.items():
            yield from unlike(value, real.get(name), f"{path}/{name}")
    elif isinstance(double, list):
        yield from unlike(double[0], real[0], f"{path}/0")

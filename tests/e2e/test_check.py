"""`signupd check` against a Kratos that is well, and many that are not."""

import base64
import shutil
from typing import Any

import pytest

from devstack.binary import KRATOS_DIRECTORY
from devstack.config import Mutation
from devstack.ports import free_ports
from tests.e2e.broken import (
    REGISTRATION,
    hook,
    hook_at,
    hook_for_all,
    hook_key,
    hooks_swapped,
    of_a_company,
    oidc,
    optional_user_name,
    passkey,
    requiring_a_name,
    second_code_identifier,
    setting,
    traits,
    unparsed_hook,
    unverifiable,
    without_hook,
)
from tests.e2e.checking import check, config_of, cured, held, settings_for, settings_of
from tests.e2e.frail import Frail
from tests.e2e.holdings import identity_ids, session_ids
from tests.e2e.site import Site
from tests.e2e.stack import Stack

CODE, PASSWORD = "selfservice.methods.code", "selfservice.methods.password"
HOOK = "response:\n"  # of each cure that gives a hook anew

# What is broken; all that is found then, and how bad; what its cure says.
SHOWN: dict[str, tuple[Mutation, dict[str, str], str]] = {
    "registration off": (
        setting(f"{REGISTRATION}.enabled", value=False),
        {"registration": "error"},
        "enabled: true",
    ),
    "code method off": (
        setting(CODE, {"enabled": False}),
        {"code_method": "error"},
        "passwordless_enabled: true",
    ),
    "no registration by code": (
        setting(f"{CODE}.passwordless_enabled", value=False),
        {"code_method": "error"},
        "passwordless_enabled: true",
    ),
    "password method off": (
        setting(f"{PASSWORD}.enabled", value=False),
        {"password_method": "error"},
        "enabled: true",
    ),
    "no password hook": (without_hook("password"), {"password_hook": "error"}, HOOK),
    "password hook for all": (
        hook_for_all("password"),
        {"password_hook": "error"},
        HOOK,
    ),
    "password hook unparsed": (
        unparsed_hook("password"),
        {"password_hook": "error"},
        "parse: true",
    ),
    "hooks swapped": (
        hooks_swapped,
        {"password_hook": "error"},
        "web_hook to /kratos/code to",
    ),
    "password hook dead": (
        hook_at("password", *free_ports(1)),
        {"password_hook": "error"},
        "/kratos/password",
    ),
    "wrong hook key": (
        hook_key("a-key-that-nobody-here-expects"),
        {"password_hook": "error"},
        "X-Hook-Key",
    ),
    "second code identifier": (
        traits(second_code_identifier),
        {"other_identifiers": "error"},
        "ory.sh/kratos",
    ),
    "optional user name": (
        traits(optional_user_name),
        {"other_identifiers": "warning"},
        "ory.sh/kratos",
    ),
    "address not verifiable": (
        traits(unverifiable),
        {"address_trait": "error"},
        '"verification": {"via": "email"}',
    ),
    "passkeys": (
        passkey,
        {"other_methods": "warning"},
        "methods.passkey, set:\nenabled: false",
    ),
    "social sign-in": (
        oidc,
        {"other_methods": "warning"},
        "methods.oidc, set:\nenabled: false",
    ),
}
UNSEEN = {"code_hook": "warning", "config_file": "warning"}
NO_SERVER = {"hook_port": "warning", "password_hook": "warning"}


def test_with_a_server(stack: Stack) -> None:
    """The reference configuration is well, with a server, and nothing is left.

    Without Kratos' file it says what was not looked at.
    """
    before, settings = held(stack.kratos), settings_of(stack.server)
    done = check(settings, "--kratos-config", config_of(stack.kratos))
    unseen = check(settings)

    assert (0, {}, "") == (done.exit_code, done.faults, done.stderr)
    assert {"hook_port", "password_hook", "code_hook", "hook_order", "courier"} < {
        one["check"] for one in done.findings
    }
    assert (0, UNSEEN) == (unseen.exit_code, unseen.faults)
    assert "--kratos-config" in unseen.fault("config_file")["cure"]
    assert before == held(stack.kratos)


@pytest.mark.parametrize(("mutation", "faults", "cure"), SHOWN.values(), ids=SHOWN)
def test_shown_by_behaviour(
    frail: Frail, mutation: Mutation, faults: dict[str, str], cure: str
) -> None:
    """What shows by Kratos' behaviour is found without its file, and named.

    No account is left. One that Kratos stored without asking has had a mail sent to it,
    under a domain that never exists.
    """
    frail.bend(mutation)
    kratos = frail.stack.kratos
    before = identity_ids(kratos), session_ids(kratos)
    done = check(settings_of(frail.stack.server))

    assert faults | UNSEEN == done.faults
    assert ("error" in faults.values()) == bool(done.exit_code)
    assert cure in "".join(done.fault(name)["cure"] for name in faults)
    assert before == (identity_ids(kratos), session_ids(kratos))
    assert frail.hook_key not in str(done)


def test_cure_cures(site: Site) -> None:
    """What the cure says, put into kratos.yml, makes all well, as far as it shows.

    No server runs: a password hook that Kratos does not call shows all the same.
    """
    (port,) = free_ports(1)
    cures: list[str] = []

    def mutate(config: dict[str, Any]) -> None:
        without_hook("code")(config)
        without_hook("password")(config)
        for cure in cures:
            cured(config, cure)

    kratos = site.kratos(port, mutate)
    shutil.copytree(KRATOS_DIRECTORY / "hooks", kratos.directory / "hooks")
    with kratos:
        settings = settings_for(kratos, port)
        file = ("--kratos-config", config_of(kratos))
        without = check(settings)
        broken = check(settings, *file)
        found = {one["cure"] for one in broken.findings if one["severity"] == "error"}
        cures += found
        kratos.stop()
        kratos.start()
        mended = check(settings, *file)

        assert NO_SERVER | UNSEEN | {"password_hook": "error"} == without.faults
        assert ["hook_port", "code_hook", "password_hook"] == [
            one["check"]
            for one in broken.findings
            if one["cure"] and one["check"] != "version"  # of an unknown Kratos
        ]
        assert (0, NO_SERVER) == (mended.exit_code, mended.faults)
        assert (set(), set()) == (identity_ids(kratos), session_ids(kratos))


def test_required_traits(site: Site) -> None:
    """Traits that the schema demands are said, and can be given."""
    (port,) = free_ports(1)
    with site.kratos(port, traits(requiring_a_name)) as kratos:
        without = check(settings_for(kratos, port))
        given = check(settings_for(kratos, port), "--traits", '{"name": "Ada"}')
        unfit = check(settings_for(kratos, port), "--traits", '{"name": 7}')

        unseen = ("code_method", "password_method", "other_methods", "password_hook")
        told = "The same as for code_method."
        assert [told] * 3 == [without.fault(name)["cure"] for name in unseen[1:]]
        assert dict.fromkeys(unseen, "warning") | NO_SERVER | UNSEEN == without.faults
        assert NO_SERVER | UNSEEN == given.faults
        assert {"identity_schema": "error"} | UNSEEN == unfit.faults
        assert "gives: traits.name" in unfit.fault("identity_schema")["what"]
        assert (0, 0, 1) == (without.exit_code, given.exit_code, unfit.exit_code)


def test_body_missing(frail: Frail) -> None:
    """A password hook that does not say what it is about is found by any check."""
    body = f"base64://{base64.b64encode(b'function(ctx) {}').decode()}"
    frail.bend(hook("password", body=body))
    done = check(settings_of(frail.stack.server))

    assert "kratos/hooks/password.jsonnet" in done.fault("password_hook")["why"]


def test_pattern(site: Site) -> None:
    """A schema that excludes the check's address is said, not a missing trait."""
    (port,) = free_ports(1)
    with site.kratos(port, traits(of_a_company)) as kratos:
        done = check(settings_for(kratos, port))

        assert 0 == done.exit_code
        assert "a pattern that excludes addresses" in done.fault("code_method")["cure"]


@pytest.mark.parametrize(
    ("scheme", "host", "why"),
    [
        ("http", "127.0.0.1", "Connection refused"),
        ("https", "127.0.0.1", "Connection refused"),
        ("http", "kratos.invalid", "the host name is unknown"),
    ],
)
def test_nobody_there(scheme: str, host: str, why: str) -> None:
    """Without a Kratos it says so and why, and how to go on."""
    public, admin, hooks = free_ports(3)
    done = check(
        {
            "KRATOS_PUBLIC_URL": f"{scheme}://ann:hunter2@{host}:{public}",
            "KRATOS_ADMIN_URL": f"{scheme}://{host}:{admin}",
            "HOOK_LISTEN": f"127.0.0.1:{hooks}",
        }
    )

    assert 1 == done.exit_code
    assert {"public_api": "error", "admin_api": "error"} | UNSEEN == done.faults
    seen = f"Nobody can sign up: {scheme}://{host}:{public}: {why}."
    assert seen == done.fault("public_api")["why"]
    assert "SIGNUPD_KRATOS_ADMIN_URL" in done.fault("admin_api")["cure"]


def test_swapped_urls(stack: Stack) -> None:
    """Where each API's URL is the other's, the redirect that answers is told."""
    settings = settings_of(stack.server)
    public, admin = settings["KRATOS_PUBLIC_URL"], settings["KRATOS_ADMIN_URL"]
    done = check(settings | {"KRATOS_PUBLIC_URL": admin, "KRATOS_ADMIN_URL": public})

    assert {"public_api": "error", "admin_api": "error"} | UNSEEN == done.faults
    for api in ("public_api", "admin_api"):
        assert (
            "the other API of Kratos, or a proxy, may be there"
            in done.fault(api)["why"]
        )

"""`signupd check` against a Kratos that is well, and many that are not."""

import shutil
from typing import Any

import pytest
import yaml

from devstack.binary import KRATOS_DIRECTORY
from devstack.config import Mutation
from devstack.ports import free_ports
from tests.e2e.broken import (
    REGISTRATION,
    hook_after,
    hook_at,
    hook_body,
    hook_for_all,
    hook_key,
    oidc,
    passkey,
    requiring_a_name,
    second_code_identifier,
    setting,
    traits,
    unparsed_hook,
    unverifiable,
    without_hook,
)
from tests.e2e.checking import (
    check,
    config_of,
    cured,
    held,
    settings_for,
    settings_of,
)
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
    "password hook dead": (
        hook_at("password", *free_ports(1)),
        {"password_hook": "error"},
        "/kratos/password",
    ),
    "password hook without body": (
        hook_body("password", "function(ctx) {}"),
        {"password_hook": "error"},
        "ctx.flow.id",
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
    "address not verifiable": (
        traits(unverifiable),
        {"address_trait": "error"},
        '"verification": {"via": "email"}',
    ),
    "passkeys": (passkey, {"other_methods": "warning"}, "passkey:\n"),
    "social sign-in": (oidc, {"other_methods": "warning"}, "oidc:\n"),
}
# The same, where only Kratos' configuration file tells.
IN_THE_FILE: dict[str, tuple[Mutation, dict[str, str], str]] = {
    "no code hook": (without_hook("code"), {"code_hook": "error"}, HOOK),
    "code hook for all": (hook_for_all("code"), {"code_hook": "error"}, HOOK),
    "code hook elsewhere": (
        hook_at("code", *free_ports(1)),
        {"hook_urls": "error"},
        "/kratos/code",
    ),
    "overruled": (hook_after("password"), {"hook_order": "error"}, HOOK),
    "short-lived codes": (
        setting(f"{CODE}.config.lifespan", "5m"),
        {"code_lifespan": "warning"},
        "lifespan: 15m",
    ),
}
UNSEEN = {"code_hook": "warning", "config_file": "warning"}


class TestReference:
    """The reference configuration is all well."""

    def test_with_a_server(self, stack: Stack) -> None:
        """With the server running: every line is ok, and nothing is left."""
        before = held(stack.kratos)
        done = check(
            settings_of(stack.server), "--kratos-config", config_of(stack.kratos)
        )

        assert (0, {}, "") == (done.exit_code, done.faults, done.stderr)
        assert {"hook_port", "password_hook", "code_hook", "hook_order", "courier"} < {
            one["check"] for one in done.findings
        }
        assert before == held(stack.kratos)

    def test_without_a_server(self, site: Site) -> None:
        """Without one it listens for the hook itself, and says how long that took."""
        (port,) = free_ports(1)
        with site.kratos(port) as kratos:
            done = check(
                settings_for(kratos, port), "--kratos-config", config_of(kratos)
            )

            assert (0, {}, "") == (done.exit_code, done.faults, done.stderr)
            assert " ms into the probe" in str(done.findings)
            assert (set(), set(), set()) == held(kratos)

    def test_without_the_file(self, stack: Stack) -> None:
        """Without Kratos' file it says what it has not looked at."""
        done = check(settings_of(stack.server))

        assert (0, UNSEEN) == (done.exit_code, done.faults)
        assert "--kratos-config" in done.fault("config_file")["cure"]


@pytest.mark.parametrize(("mutation", "faults", "cure"), SHOWN.values(), ids=SHOWN)
def test_shown_by_behaviour(
    site: Site, mutation: Mutation, faults: dict[str, str], cure: str
) -> None:
    """What shows by Kratos' behaviour is found without its file, and named.

    No account is left. One that Kratos stored without asking has had a mail sent to it,
    under a domain that never exists.
    """
    (port,) = free_ports(1)
    settings = {"HOOK_KEY": "the-key-of-this-server"} if "X-Hook-Key" in cure else {}
    with site.kratos(port, mutation) as kratos:
        done = check(settings_for(kratos, port) | settings)

        assert faults | UNSEEN == done.faults
        assert ("error" in faults.values()) == bool(done.exit_code)
        assert cure in "".join(done.fault(name)["cure"] for name in faults)
        assert (set(), set()) == (identity_ids(kratos), session_ids(kratos))


@pytest.mark.parametrize(
    ("mutation", "faults", "cure"), IN_THE_FILE.values(), ids=IN_THE_FILE
)
def test_shown_by_the_file(
    site: Site, mutation: Mutation, faults: dict[str, str], cure: str
) -> None:
    """What does not is found in Kratos' file."""
    (port,) = free_ports(1)
    with site.kratos(port, mutation) as kratos:
        done = check(settings_for(kratos, port), "--kratos-config", config_of(kratos))

        assert faults == done.faults
        assert ("error" in faults.values()) == bool(done.exit_code)
        assert cure in "".join(done.fault(name)["cure"] for name in faults)


class TestWithAServer:
    """A broken Kratos, while the server answers its hooks."""

    @pytest.mark.parametrize(
        ("mutation", "said"),
        [
            (without_hook("password"), "without asking"),
            (unparsed_hook("password"), "without asking"),
            (hook_at("password", *free_ports(1)), "does not reach"),
            (hook_key("a-key-that-nobody-here-expects"), "another key"),
        ],
    )
    def test_password_hook(self, frail: Frail, mutation: Mutation, said: str) -> None:
        """The hook's fault is found by what the probe leads to, and cleaned up."""
        frail.bend(mutation)
        before = held(frail.stack.kratos)
        done = check(settings_of(frail.stack.server))

        assert 1 == done.exit_code
        assert said in done.fault("password_hook")["what"]
        assert before[0] == held(frail.stack.kratos)[0]

    def test_other_settings(self, frail: Frail) -> None:
        """A check that was given another hook key than the server says so."""
        settings = settings_of(frail.stack.server) | {
            "HOOK_KEY": "another-key-than-its"
        }
        done = check(settings)

        assert "another key" in done.fault("hook_port")["what"]
        assert frail.hook_key not in str(done)


def test_cure_cures(site: Site) -> None:
    """What the cure says, put into kratos.yml, makes all well."""
    (port,) = free_ports(1)
    cures: list[dict[str, Any]] = []

    def mutate(config: dict[str, Any]) -> None:
        without_hook("code")(config)
        without_hook("password")(config)
        for cure in cures:
            cured(config, cure)

    kratos = site.kratos(port, mutate)
    shutil.copytree(KRATOS_DIRECTORY / "hooks", kratos.directory / "hooks")
    with kratos:
        settings, file = (
            settings_for(kratos, port),
            ("--kratos-config", config_of(kratos)),
        )
        broken = check(settings, *file)
        found = {one["cure"] for one in broken.findings if one["severity"] == "error"}
        cures += [yaml.safe_load(cure) for cure in found]
        kratos.stop()
        kratos.start()
        mended = check(settings, *file)

        assert {"code_hook": "error", "password_hook": "error"} == broken.faults
        assert (0, {}) == (mended.exit_code, mended.faults)


def test_required_traits(site: Site) -> None:
    """Traits that the schema demands are said, and can be given."""
    (port,) = free_ports(1)
    with site.kratos(port, traits(requiring_a_name)) as kratos:
        without = check(settings_for(kratos, port))
        given = check(settings_for(kratos, port), "--traits", '{"name": "Ada"}')

        unseen = ("code_method", "password_method", "other_methods", "password_hook")
        assert dict.fromkeys(unseen, "warning") | UNSEEN == without.faults
        assert UNSEEN == given.faults
        assert (0, 0) == (without.exit_code, given.exit_code)


def test_nobody_there() -> None:
    """Without a Kratos it says so, and how to go on."""
    public, admin, hooks = free_ports(3)
    done = check(
        {
            "KRATOS_PUBLIC_URL": f"http://127.0.0.1:{public}",
            "KRATOS_ADMIN_URL": f"http://127.0.0.1:{admin}",
            "HOOK_LISTEN": f"127.0.0.1:{hooks}",
        }
    )

    assert 1 == done.exit_code
    assert {"public_api": "error", "admin_api": "error"} | UNSEEN == done.faults
    assert "SIGNUPD_KRATOS_ADMIN_URL" in done.fault("admin_api")["cure"]

"""What is found in Kratos' configuration file, and that its cures cure."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from signupd.check.file_rules import file_findings
from signupd.check.findings import Finding, Severity
from signupd.check.kratos_file import KratosFile
from signupd.settings import Settings

from devstack.binary import KRATOS_DIRECTORY
from devstack.config import Mutation
from tests.doubles.authority import Authority
from tests.e2e.broken import (
    AFTER,
    after_registration,
    hook,
    hook_at,
    hook_for_all,
    setting,
    unparsed_hook,
    without_hook,
)
from tests.e2e.checking import cured

Json = dict[str, Any]

SETTINGS = Settings()
WEB_HOOK = {"hook": "web_hook"}
AUDIT = "http://127.0.0.1:1/audit"
HARMLESS: list[Json] = [
    {"hook": "session"},
    WEB_HOOK | {"config": {"url": "http://x/", "response": {"ignore": True}}},
]
HOOKS = "http://127.0.0.1:9465"
OTHER = WEB_HOOK | {"config": {"url": AUDIT, "response": {"parse": True}}}
AUDITED = WEB_HOOK | {"config": {"url": AUDIT, "response": {"ignore": True}}}
# The older setting, with which an answer can refuse, and change nothing.
OLDER = WEB_HOOK | {"config": {"url": AUDIT, "can_interrupt": True}}
CODE_LIFESPAN = "selfservice.methods.code.config.lifespan"
FLOW_LIFESPAN = "selfservice.flows.registration.lifespan"
SUBMISSIONS = "selfservice.methods.code.config.max_submissions"
MIN_LENGTH = "selfservice.methods.password.config.min_password_length"
PROFILE = "selfservice.methods.profile"
FLOWS = "selfservice.flows"
CHANGED = f"{FLOWS}.settings.after.password.hooks"
LOGIN = f"{FLOWS}.login.after.password"
RECOVERED = f"{FLOWS}.recovery.after.hooks"


@cache
def parsed() -> Json:
    """Parse the reference configuration, which takes a while."""
    config: Json = yaml.safe_load((KRATOS_DIRECTORY / "kratos.yml").read_text("utf-8"))
    return config


def reference(*mutations: Mutation) -> Json:
    """Give the reference configuration, changed."""
    config = deepcopy(parsed())
    for mutate in mutations:
        mutate(config)
    return config


def beside(entry: Json, place: int = 99, method: str = "password") -> Mutation:
    """Put another hook before or after ours."""
    return lambda config: after_registration(config)[method]["hooks"].insert(
        place, entry
    )


def left_at(place: str, method: str) -> Mutation:
    """Have our hook of a method at another place too."""
    hooks = deepcopy(after_registration(parsed())[method]["hooks"])
    return setting(f"{place}.hooks", [AUDITED, *hooks])


def faults(config: Json, settings: Settings = SETTINGS) -> list[Finding]:
    """Make all findings on a configuration; keep what is not well."""
    found = file_findings(KratosFile(config), settings)
    return [one for one in found if one.severity is not Severity.OK]


def profile_hooks(*entries: Json) -> Mutation:
    """Let users change their traits, with hooks."""

    def mutate(config: Json) -> None:
        setting(f"{PROFILE}.enabled", value=True)(config)
        setting(f"{FLOWS}.settings.after.profile.hooks", [*entries])(config)

    return mutate


def without_revoking(config: Json) -> None:
    """Let sessions go on."""
    for place in (CHANGED, RECOVERED):
        setting(place, [])(config)


KEY = {
    "type": "api_key",
    "config": {"name": "X-Hook-Key", "value": "s3cret-value", "in": "header"},
}
SAME = {
    "config": {"in": "header", "value": "s3cret-value", "name": "x-hook-key"},
    "type": "api_key",
}
# What is broken; the check that finds it, and how bad; what it says.
FAULTS = [
    (without_hook("code"), "code_hook", "error", "has no hook"),
    (
        hook("code", url="http://127.0.0.1:9465/kratos/password"),
        "code_hook",
        "error",
        "but one to /kratos/password",
    ),
    (
        hook("password", url="http://127.0.0.1:9465/kratos/code"),
        "password_hook",
        "error",
        "but one to /kratos/code",
    ),
    (hook_for_all("code"), "code_hook", "error", f"under {AFTER}.hooks"),
    (unparsed_hook("code"), "code_hook", "error", "response.parse"),
    (hook("code", method="GET"), "code_hook", "error", "POST"),
    (hook("password", body=""), "password_hook", "error", "has no body"),
    (hook("code", url=f"{HOOKS}//kratos/code"), "code_hook", "error", "slash too many"),
    (hook("code", url=f"{HOOKS}/kratos/code/"), "code_hook", "error", "slash too many"),
    (
        hook("password", response={}, can_interrupt=True),
        "password_hook",
        "error",
        "response.parse",
    ),
    (without_hook("password"), "password_hook", "error", "has no hook"),
    (hook_for_all("password"), "password_hook", "error", f"under {AFTER}.hooks"),
    (setting(f"{AFTER}.code.hooks", [OTHER]), "code_hook", "warning", "may lead to"),
    (hook_at("code", 1), "hook_urls", "error", "different places"),
    (hook("code", auth=KEY), "hook_urls", "error", "different keys"),
    (left_at(AFTER, "code"), "code_hook", "warning", f"under {AFTER}.hooks too"),
    (left_at(LOGIN, "password"), "password_hook", "warning", f"under {LOGIN}.hooks"),
    (beside(OTHER), "hook_order", "warning", "another hook"),
    (beside(OLDER), "hook_order", "warning", "after ours in"),
    (beside(OTHER, 0, "code"), "hook_order", "warning", "before ours in"),
    (
        hook("password", headers={"x-hook-key": "s3cret-value"}),
        "hook_urls",
        "error",
        "different keys",
    ),
    (setting(CODE_LIFESPAN, "14m59s"), "code_lifespan", "warning", "14m59s"),
    (setting(FLOW_LIFESPAN, "90s"), "flow_lifespan", "warning", "90s"),
    (setting(SUBMISSIONS, 3), "code_submissions", "warning", "takes 3 codes"),
    (setting(MIN_LENGTH, 12), "password_length", "warning", "12 characters"),
    (setting("courier.worker", {"pull_count": 5}), "courier", "warning", "5 mails"),
    (setting("courier", {}), "courier", "warning", "10 mails"),
    (setting(PROFILE, {"enabled": True}), "profile_method", "error", "any free"),
    # On by default, and a hook that Kratos does not wait for changes nothing.
    (setting(PROFILE, {}), "profile_method", "error", "any free"),
    (profile_hooks(*HARMLESS), "profile_method", "error", "any free"),
    (setting(CHANGED, []), "old_sessions", "warning", CHANGED),
    (setting(RECOVERED, []), "old_sessions", "warning", RECOVERED),
    (without_revoking, "old_sessions", "warning", f"{CHANGED} and {RECOVERED}"),
]
# What is odd, and well.
WELL = [
    *(beside(entry) for entry in HARMLESS),
    beside(OTHER, 0),
    lambda config: [
        hook(method, headers={"X-HOOK-KEY": "s3cret-value"})(config)
        for method in ("code", "password")
    ],
    beside(OTHER, method="code"),
    hook("code", response={}, can_interrupt=True),
    profile_hooks(*HARMLESS, OTHER),
    # Without recovery there is nothing to revoke sessions after.
    setting(f"{FLOWS}.recovery", {"enabled": False}),
    # A proxy may add to the beginning of our path.
    lambda config: [
        hook(method, url=f"https://edge.example/signupd/kratos/{method}")(config)
        for method in ("code", "password")
    ],
    # The same place and key, written in two ways.
    lambda config: [
        hook("code", auth=KEY, url="HTTP://localhost:9465/kratos/code")(config),
        hook("password", auth=SAME, url="http://127.0.0.1:9465/kratos/password")(
            config
        ),
    ],
]


@pytest.mark.parametrize("mutate", [lambda _: None, *WELL])
def test_well(mutate: Mutation) -> None:
    """The reference configuration is well, and so is what does no harm."""
    config = reference(mutate)
    found = file_findings(KratosFile(config), SETTINGS)

    assert {("ok", "")} == {(one.severity.value, one.cure) for one in found}
    assert 12 == len(found)


@pytest.mark.parametrize(("mutate", "check", "severity", "said"), FAULTS)
def test_fault(mutate: Mutation, check: str, severity: str, said: str) -> None:
    """Each fault is found by its name, and by nothing else; its cure cures it.

    No finding repeats a key that is in the file.
    """
    config = reference(mutate)
    (found,) = faults(config)
    cured(config, found.cure)

    assert (check, severity) == (found.check, found.severity)
    assert said in found.what
    assert [] == faults(config)
    assert "s3cret-value" not in repr(found)


@pytest.mark.parametrize(
    ("mutate", "cure"),
    [
        (without_hook("password"), "add as the last entry"),
        (unparsed_hook("password"), "response:\n  parse: true"),
        (hook("password", method="GET"), "method: POST"),
        (beside(OTHER), "to the end."),
        (setting(CHANGED, [AUDITED]), "hook: revoke_active_sessions"),
        (setting(f"{PROFILE}.config", {"x": 1}), ""),
    ],
)
def test_cures_leave_the_rest(mutate: Mutation, cure: str) -> None:
    """A cure adds or changes; entries of lists, and keys beside it, stay."""
    config = reference(mutate, beside(AUDITED, 0), setting(f"{PROFILE}.enabled", True))
    before = deepcopy(config)
    found = faults(config)
    for one in found:
        cured(config, one.cure)

    assert cure in "".join(one.cure for one in found)
    assert [] == faults(config)
    assert AUDITED in after_registration(config)["password"]["hooks"]
    assert _keys(before) <= _keys(config)


def _keys(config: Any, path: str = "") -> set[str]:
    """List the keys of a configuration, by their paths."""
    if not isinstance(config, dict):
        return set()
    return {path}.union(*(_keys(config[key], f"{path}.{key}") for key in config))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cure_for_these_settings(tmp_path: Path, scheme: str) -> None:
    """The cure has the name of the key, not the key, and leaves the host to name."""
    given = {"hook_listen": "0.0.0.0:9465", "hook_key": "a-key-of-many-characters"}
    if scheme == "https":
        Authority().serve_from(tmp_path)
        given["hook_tls_cert"] = f"{tmp_path}/tls.crt"
        given["hook_tls_key"] = f"{tmp_path}/tls.key"
    settings = Settings.model_validate(given)
    found, *others = faults(reference(without_hook("code")), settings)
    wrong = [one.check for one in others if "https://" in one.what]

    assert wrong == (["hook_urls"] if scheme == "https" else [])

    assert f"url: {scheme}://<this host>:9465/kratos/code" in found.cure
    assert "name: X-Hook-Key" in found.cure
    assert "value: <SIGNUPD_HOOK_KEY>" in found.cure
    assert "a-key-of" not in found.cure


@pytest.mark.parametrize("headers", [None, {3: 4}, {"x-hook-key": "s3cret-value"}])
def test_no_key(headers: Any) -> None:
    """Hooks without the key, where one is set, are warned of: a proxy may add it."""
    settings = Settings.model_validate({"hook_key": "a-key-of-many-characters"})
    both = [hook(method, headers=headers) for method in ("code", "password")]
    found = faults(reference(*both), settings)
    keyed = isinstance(headers, dict) and "x-hook-key" in headers

    assert ([] if keyed else [("hook_urls", "warning")]) == [
        (one.check, one.severity) for one in found
    ]


@pytest.mark.parametrize(
    ("algorithm", "expected"), [("bcrypt", ["hasher"]), ("argon2", [])]
)
def test_hasher(algorithm: str, expected: list[str]) -> None:
    """Bcrypt reads 72 bytes, other hashers all."""
    config = reference(setting("hashers.algorithm", algorithm))
    found = faults(config, Settings(password_max_bytes=128))

    assert expected == [one.check for one in found]


def test_defaults() -> None:
    """Absent keys stand for Kratos' own defaults."""
    settings = Settings.model_validate({"code_ttl": "2h", "password_max_bytes": 99})
    found = {one.check.value: one.cure for one in faults({}, settings)}

    assert [
        "code_hook",
        "password_hook",
        "profile_method",
        "old_sessions",
        "courier",
    ] == [one.check for one in faults({})]
    assert {"code_lifespan", "flow_lifespan", "hasher"} < found.keys()
    assert "set:\nlifespan: 120m\nor SIGNUPD_CODE_TTL=60m" in found["code_lifespan"]


def test_cures_are_allowed() -> None:
    """A value that our setting refuses is not offered: only Kratos' can be changed."""
    config = reference(setting(CODE_LIFESPAN, "soon"), setting(SUBMISSIONS, 0))
    found = faults(config)
    cures = [one.cure for one in found]

    assert ["codes live soon", "Kratos takes 0"] == [
        re.match(r"(\w+ ){2}\w+", one.what)[0]  # type: ignore[index]
        for one in found
    ]
    assert not [cure for cure in cures if "SIGNUPD_" in cure]


@pytest.mark.parametrize("nonsense", [None, 5, "x", [], [3], {"hooks": 7}])
@pytest.mark.parametrize("path", [AFTER, "courier.worker", "hashers"])
def test_nonsense(nonsense: Any, path: str) -> None:
    """A file that Kratos itself would refuse is looked at without a crash."""
    assert isinstance(faults(reference(setting(path, nonsense))), list)

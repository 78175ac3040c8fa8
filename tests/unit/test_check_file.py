"""What the preflight finds in Kratos' configuration file, and that its cures cure."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from signupd.check.file_hooks import hook_findings
from signupd.check.file_rules import RULES
from signupd.check.findings import Finding, Severity
from signupd.check.kratos_file import KratosFile
from signupd.settings import Settings

from devstack.binary import KRATOS_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

REFERENCE = KRATOS_DIRECTORY / "kratos.yml"
SETTINGS = Settings()
KEYED = Settings.model_validate({"hook_key": "a-key-of-many-characters"})
WARNING, ERROR = Severity.WARNING, Severity.ERROR


@cache
def parsed() -> Json:
    """Parse the reference configuration, which takes a while."""
    config: Json = yaml.safe_load(REFERENCE.read_text(encoding="utf-8"))
    return config


def reference() -> Json:
    """Give the reference configuration, to be changed."""
    return deepcopy(parsed())


def after(config: Json) -> Json:
    """Give the part with the hooks after registration."""
    part: Json = config["selfservice"]["flows"]["registration"]["after"]
    return part


def hook(config: Json, method: str) -> Json:
    """Give the configuration of our hook of a method."""
    part: Json = after(config)[method]["hooks"][0]["config"]
    return part


def faults(config: Json, settings: Settings = SETTINGS) -> list[Finding]:
    """Make all findings on a configuration; keep what is not well."""
    file = KratosFile(config)
    found = [*hook_findings(file, settings), *(rule(file, settings) for rule in RULES)]
    return [one for one in found if one.severity is not Severity.OK]


def laid_over(config: Json, lines: Json) -> Json:
    """Lay the lines of a cure over a configuration."""
    made = deepcopy(config)
    for key, value in lines.items():
        below = made.get(key)
        nested = isinstance(below, dict) and isinstance(value, dict)
        made[key] = laid_over(below or {}, value) if nested else value
    return made


def no_code_hook(config: Json) -> None:
    """Take the code hook away."""
    del after(config)["code"]


def no_password_hook(config: Json) -> None:
    """Take the password hook away."""
    after(config)["password"] = {"hooks": [{"hook": "session"}]}


def code_hook_for_all(config: Json) -> None:
    """Put the code hook where it stops nothing."""
    after(config)["hooks"] = after(config).pop("code")["hooks"]


def code_hook_unparsed(config: Json) -> None:
    """Have Kratos not wait for the code hook."""
    del hook(config, "code")["response"]


def code_hook_by_get(config: Json) -> None:
    """Have the code hook sent in a way that we do not answer."""
    hook(config, "code")["method"] = "GET"


def code_hook_elsewhere(config: Json) -> None:
    """Send the code hook to another port than the password hook."""
    hook(config, "code")["url"] = "http://127.0.0.1:1/kratos/code"


def code_hook_with_a_key(config: Json) -> None:
    """Give one of the two hooks a key."""
    key = {"name": "X-Hook-Key", "value": "s3cret-value", "in": "header"}
    hook(config, "code")["auth"] = {"type": "api_key", "config": key}


def overruled(config: Json) -> None:
    """Have another hook asked after ours."""
    after(config)["password"]["hooks"].append(other_hook())


def other_hook(**changed: Any) -> Json:
    """Make a hook that is not ours."""
    config = {"url": "http://127.0.0.1:1/audit", "method": "POST"}
    return {
        "hook": "web_hook",
        "config": config | {"response": {"parse": True}} | changed,
    }


def other_code_hook(config: Json) -> None:
    """Have a hook in our place whose path tells nothing."""
    after(config)["code"]["hooks"] = [other_hook()]


def set_to(path: str, value: Any) -> Callable[[Json], None]:
    """Change one setting."""

    def change(config: Json) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config.setdefault(parent, {})
        config[last] = value

    return change


CODE_LIFESPAN = "selfservice.methods.code.config.lifespan"
FLOW_LIFESPAN = "selfservice.flows.registration.lifespan"
MIN_LENGTH = "selfservice.methods.password.config.min_password_length"
FAULTS = [
    (no_code_hook, "code_hook", ERROR),
    (code_hook_for_all, "code_hook", ERROR),
    (code_hook_unparsed, "code_hook", ERROR),
    (code_hook_by_get, "code_hook", ERROR),
    (no_password_hook, "password_hook", ERROR),
    (code_hook_elsewhere, "hook_urls", ERROR),
    (code_hook_with_a_key, "hook_urls", ERROR),
    (overruled, "hook_order", ERROR),
    (set_to(CODE_LIFESPAN, "14m59s"), "code_lifespan", WARNING),
    (set_to(FLOW_LIFESPAN, "90s"), "flow_lifespan", WARNING),
    (set_to(MIN_LENGTH, 12), "password_length", WARNING),
    (set_to("courier.worker", {"pull_count": 5}), "courier", WARNING),
    (set_to("courier", {}), "courier", WARNING),
]


def test_reference() -> None:
    """The reference configuration is all well."""
    assert [] == faults(reference())


@pytest.mark.parametrize(("break_it", "check", "severity"), FAULTS)
def test_fault(
    break_it: Callable[[Json], None], check: str, severity: Severity
) -> None:
    """Each fault is found by its name, and by nothing else."""
    config = reference()
    break_it(config)

    assert [(check, severity)] == [(one.check, one.severity) for one in faults(config)]


@pytest.mark.parametrize(
    "break_it", [break_it for break_it, check, _ in FAULTS if check != "hook_urls"]
)
def test_cure(break_it: Callable[[Json], None]) -> None:
    """The lines of the cure, put into the broken file, cure it."""
    config = reference()
    break_it(config)
    (finding,) = faults(config)
    text = finding.cure.partition("\nor SIGNUPD")[0].removeprefix("Put ours last:\n")
    cured = laid_over(config, yaml.safe_load(text))

    assert [] == faults(cured)


def test_cure_of_two() -> None:
    """Where the two hooks differ, both are given anew."""
    config = reference()
    code_hook_elsewhere(config)
    (finding,) = faults(config)
    for lines in finding.cure.split("\nand\n"):
        config = laid_over(config, yaml.safe_load(lines))

    assert [] == faults(config)


def test_cure_with_a_key() -> None:
    """With a hook key the cure says how it is sent, and not what it is."""
    config = reference()
    no_code_hook(config)
    (finding,) = faults(config, KEYED)

    assert "name: X-Hook-Key" in finding.cure
    assert "value: <SIGNUPD_HOOK_KEY>" in finding.cure
    assert "a-key-of" not in finding.cure


def test_no_secret_shown() -> None:
    """No finding repeats a key that stands in the file."""
    config = reference()
    code_hook_with_a_key(config)

    assert "s3cret-value" not in repr(faults(config))


def test_cure_beyond_this_machine() -> None:
    """Where we listen on every address, the cure leaves it to name one."""
    config = reference()
    no_code_hook(config)
    given = {"hook_listen": "0.0.0.0:9465", "hook_key": "a-key-of-many-characters"}
    settings = Settings.model_validate(given)
    (finding,) = faults(config, settings)

    assert "url: http://<this host>:9465/kratos/code" in finding.cure


def test_for_all() -> None:
    """A hook under ``after.hooks`` is seen there."""
    config = reference()
    code_hook_for_all(config)
    (finding,) = faults(config)

    assert "after.hooks" in finding.what


def test_may_lead_to_us() -> None:
    """A hook in our place with another path is a warning: a proxy may change it."""
    config = reference()
    other_code_hook(config)

    assert [("code_hook", WARNING)] == [(f.check, f.severity) for f in faults(config)]


def test_behind_a_prefix() -> None:
    """A path that only ends like ours is ours."""
    config = reference()
    for method in ("code", "password"):
        hook(config, method)["url"] = f"https://edge.example/signupd/kratos/{method}"

    assert [] == faults(config)


@pytest.mark.parametrize(
    "harmless", [{"hook": "session"}, other_hook(response={"ignore": True})]
)
def test_harmless_after_ours(harmless: Json) -> None:
    """A later hook that Kratos does not wait for may stand there."""
    config = reference()
    after(config)["password"]["hooks"].append(harmless)

    assert [] == faults(config)


def test_older_name() -> None:
    """``can_interrupt`` is an older name of ``response.parse``."""
    config = reference()
    later = other_hook(response={}, can_interrupt=True)
    after(config)["password"]["hooks"].append(later)

    assert ["hook_order"] == [one.check for one in faults(config)]


def test_before_ours() -> None:
    """Other hooks may be asked before ours."""
    config = reference()
    after(config)["password"]["hooks"].insert(0, other_hook())

    assert [] == faults(config)


@pytest.mark.parametrize(
    ("algorithm", "expected"), [("bcrypt", ["hasher"]), ("argon2", [])]
)
def test_hasher(algorithm: str, expected: list[str]) -> None:
    """Bcrypt reads 72 bytes, other hashers all."""
    config, settings = reference(), Settings(password_max_bytes=128)
    config["hashers"]["algorithm"] = algorithm

    assert expected == [one.check for one in faults(config, settings)]


def test_defaults() -> None:
    """Absent keys stand for Kratos' own defaults."""
    checks = [one.check for one in faults({})]

    assert ["code_hook", "password_hook", "courier"] == checks
    assert {"hasher"} < {
        one.check for one in faults({}, Settings(password_max_bytes=99))
    }


def test_longer_codes() -> None:
    """An hour, Kratos' default, is too short for a longer CODE_TTL alone."""
    settings = Settings.model_validate({"code_ttl": "2h"})
    checks = {one.check.value: one.cure for one in faults({}, settings)}

    assert {"code_lifespan", "flow_lifespan"} < checks.keys()
    assert "lifespan: 120m\nor SIGNUPD_CODE_TTL=60m" in checks["code_lifespan"]


@pytest.mark.parametrize("nonsense", [None, 5, "x", [], [3], {"hooks": 7}])
def test_nonsense(nonsense: Any) -> None:
    """A file that Kratos itself would refuse is looked at without a crash."""
    for path in ("selfservice.flows.registration.after", "courier.worker", "hashers"):
        config = reference()
        set_to(path, nonsense)(config)

        assert isinstance(faults(config), list)


def test_hooked() -> None:
    """Methods with a hook that may refuse are named."""
    config = reference()
    after(config)["oidc"] = {"hooks": [other_hook()]}
    after(config)["passkey"] = {"hooks": [{"hook": "session"}]}

    assert {"code", "password", "oidc"} == KratosFile(config).hooked()

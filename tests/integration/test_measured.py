"""What a scrape shows of calls that were really made."""

import re
import uuid
from typing import Any

import grpc
import pytest
from signupd.kratos.http import Call
from signupd.notation import METHODS
from signupd.rpc.statuses import STATUSES
from signupd.telemetry.observer import CALLER_GONE, OK

from tests.integration.caller import another, refusal
from tests.integration.world import Replica, World, to_code, to_password

COUNT = re.compile(
    r"^(signupd_kratos_call_duration_seconds_count|signupd_rpc_reasons_total|"
    r"grpc_server_\w+_total)\{(.*)\} (\S+)$",
    re.MULTILINE,
)
SIGNUPS = "kratos_signup.v1.SignupService"
PASSWORD = "seven tall ladders"


async def counts(replica: Replica) -> dict[tuple[str, ...], float]:
    """Scrape; give the counts by their labels' values, without those of health."""
    return {
        tuple(re.findall(r'="([^"]*)"', labels)): float(count)
        for _, labels, count in COUNT.findall((await replica.page())[1])
        if f'call="{Call.READY}"' not in labels
    }


async def test_a_whole_way(world: World) -> None:
    """Each RPC counts under its name and reason, each call under its own and status."""
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    caller = replica.caller
    token, code = await to_code(world, caller, "ann@example.com")
    await refusal(caller.verify(token, another(code)))
    token = (await caller.verify(token, code)).continuation_token
    done = await caller.set_password(token, PASSWORD)
    await caller.accounts([done.signup.identity_id])
    await refusal(caller.account(email="nobody@example.com"))
    await caller.get(token)

    found = await counts(replica)
    assert {
        ("StartSignup", "OK"): 1,
        ("VerifyCode", "CODE_INCORRECT"): 1,
        ("VerifyCode", "OK"): 1,
        ("SetPassword", "OK"): 1,
        ("GetSignup", "OK"): 1,
        ("BatchGetAccounts", "OK"): 1,
        ("GetAccount", "ACCOUNT_NOT_FOUND"): 1,
    } == {of: n for of, n in found.items() if of[0][0].isupper() and len(of) == 2}
    rpc = ("VerifyCode", SIGNUPS, "unary")  # labels are sorted by their names
    assert {rpc: 2, ("OK", *rpc): 1, ("INVALID_ARGUMENT", *rpc): 1} == {
        of: n for of, n in found.items() if of[-3:] == rpc
    }
    assert {
        ("open", "200"),
        ("send", "400"),
        ("code", "400"),
        ("find", "200"),
        ("password", "200"),
        ("sessions", "204"),
        ("accounts", "200"),
    } <= found.keys()
    # No caller waits longer.
    assert 'grpc_type="unary",le="60.0"' in (await replica.page())[1]


async def test_labels_are_few(world: World) -> None:
    """Whatever callers send, labels are the contract's words and Kratos' statuses."""
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    caller = replica.caller
    await to_password(world, caller, "ann@example.com")
    for spoiled in ("", "x", str(uuid.uuid4()), "ann@example.com", '\\"\n'):
        await refusal(caller.verify(spoiled, "123456"))
        await refusal(caller.account(identity_id=spoiled))
    unknown: Any = caller.channel.unary_unary("/kratos_signup.v1.SignupService/Ann")
    with pytest.raises(Exception, match="not found"):
        await unknown(b"")

    found = await counts(replica)
    methods = {name for names in METHODS.values() for name in names}
    services = {f"kratos_signup.v1.{name}" for name in METHODS}
    codes = {code.name for code in grpc.StatusCode}
    words = {"unary", OK, CALLER_GONE, *STATUSES, *Call, *methods, *services, *codes}
    assert {"200", "400"} == {label for labels in found for label in labels} - words


async def test_no_kratos(world: World) -> None:
    """A Kratos that cannot be reached shows as such, by each call tried."""
    nowhere = {"kratos_public_url": "http://127.0.0.1:9"}
    replica = await world.serve(metrics_listen="127.0.0.1:0", proved=False, **nowhere)
    for _ in range(10):
        await refusal(replica.caller.start("ann@example.com"))

    found = await counts(replica)
    assert "signupd_kratos_breakers_open 1.0\n" in (await replica.page())[1]
    assert {"unreached"} == {labels[1] for labels in found if labels[0] in set(Call)}
    assert 10 == found["StartSignup", "KRATOS_UNAVAILABLE"]

"""What a scrape shows of calls that were really made."""

import re
import uuid
from typing import Any

import aiohttp
import pytest
from signupd.kratos.http import Call
from signupd.rpc.statuses import STATUSES
from signupd.telemetry.observer import CALLER_GONE, OK

from tests.integration.caller import another, refusal
from tests.integration.world import Replica, World, to_code, to_password

COUNT = re.compile(
    r"^signupd_(\w+)_duration_seconds_count\{(.*)\} (\S+)$", re.MULTILINE
)
PASSWORD = "seven tall ladders"


async def counts(replica: Replica) -> dict[tuple[str, str], float]:
    """Scrape; give the counts by the histogram's two labels."""
    url = f"http://127.0.0.1:{replica.service.metrics_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        text = await answer.text()
    rows = COUNT.findall(text)
    assert {"rpc", "kratos_call"} >= {family for family, _, _ in rows}
    return {
        tuple(re.findall(r'="([^"]*)"', labels)): float(count)
        for _, labels, count in rows
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
    rpcs = {labels: count for labels, count in found.items() if "/" in labels[0]}
    assert {
        ("SignupService/StartSignup", "OK"): 1,
        ("SignupService/VerifyCode", "CODE_INCORRECT"): 1,
        ("SignupService/VerifyCode", "OK"): 1,
        ("SignupService/SetPassword", "OK"): 1,
        ("SignupService/GetSignup", "OK"): 1,
        ("AccountService/BatchGetAccounts", "OK"): 1,
        ("AccountService/GetAccount", "ACCOUNT_NOT_FOUND"): 1,
    } == rpcs
    assert {
        ("open", "200"),
        ("send", "400"),
        ("code", "400"),
        ("find", "200"),
        ("password", "200"),
        ("sessions", "204"),
        ("accounts", "200"),
    } <= found.keys()


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
    names = {name for name, _ in found} - set(Call)
    outcomes = {outcome for _, outcome in found} - {OK, CALLER_GONE, *STATUSES}
    assert all(re.fullmatch("(Signup|Account)Service/[A-Z][a-zA-Z]+", n) for n in names)
    assert [] == [name for name in names if name.endswith("/Ann")]
    assert {"200", "400"} == outcomes


async def test_no_kratos(world: World) -> None:
    """A Kratos that cannot be reached shows as such, by each call tried."""
    nowhere = {"kratos_public_url": "http://127.0.0.1:9"}
    replica = await world.serve(metrics_listen="127.0.0.1:0", proved=False, **nowhere)
    await refusal(replica.caller.start("ann@example.com"))

    found = await counts(replica)
    assert {"unreached"} == {how for name, how in found if "/" not in name}
    assert 1 == found["SignupService/StartSignup", "KRATOS_UNAVAILABLE"]

"""The hook port: who is agreed with, who is not, and what strangers get to see."""

import asyncio
import json
import ssl
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from signupd.kratos.identity import make_mark
from signupd.ports.hooks import MAX_BODY_BYTES

from tests.doubles.authority import LOOPBACK, Authority
from tests.doubles.trouble import Held
from tests.integration.caller import Caller, state_of
from tests.integration.world import PASSWORD, World, to_password

ADDRESS = "kim@example.com"
LEASE_SECONDS = 75
UNKNOWN_FLOW = 9999002
NOT_NOW = 9999003
PROVED = 9999001
HOOK_KEY = "sixteen-or-more-characters"


async def setting(world: World, caller: Caller) -> tuple[Held, asyncio.Task[Any]]:
    """Bring a sign-up to where Kratos is about to ask for its account."""
    token = await to_password(world, caller, ADDRESS)
    held = world.kratos.hold("password")
    call: asyncio.Task[Any] = asyncio.ensure_future(
        caller.set_password(token, PASSWORD)
    )
    await held.arrived.wait()
    return held, call


async def test_code_hook(world: World, caller: Caller) -> None:
    """The code hook says no, with a message, whatever it is sent."""
    bodies = [b"", b"{ }", b"[", b"\xff" * 5000, b"x" * 1_000_000]
    answers = [await world.ask_hook("code", body) for body in bodies]

    assert [(403, [PROVED])] * 5 == [(a.status, a.message_ids()) for a in answers]


async def test_live_lease(world: World, caller: Caller) -> None:
    """A live lease is agreed to: verified address, and our mark with the attempt."""
    held, call = await setting(world, caller)
    flow_id, row = world.kratos.flow_ids()[-1], world.row()
    answer = await world.ask_hook("password", flow_id=flow_id, email=ADDRESS.upper())
    held.released.set()
    done = await call

    verified = {
        "id": str(make_mark(uuid.UUID(row["signup_id"]), row["flow_digest"])),
        "value": ADDRESS,
        "via": "email",
        "verified": True,
        "status": "completed",
    }
    expected = {"identity": {"verifiable_addresses": [verified]}}
    assert (200, expected) == (answer.status, json.loads(answer.text))
    assert "COMPLETED" == state_of(done)


async def test_foreign_requests(world: World, caller: Caller) -> None:
    """Another flow or another address is refused, and changes nothing."""
    held, call = await setting(world, caller)
    *earlier, flow_id = world.kratos.flow_ids()
    foreign = [(one, ADDRESS) for one in (str(uuid.uuid4()), "", *earlier)]
    others = ("", "\u212aim@example.com", "bob@example.com", f"{ADDRESS} ")
    foreign += [(flow_id, one) for one in others]
    before = world.rows()
    answers = [
        await world.ask_hook("password", flow_id=flow, email=address)
        for flow, address in foreign
    ]
    after = world.rows()
    held.released.set()
    await call

    expected = [(403, [UNKNOWN_FLOW])] * len(foreign)
    assert expected == [(a.status, a.message_ids()) for a in answers]
    assert before == after


async def test_in_time(world: World, caller: Caller) -> None:
    """A microsecond before the lease runs out the hook still agrees."""
    held, call = await setting(world, caller)
    world.clock.move(LEASE_SECONDS - 1e-6)
    held.released.set()

    assert "COMPLETED" == state_of(await call)


async def test_garbage(world: World, caller: Caller) -> None:
    """Whatever is not Kratos' question is refused as an unknown flow."""
    bodies = [
        b"",
        b"[]",
        b"{}",
        b'{"flow_id": "x"}',
        b'{"flow_id": 1, "email": "a@example.com"}',
        b'{"flow_id": ["x"], "email": {}}',
        b"\xff\xfe",
        b"[" * 5000,
        b"x" * MAX_BODY_BYTES,
        b'{"flow_id": "\\u0000", "email": "\\u0000"}',
        b'{"flow_id": "\\ud800", "email": "a@example.com"}',
    ]
    await to_password(world, caller, ADDRESS)
    before = world.rows()
    answers = [await world.ask_hook("password", body) for body in bodies]

    assert [(403, [UNKNOWN_FLOW])] * len(bodies) == [
        (answer.status, answer.message_ids()) for answer in answers
    ]
    assert before == world.rows()


async def test_two_keys(world: World) -> None:
    """Each of several keys opens the port, so that the key can be rotated."""
    await world.serve(hook_key=f"{HOOK_KEY},{HOOK_KEY}-2", proved=False)
    found = []
    for key in (HOOK_KEY, f"{HOOK_KEY}-2", f"{HOOK_KEY}-3"):
        world.kratos.setup.hook_key = key
        found.append((await world.ask_hook("code")).text)

    assert [True, True, False] == [str(PROVED) in text for text in found]


async def test_tls(world: World, tmp_path: Path) -> None:
    """With a certificate the port speaks TLS only, and takes a new one at once.

    Files that cannot be used change nothing; the log says so once.
    """
    authority = Authority()
    files = authority.serve_from(tmp_path)
    tls = {"hook_tls_cert": files.cert, "hook_tls_key": files.key}
    replica = await world.serve(**tls, proved=False)
    trust = ssl.create_default_context(cadata=authority.pem.decode())
    where = "127.0.0.1", replica.service.hook_port
    first = await certificate_at(*where, trust)
    authority.issue(*LOOPBACK).write(files.cert, files.key)
    second = await certificate_at(*where, trust)
    files.key.write_text("nonsense")
    third = [await certificate_at(*where, trust) for _ in range(2)]
    async with aiohttp.ClientSession() as http:
        url = f"https://127.0.0.1:{where[1]}/kratos/code"
        async with http.post(url, ssl=trust) as answer:
            said = await answer.text()
        with pytest.raises(aiohttp.ClientError):
            await http.post(url.replace("https", "http"))

    assert str(PROVED) in said
    assert first != second
    assert [second] * 2 == third
    assert 1 == world.log.events("error").count("certificate_not_reloaded")


async def certificate_at(host: str, port: int, trust: ssl.SSLContext) -> bytes:
    """Connect, and give the certificate that is shown."""
    _, writer = await asyncio.open_connection(host, port, ssl=trust)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


async def test_wrong_key(world: World) -> None:
    """Without the key there is no answer of ours.

    The log says so, without the key, and not for each request of a flood.
    """
    world.kratos.setup.hook_key = HOOK_KEY
    await world.serve(hook_key=HOOK_KEY)
    answers = []
    for key in ("", "x", HOOK_KEY[:-1], HOOK_KEY + "x"):
        world.kratos.setup.hook_key = key
        answers += [
            await world.ask_hook(hook, flow_id="x", email=ADDRESS)
            for hook in ("code", "password")
        ]

    assert [(403, "")] * 8 == [(answer.status, answer.text) for answer in answers]
    assert ["hook_key_wrong"] == world.log.events("warning")
    assert HOOK_KEY[:-1] not in repr(world.log.entries)

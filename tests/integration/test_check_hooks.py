"""The check of the password hook: who answers for us, and does Kratos call it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from signupd.check.findings import Finding, Subject
from signupd.check.kratos_file import KratosFile
from signupd.check.password_hook import password_hook
from signupd.keyfile import ring_beside
from signupd.parts import kratos_of

from tests.doubles.authority import Authority
from tests.doubles.hooks import HookDouble
from tests.integration.world import World

KEY = "a-key-of-many-characters"


async def found(
    world: World, file: KratosFile | None = None, **settings: Any
) -> list[Finding]:
    """Check the password hook of the Kratos in this world."""
    given = world.settings(**settings)
    kratos = kratos_of(given)
    try:
        subject = Subject(kratos, given, world.log.logger, file, {}, with_canary=False)
        return await password_hook(subject)
    finally:
        await kratos.close()


@pytest.mark.parametrize("key", [(), "another-key-as-long-as-it"])
async def test_another_key(world: World, key: Any) -> None:
    """A check without the server's key says that it lacks the server's settings."""
    world.kratos.setup.hook_key = KEY
    replica = await world.serve(hook_key=KEY)
    listen = f"127.0.0.1:{replica.service.hook_port}"
    port, hook = await found(world, hook_listen=listen, hook_key=key)

    assert ("error", "ok") == (port.severity, hook.severity)
    assert "another key" in port.what


async def test_tls(world: World, tmp_path: Path) -> None:
    """With TLS the port is asked too, by the certificate that it is to have.

    So a Kratos that does not get through to it is an error.
    """
    files = Authority().serve_from(tmp_path)
    tls: dict[str, Any] = {"hook_tls_cert": files.cert, "hook_tls_key": files.key}
    replica = await world.serve(hook_key=KEY, proved=False, **tls)
    listen = f"127.0.0.1:{replica.service.hook_port}"
    world.kratos.setup.hook_key = "another-key-as-long-as-it"
    port, hook = await found(world, hook_listen=listen, hook_key=KEY, **tls)
    (tmp_path / "other").mkdir()
    Authority().serve_from(tmp_path / "other")
    others: dict[str, Any] = {
        name: tmp_path / "other" / file.name for name, file in tls.items()
    }
    foreign, _ = await found(world, hook_listen=listen, hook_key=KEY, **others)

    assert ("ok", "error") == (port.severity, hook.severity)
    assert "does not trust its certificate" in hook.what
    assert ("warning", True) == (foreign.severity, "bad certificate" in foreign.what)


@pytest.mark.parametrize("own", [True, False])
async def test_another_ledger(world: World, tmp_path: Path, *, own: bool) -> None:
    """The check tells its server's refusal from that of another one."""
    await world.serve()
    (tmp_path / "other").mkdir()
    ring_beside(tmp_path / "other" / "signupd.db")
    url = f"sqlite:///{tmp_path}/other/signupd.db"
    other: dict[str, Any] = {} if own else {"ledger_url": url}
    _, hook = await found(world, **other)

    assert own == (hook.severity == "ok")
    assert own != ("with another DIGEST_KEY" in hook.what)


async def test_private_addresses(world: World) -> None:
    """A Kratos that calls no private addresses is told to make an exception."""
    url = "http://u:hunter2@10.0.0.1/kratos/code?q=hunter2"
    hooks = [{"hook": "web_hook", "config": {"url": url}}]
    flows = {"flows": {"registration": {"after": {"code": {"hooks": hooks}}}}}
    clients = {"http": {"disallow_private_ip_ranges": True}}
    file = KratosFile({"selfservice": flows, "clients": clients})
    replica = await world.serve(proved=False)
    world.kratos.setup.hook_url = "http://127.0.0.1:1"
    _, hook = await found(
        world, file, hook_listen=f"127.0.0.1:{replica.service.hook_port}"
    )

    assert "private_ip_exception_urls, add:\n- http://10.0.0.1/kratos" in hook.cure
    assert "hunter2" not in hook.cure


async def test_earlier_hooks(world: World) -> None:
    """A hook that Kratos asks before ours may be the one that is down: it is named."""
    ends: list[Any] = [{}, {"can_interrupt": True}, {"response": {"parse": True}}, {}]
    urls = ["http://a", "http://b", "http://c", "http://u:p@d/kratos/password?q=s"]
    hooks = [
        {"hook": "web_hook", "config": {"url": url, **end}}
        for url, end in zip(urls, ends, strict=True)
    ]
    after = {"password": {"hooks": hooks}}
    flows = {"flows": {"registration": {"after": after}}}
    replica = await world.serve(hook_key=KEY, proved=False)
    listen = f"127.0.0.1:{replica.service.hook_port}"
    world.kratos.setup.hook_key = "another-key-as-long-as-it"
    file = KratosFile({"selfservice": flows})
    _, hook = await found(world, file, hook_listen=listen, hook_key=KEY)

    assert "that http://d/kratos/password leads to HOOK_LISTEN" in hook.cure
    assert "entry 2 and 3 of selfservice.flows.registration" in hook.cure
    assert "or a hook with response.parse before it fails" in hook.what


async def test_unknown_message(world: World) -> None:
    """A refusal that signupd does not know is not told as a hook that is away."""
    message = {"id": 4999999, "text": "x", "type": "error"}
    async with HookDouble() as hooks:
        world.kratos.setup.hook_url = hooks.url
        said = {"messages": [{"instance_ptr": "#/", "messages": [message]}]}
        hooks.password = 400, said
        _, hook = await found(world, hook_listen=f"127.0.0.1:{hooks.port}")

    assert "with a message unknown to signupd" in hook.what
    assert "See the findings about the schema." == hook.cure


@pytest.mark.parametrize(
    "answer", [(200, {}), (404, "nothing here"), (403, {"messages": 3}), (500, {})]
)
async def test_another_program(world: World, answer: tuple[int, Any]) -> None:
    """A program at HOOK_LISTEN that does not answer as signupd does is an error."""
    async with HookDouble() as hooks:
        hooks.password = answer
        port, _ = await found(world, hook_listen=f"127.0.0.1:{hooks.port}")

    assert "error" == port.severity


async def test_no_http(world: World) -> None:
    """So is one that speaks no HTTP."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0
    )
    async with server:
        listen = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        port, _ = await found(world, hook_listen=listen)

    assert "a program other than signupd" in port.what

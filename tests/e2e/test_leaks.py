"""Whatever is secret is looked for wherever a server leaves something behind."""

import asyncio
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from kratos_signup.v1 import account_service_pb2 as accounts
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.ledger.migrate import migrate

from devstack.ports import free_ports
from devstack.postgres import Postgres
from devstack.server import Signupd
from tests.e2e.broken import hook_key
from tests.e2e.collector import GRPC, HTTP, Collector
from tests.e2e.holdings import registration_flow_ids
from tests.e2e.marked import SERVICES, TRACE, Keys, MarkedWalk
from tests.e2e.marks import found, spellings
from tests.e2e.site import Site
from tests.e2e.stack import attached

MEDIA = ("log", "metrics", "spans", "answers", "reflection", "arguments", "ledger")
RPC = re.compile(r'signupd_rpc_reasons_total\{grpc_method="(.*)",reason="(.*)"\} ')
SUM = re.compile(r'_sum\{(?:grpc_method="GetS.*|call="pass.*\d")\} (.*)')


@dataclass(frozen=True, slots=True)
class Remains:
    """What a server has left behind.

    Attributes:
        media: All of it, by where it is.
        secrets: What nobody may find anywhere.
        tokens: What callers may find in answers alone.
        spans: The spans' names.
        signup_id: Of the sign-up, which is no secret.
    """

    media: Mapping[str, bytes]
    secrets: Mapping[str, bytes]
    tokens: Mapping[str, bytes]
    spans: set[str]
    signup_id: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def remains(request: pytest.FixtureRequest, site: Site) -> Iterator[Remains]:
    """Walk with marks through a server with everything on, and stop that."""
    with ExitStack() as resources:
        keys, shared = Keys(), request.param == "postgresql"
        postgres = resources.enter_context(Postgres()) if shared else None
        url = postgres.create_database("leaks") if postgres else ""
        collector = resources.enter_context(Collector(GRPC if shared else HTTP))
        (hook_port,) = free_ports(1)
        kratos = resources.enter_context(site.kratos(hook_port, hook_key(keys.hook)))
        server = site.server(
            kratos,
            hook_port,
            _settings(keys, url),
            {
                **collector.environment,
                "OTEL_EXPORTER_OTLP_HEADERS": f"x-collector-key={keys.collector}",
            },
        )
        resources.enter_context(server)
        stack = resources.enter_context(attached(site.mailbox, kratos, server))
        stack.wait_for_proof()
        walk = MarkedWalk(stack)
        walk.make()
        media = {
            "reflection": walk.reflect(),
            "arguments": _arguments(server),
            "metrics": httpx.get(server.metrics_url, trust_env=False).content,
            "answers": b"\n".join(walk.answers),
        }
        assert 0 == server.stop()
        flows = {f"flow {one}": one.encode() for one in registration_flow_ids(kratos)}
        yield Remains(
            media={
                **media,
                "log": server.log_path.read_bytes(),
                "spans": b"\n".join(collector.received),
                "ledger": _ledger(server, postgres, url),
            },
            secrets={**walk.marks, **keys.marks(), **flows},
            tokens=walk.tokens,
            spans=collector.names(),
            signup_id=walk.signup_id,
        )


def _settings(keys: Keys, url: str) -> dict[str, str]:
    if url:
        asyncio.run(migrate(url))
    return {
        **keys.settings(),
        **({"LEDGER_URL": url} if url else {}),
        "LOG_LEVEL": "debug",
        "RESEND_INTERVAL": "1ms",
    }


def _arguments(server: Signupd) -> bytes:
    """Read what everybody on the machine may read of a process."""
    process = Path(f"/proc/{server.pid}")
    return b"\n".join((process / name).read_bytes() for name in ("cmdline", "comm"))


def _ledger(server: Signupd, postgres: Postgres | None, url: str) -> bytes:
    """Read the ledger as somebody with the disk could, and what its database logged."""
    if postgres:
        return postgres.dump(url) + postgres.log_path.read_bytes()
    files = sorted(server.directory.glob("signupd.db*"))
    return b"\n".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("medium", MEDIA)
def test_no_secret(remains: Remains, medium: str) -> None:
    """No address, code, password, trait, key, flow or forged token is anywhere."""
    assert [] == found(remains.secrets, remains.media[medium])


def test_nothing_of_kratos(remains: Remains) -> None:
    """No answer shows Kratos' sessions, flows or addresses."""
    answers = remains.media["answers"].lower()

    assert [] == [one for one in (b"ory_", b"flow", b"127.0.0.1") if one in answers]


@pytest.mark.parametrize("medium", [one for one in MEDIA if one != "answers"])
def test_no_token(remains: Remains, medium: str) -> None:
    """Continuation tokens are in answers and nowhere else."""
    assert 5 < len(remains.tokens)
    assert [] == found(remains.tokens, remains.media[medium])


def test_every_call_was_made(remains: Remains) -> None:
    """Every RPC of both services was answered, and was refused."""
    services = (
        pb.DESCRIPTOR.services_by_name["SignupService"],
        accounts.DESCRIPTOR.services_by_name["AccountService"],
    )
    methods = {m.name for s in services for m in s.methods}
    ended = RPC.findall(metrics := remains.media["metrics"].decode())

    # GetSignup takes 25 ms, and Kratos hashes passwords.
    assert 0.02 < min(map(float, SUM.findall(metrics)))
    assert methods == {method for method, reason in ended if reason == "OK"}
    assert methods == {method for method, reason in ended if reason != "OK"}
    assert {"CODE_INCORRECT", "PASSWORD_REJECTED", "KRATOS_UNAVAILABLE"} <= {
        reason for _, reason in ended
    }
    assert {f"{s.full_name}/{m.name}" for s in services for m in s.methods} <= (
        remains.spans
    )
    assert {"kratos send", "kratos password", "kratos find"} <= remains.spans


def test_each_medium_was_read(remains: Remains) -> None:
    """What belongs into a medium is found there, by the same search."""
    signup = {
        "sign-up": remains.signup_id.encode(),
        "sign-up in bytes": uuid.UUID(remains.signup_id).bytes,
    }
    expected = {
        "log": signup,
        "answers": signup,
        "metrics": {"method": b'grpc_method="StartSignup"'},
        "spans": {"trace": bytes.fromhex(TRACE)},
        "reflection": {"service": SERVICES[0].encode()},
        "arguments": {"command": b"serve"},
        "ledger": signup,
    }

    missing = [one for one in MEDIA if not found(expected[one], remains.media[one])]

    assert [] == missing


@pytest.mark.parametrize("medium", MEDIA)
def test_the_search_can_fail(remains: Remains, medium: str) -> None:
    """Each secret is found in each medium when it is put there, however it is spelt."""
    marks = {**remains.secrets, **remains.tokens}
    planted = [(name, *one) for name in marks for one in spellings(marks[name]).items()]
    content = remains.media[medium]
    middle = len(content) // 2
    spelt = b" ".join(one for _, _, one in planted)

    seen = found(marks, b" ".join((content[:middle], spelt, content[middle:])))

    assert [f"{name} {form}" for name, form, _ in planted] == seen
    assert 2000 < len(planted)

"""The server's process: told to stop, and killed."""

import asyncio
import contextlib
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from grpc_health.v1 import health_pb2
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.ledger.database import make_database, steady_clock
from signupd.ledger.migrate import migrate
from signupd.ledger.record import State

from devstack.process import ServerFailedError
from devstack.server import Signupd
from devstack.waiting import wait_until
from tests.e2e.caller import Caller
from tests.e2e.frail import Frail
from tests.e2e.stack import GOOD_PASSWORD, Stack
from tests.integration.rows import add_signups, record

LAPSED = 11_000


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop(frail: Frail, address: str, told: int) -> None:
    """Before it stops health says so, the call under way ends well, the exit code is 0.

    The call waits for Kratos, which waits for the hook, which is held up meanwhile.
    """
    stack = frail.stack
    token = stack.proved(address)
    frail.password_way.hold()
    watch = stack.caller.health.Watch(health_pb2.HealthCheckRequest())
    serving = next(watch).status
    with ThreadPoolExecutor() as pool:
        call = pool.submit(stack.caller.set_password, token, GOOD_PASSWORD)
        frail.password_way.wait_for_request()
        assert stack.server.pid is not None
        os.kill(stack.server.pid, told)
        stopping = next(watch).status
        at_work = not call.done()
        frail.password_way.open()
        done = call.result()
    exit_code = stack.server.stop()

    assert health_pb2.HealthCheckResponse.SERVING == serving
    assert health_pb2.HealthCheckResponse.NOT_SERVING == stopping
    assert at_work
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert [] == [*watch]  # it ended by itself, and held up nothing
    assert 0 == exit_code
    assert stack.visitor.login(address, GOOD_PASSWORD)


def test_interrupted(stack: Stack, tmp_path: Path) -> None:
    """SIGINT, as from a terminal, does not wait for balancers to notice."""
    urls = stack.kratos.public_url, stack.kratos.admin_url
    server = Signupd(*urls, directory=tmp_path, settings={"DRAIN_WAIT": "1h"})
    server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGINT)

    assert 0 == server.stop()


def test_nohup(stack: Stack, tmp_path: Path) -> None:
    """Under nohup, which ignores SIGHUP, a server outlives its terminal."""
    urls = stack.kratos.public_url, stack.kratos.admin_url
    server = Signupd(*urls, directory=tmp_path, settings={"DRAIN_WAIT": "0s"})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.ExitStack() as resources:
        resources.callback(signal.signal, signal.SIGHUP, before)
        server.start()
    status = Path(f"/proc/{server.pid}/status").read_text()
    ignored = int(re.findall(r"SigIgn:\s*(\w+)", status)[0], 16)
    exit_code = server.stop()

    assert ignored & 1 << signal.SIGHUP - 1
    assert 0 == exit_code


async def add_lapsed(url: str) -> None:
    """Fill a ledger with sign-ups that have expired: each will be a line of the log."""
    await migrate(url)
    database = make_database(url, steady_clock())
    await database.open()
    lapsed = [record(state=State.CODE_REQUIRED, expire_time=1) for _ in range(LAPSED)]
    await add_signups(database, *lapsed)
    await database.close()


def test_log_that_nobody_reads(stack: Stack, tmp_path: Path) -> None:
    """A reader of standard error that stalls does not stop the server, nor its end.

    Lines beyond 10 000 are dropped, and counted.
    """
    server = Signupd(
        stack.kratos.public_url,
        stack.kratos.admin_url,
        directory=tmp_path,
        settings={"SWEEP_BATCH": "10000"},
    )
    asyncio.run(add_lapsed(server.settings["LEDGER_URL"]))

    def figure(name: str) -> float:
        lines = httpx.get(server.metrics_url, trust_env=False).text.splitlines()
        (line,) = [line for line in lines if line.startswith(name)]
        return float(line.split()[-1])

    os.mkfifo(server.log_path)
    reader = os.open(server.log_path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(server.log_path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"full")
    with server, Caller(server.target) as caller:
        serving = caller.health_of()
        expired = 'signupd_signups_total{event="expired"}'
        wait_until(lambda: figure(expired) == LAPSED, "the sweeper")
        dropped = figure("signupd_log_lines_dropped_total")
        exit_code = server.stop()
    os.close(reader)
    os.close(writer)

    assert "SERVING" == serving
    assert 1000 == pytest.approx(dropped, abs=100)  # there are other lines, too
    assert 0 == exit_code


def test_second_server(stack: Stack, address: str, tmp_path: Path) -> None:
    """A second server on one SQLite ledger does not come up, and harms nothing.

    It warns of plaintext to Kratos first.
    """
    token = stack.proved(address)
    log = stack.log()
    second = Signupd(
        stack.kratos.public_url,
        "http://kratos.example:4434",
        directory=tmp_path,
        settings={"LEDGER_URL": f"sqlite:///{stack.server.directory}/signupd.db"},
    )
    with pytest.raises(ServerFailedError, match=r"another server has .* open"):
        second.start()

    assert "unsafe_setting" in second.log_path.read_text()
    assert [] == log.said("settled")
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == stack.caller.get(token).signup.state

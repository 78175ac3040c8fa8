"""The server's process: told to stop, and killed."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.server import Signupd, SignupdFailedError
from tests.e2e.frail import Frail
from tests.e2e.stack import GOOD_PASSWORD, Stack


def test_told_to_stop(frail: Frail, address: str) -> None:
    """SIGTERM: health says so first, the call under way ends well, the exit code is 0.

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
        os.kill(stack.server.pid, signal.SIGTERM)
        stopping = next(watch).status
        watch.cancel()
        at_work = not call.done()
        frail.password_way.open()
        done = call.result()
    exit_code = stack.server.stop()

    assert health_pb2.HealthCheckResponse.SERVING == serving
    assert health_pb2.HealthCheckResponse.NOT_SERVING == stopping
    assert at_work
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert 0 == exit_code
    assert stack.visitor.login(address, GOOD_PASSWORD)


def test_killed(frail: Frail, address: str) -> None:
    """SIGKILL: whatever was answered before, the same tokens go on after it."""
    stack, request_id = frail.stack, str(uuid.uuid4())

    def restart() -> None:
        stack.server.kill()
        stack.server.start()

    started = stack.caller.start(address, request_id=request_id)
    token, code = started.continuation_token, stack.code(address)
    restart()
    again = stack.caller.start(address, request_id=request_id)
    verified = stack.caller.verify(token, code)
    restart()
    repeated = stack.caller.verify(token, code)
    password_token = verified.continuation_token
    done = stack.caller.set_password(password_token, GOOD_PASSWORD)
    restart()
    finished = stack.caller.set_password(password_token, GOOD_PASSWORD)

    assert started.signup == again.signup
    assert verified.signup == repeated.signup
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert done == finished
    assert done.signup == stack.caller.get(token).signup
    assert 1 == len(stack.admin.courier_messages(address))


def test_second_server(stack: Stack, address: str, tmp_path: Path) -> None:
    """A second server on one SQLite ledger does not come up, and harms nothing."""
    token = stack.proved(address)
    log = stack.log()
    second = Signupd(
        stack.kratos.public_url,
        stack.kratos.admin_url,
        directory=tmp_path,
        settings={"LEDGER_URL": f"sqlite:///{stack.server.directory}/signupd.db"},
    )
    with pytest.raises(SignupdFailedError, match=r"another server has .* open"):
        second.start()

    assert [] == log.said("settled")
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == stack.caller.get(token).signup.state

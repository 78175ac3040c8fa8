"""The service config for callers: gRPC itself repeats what may be repeated."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from signup_example.channel import SERVICE_CONFIG, channel_options
from signup_example.failure import Failure

from tests.integration.caller import another, state_of
from tests.integration.world import PASSWORD, Replica, World, to_code, to_password

ADDRESS = "ann@example.com"
REQUEST_ID = "5f0c7a8e-2f0f-4a6b-9a56-0d5f3c1f7e21"


@pytest.fixture
async def replica(world: World) -> Replica:
    """Give a service; its own caller has no service config."""
    return await world.serve()


@pytest.fixture
async def signups(replica: Replica) -> AsyncIterator[Any]:
    """Call the service as the Python example does."""
    target = f"127.0.0.1:{replica.service.port}"
    async with grpc.aio.insecure_channel(target, channel_options()) as channel:
        yield SignupServiceStub(channel)


async def test_unavailable(world: World, replica: Replica, signups: Any) -> None:
    """A call that meets an unavailable Kratos is repeated, and takes effect once."""
    world.kratos.fail("open")
    request = pb.StartSignupRequest(email=ADDRESS, request_id=REQUEST_ID)
    started = await signups.StartSignup(request)
    mails = len(world.kratos.mails_to(ADDRESS))
    token = await to_password(world, replica.caller, ADDRESS)
    world.kratos.fail("password")
    done = await signups.SetPassword(
        pb.SetPasswordRequest(continuation_token=token, password=PASSWORD)
    )

    assert ["CODE_REQUIRED", "COMPLETED"] == [state_of(started), state_of(done)]
    assert [1, 1] == [mails, len(world.kratos.accounts())]
    assert 2 == world.log.events().count("kratos_unavailable")


async def test_not_repeated(world: World, replica: Replica, signups: Any) -> None:
    """A wrong code is put to Kratos once: what a person must mend is not repeated."""
    token, code = await to_code(world, replica.caller, ADDRESS)
    request = pb.VerifyCodeRequest(continuation_token=token, code=another(code))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await signups.VerifyCode(request)
    failure = Failure.of(caught.value)

    assert "CODE_INCORRECT" == failure.reason
    assert 4 == failure.signup.code_attempts_remaining


def test_services() -> None:
    """The service config covers every service of the contract, by its name."""
    (entry,) = json.loads(SERVICE_CONFIG.read_text())["methodConfig"]
    files = (pb.DESCRIPTOR, accounts_pb.DESCRIPTOR)
    services = [s.full_name for file in files for s in file.services_by_name.values()]

    assert services == [name["service"] for name in entry["name"]]
    assert all(name.keys() == {"service"} for name in entry["name"])

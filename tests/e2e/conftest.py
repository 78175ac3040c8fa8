"""Real processes: a Kratos, a mail server and a signupd, made to be shared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.binary import kratos_binary
from devstack.mailbox import Mailbox
from tests.e2e.frail import Frail, frail_stack
from tests.e2e.site import Site
from tests.e2e.stack import Stack, new_address
from tests.gotools import go_tool

HERE = Path(__file__).parent
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
# A test's own time, which bounds a hang. Fixtures are not counted: the first one may
# build a Kratos.
TEST_SECONDS = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit each test of this directory, without what its fixtures take."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give the Kratos binary, built if need be, and all that stacks share."""
    with Mailbox() as mailbox:
        yield Site(kratos_binary(), mailbox, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def stack(site: Site) -> Iterator[Stack]:
    """Start the reference configuration, for all tests that leave it as it is."""
    # What the log must not hold, it must not hold at any level.
    with site.stack(settings={"LOG_LEVEL": "debug"}) as made:
        made.wait_for_proof()
        yield made


@pytest.fixture
def address() -> str:
    """Make up an address that no other test has."""
    return new_address()


@pytest.fixture(scope="session")
def one_frail(site: Site) -> Iterator[Frail]:
    """Start the stack that may be hurt."""
    with frail_stack(site) as made:
        yield made


@pytest.fixture
def frail(one_frail: Frail) -> Iterator[Frail]:
    """Give the stack that may be hurt, and heal it afterwards."""
    yield one_frail
    one_frail.heal()


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """Find grpcurl, or have Go install it, once."""
    return go_tool(GRPCURL)

"""What reaches Kratos late: no account past lease, cancel or expiry, and none lost.

The service runs in this process, so that its ledger's clock can be moved. The spans are
the service's own: a lease of 75 s, and 45 s for what the hook agreed to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from devstack.waiting import wait_until
from tests.doubles.proxy import Step
from tests.limbo.books import Books
from tests.limbo.caller import Caller, Outcome, Pending
from tests.limbo.inside import Inside
from tests.limbo.stage import (
    OTHER_PASSWORD,
    PASSWORD,
    Scene,
    World,
    cancel_request,
    get_request,
    new_keys,
    password_request,
    verify_request,
)

PAST_LEASE = 76.0
APPROVAL = 45.0
CODE_TTL = 15 * 60.0
PASSWORD_TTL = 30 * 60.0


@dataclass(slots=True, kw_only=True)
class Fence(Scene):
    """A scene whose service is in this process.

    Attributes:
        service: With its clock.
    """

    service: Inside


@pytest.fixture(scope="module")
def fence(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fence]:
    """Start a service in this process, on a SQLite ledger; check its books after."""
    url = f"sqlite:///{tmp_path_factory.mktemp('inside')}/signupd.db"
    settings = {
        "LISTEN": "127.0.0.1:0",
        "HOOK_LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "KRATOS_PUBLIC_URL": world.proxy.public_url,
        "KRATOS_ADMIN_URL": world.proxy.admin_url,
        "LEDGER_URL": url,
        # Rounds of sweeping are the tests' own.
        "SWEEP_INTERVAL": "1h",
        "RESEND_INTERVAL": "1ms",
        **new_keys(),
    }
    with Inside(settings) as service, Caller(service.target) as caller:
        world.proxy.hook_ports = (service.hook_port,)
        scene = Fence(world=world, books=Books(url), caller=caller, service=service)
        yield scene
        scene.books.check(scene.secrets)


@dataclass(slots=True)
class Setting:
    """A SetPassword under way.

    Attributes:
        fence: Where.
        address: Whose.
        proved: The answer that VerifyCode gave.
        call: The call.
        step: Where it is held.
    """

    fence: Fence
    address: str
    proved: Outcome
    call: Pending
    step: Step

    def end(self) -> Outcome:
        """Let go of what is held, and wait for the end of it."""
        self.step.release()
        outcome = self.call.outcome()
        self.step.wait_over()
        return outcome

    @property
    def accounts(self) -> int:
        """How many accounts Kratos holds for the address."""
        return self.fence.world.accounts(self.address)

    @property
    def state(self) -> str:
        """What the ledger has written down."""
        return self.fence.books.state(self.proved.shown.signup_id)

    def ask_again(self, password: str = PASSWORD) -> Outcome:
        """Repeat the call."""
        return self.fence.caller.ask(password_request(self.proved, password))

    def get(self) -> Outcome:
        """Ask how it stands."""
        return self.fence.caller.ask(get_request(self.proved))

    def cancel(self) -> Outcome:
        """Cancel the sign-up."""
        return self.fence.caller.ask(cancel_request(self.proved))


@contextmanager
def post_held(fence: Fence) -> Iterator[Setting]:
    """Hold the POST of a password on its way to Kratos."""
    address = fence.new_address()
    proved = fence.proved(address)
    step = fence.proxy.hold("password")
    call = fence.caller.begin(password_request(proved))
    step.wait()
    with fence.world.watch(address):
        yield Setting(fence, address, proved, call, step)


@contextmanager
def yes_held(
    fence: Fence, later: float = 0.0, *, deaf: bool = False
) -> Iterator[Setting]:
    """Hold the hook's yes on its way to Kratos.

    Args:
        fence: Where.
        later: How long after the lease was granted the hook is asked, in seconds.
        deaf: Have the server lose its call to Kratos meanwhile, as if it had died.
    """
    address = fence.new_address()
    proved = fence.proved(address)
    step = fence.proxy.hold_answer("hook_password")
    post = fence.proxy.before("password", lambda: fence.service.advance(later))
    call = fence.caller.begin(password_request(proved))
    step.wait()
    if deaf:
        post.break_off()
    with fence.world.watch(address):
        yield Setting(fence, address, proved, call, step)


class TestLatePost:
    """The POST of a password reaches Kratos when its time is over."""

    def test_past_the_lease(self, fence: Fence) -> None:
        """It makes no account; the sign-up goes on."""
        with post_held(fence) as setting:
            fence.service.advance(PAST_LEASE)
            late = setting.end()
            accounts = setting.accounts
            again = setting.ask_again()

        assert "SIGNUP_BUSY" == late.what
        assert late.retry_seconds is not None
        assert 0 == accounts
        assert "COMPLETED" == again.what
        assert fence.world.opens(setting.address, PASSWORD)

    def test_during_another(self, fence: Fence) -> None:
        """It has no share in the lease that a later call holds."""
        with post_held(fence) as setting:
            fence.service.advance(PAST_LEASE)
            step = fence.proxy.hold("password")
            other = fence.caller.begin(password_request(setting.proved, OTHER_PASSWORD))
            step.wait()
            late = setting.end()
            accounts = setting.accounts
            step.release()

            assert "COMPLETED" == other.outcome().what

        assert "SIGNUP_BUSY" == late.what
        assert 0 == accounts
        assert fence.world.opens(setting.address, OTHER_PASSWORD)

    def test_past_a_cancel(self, fence: Fence) -> None:
        """Cancelled is cancelled."""
        with post_held(fence) as setting:
            early = setting.cancel()
            fence.service.advance(PAST_LEASE)
            cancelled = setting.cancel()
            setting.end()

        assert "SIGNUP_BUSY" == early.what
        assert "CANCELLED" == cancelled.what
        assert 0 == setting.accounts
        assert "cancelled" == setting.state
        assert "SIGNUP_CANCELLED" == setting.ask_again().what
        assert "CANCELLED" == setting.get().what

    @pytest.mark.parametrize("swept", [True, False], ids=["swept", "unswept"])
    def test_past_expiry(self, fence: Fence, *, swept: bool) -> None:
        """Expired is expired, whether or not it is written down yet."""
        with post_held(fence) as setting:
            fence.service.advance(PASSWORD_TTL)
            if swept:
                fence.service.sweep()
            setting.end()
        shown = setting.get()
        again = setting.ask_again()
        fence.service.sweep()

        assert "EXPIRED" == shown.what
        assert "SIGNUP_EXPIRED" == again.what
        assert 0 == setting.accounts
        assert "expired" == setting.state


class TestLateYes:
    """The hook's yes reaches Kratos late; until it does, or cannot, nothing ends."""

    def test_past_the_lease(self, fence: Fence) -> None:
        """The yes outlasts the lease; nobody else gets to work before it is over."""
        with yes_held(fence, later=60.0) as setting:
            fence.service.advance(20.0)
            swept = fence.service.sweep()
            cancelled, other = setting.cancel(), setting.ask_again(OTHER_PASSWORD)
            shown = setting.get()
            done = setting.end()

        assert (0, 0) == (swept.settled, swept.expired)
        assert ["SIGNUP_BUSY"] * 2 == [cancelled.what, other.what]
        assert None not in (cancelled.retry_seconds, other.retry_seconds)
        assert "PASSWORD_REQUIRED" == shown.what
        assert "COMPLETED" == done.what
        assert fence.world.opens(setting.address, PASSWORD)

    @pytest.mark.parametrize("late", ["sweep", "get", "set", "cancel"])
    def test_nobody_listens(self, fence: Fence, late: str) -> None:
        """Kratos stores after the server lost its call: the sign-up is complete."""
        with yes_held(fence, deaf=True) as setting:
            lost = setting.call.outcome()
            busy = [setting.cancel(), setting.ask_again(OTHER_PASSWORD)]
            fence.service.sweep()
            shown, accounts = setting.get(), setting.accounts
            setting.end()
            fence.proxy.wait_idle()
            fence.service.advance(APPROVAL + 1)
            if late == "sweep":
                fence.service.sweep()
            elif late == "get":
                assert "COMPLETED" == setting.get().what
            elif late == "set":
                other = setting.ask_again(OTHER_PASSWORD)

                assert "PASSWORD_ALREADY_SET" == other.what
            else:
                assert "STEP_MISMATCH" == setting.cancel().what

        assert "KRATOS_UNAVAILABLE" == lost.what
        assert ["SIGNUP_BUSY"] * 2 == [one.what for one in busy]
        assert "PASSWORD_REQUIRED" == shown.what
        assert 0 == accounts
        assert "completed" == setting.state
        assert "COMPLETED" == setting.ask_again().what
        assert fence.world.opens(setting.address, PASSWORD)

    def test_during_a_look_up(self, fence: Fence) -> None:
        """Kratos stores while a look-up that saw nothing goes on past the yes."""
        with yes_held(fence, deaf=True) as setting:
            setting.call.outcome()
            fence.service.advance(APPROVAL - 2)
            look_up = fence.proxy.hold_answer("look_up")
            cancel = fence.caller.begin(cancel_request(setting.proved))
            look_up.wait()
            setting.end()
            wait_until(lambda: setting.accounts == 1, "the account")
            fence.service.advance(3)
            look_up.release()
            cancelled = cancel.outcome()

        assert "SIGNUP_BUSY" == cancelled.what
        assert "COMPLETED" == setting.get().what

    @pytest.mark.parametrize("swept", [True, False], ids=["swept", "unswept"])
    def test_past_expiry(self, fence: Fence, *, swept: bool) -> None:
        """It expires while Kratos may still store, and did: it is complete."""
        address = fence.new_address()
        proved = fence.proved(address)
        fence.service.advance(PASSWORD_TTL - 5)
        step = fence.proxy.hold_answer("hook_password")
        post = fence.proxy.follow("password")
        call = fence.caller.begin(password_request(proved))
        step.wait()
        post.break_off()
        lost = call.outcome()
        fence.service.advance(20)
        fence.service.sweep()
        shown = fence.caller.ask(get_request(proved))
        step.release()
        fence.proxy.wait_idle()
        fence.service.advance(APPROVAL)
        if swept:
            fence.service.sweep()
        end = fence.caller.ask(get_request(proved))
        fence.service.sweep()

        assert "KRATOS_UNAVAILABLE" == lost.what
        assert "PASSWORD_REQUIRED" == shown.what
        assert "COMPLETED" == end.what
        fence.check_completed(address, proved.shown.signup_id, PASSWORD)

    @pytest.mark.parametrize("swept", [True, False], ids=["swept", "unswept"])
    def test_never(self, fence: Fence, *, swept: bool) -> None:
        """The yes never arrives: then the sign-up expires, and only then."""
        address = fence.new_address()
        proved = fence.proved(address)
        fence.service.advance(PASSWORD_TTL - 5)
        for _ in range(3):  # so often Kratos asks its hooks
            fence.proxy.cut("hook_password")
        lost = fence.caller.ask(password_request(proved))
        fence.service.advance(20)
        fence.service.sweep()
        early = fence.caller.ask(get_request(proved))
        fence.service.advance(APPROVAL)
        if swept:
            fence.service.sweep()
        end = fence.caller.ask(get_request(proved))
        fence.service.sweep()

        assert "KRATOS_UNAVAILABLE" == lost.what
        assert "PASSWORD_REQUIRED" == early.what
        assert "EXPIRED" == end.what
        assert 0 == fence.world.accounts(address)
        assert "expired" == fence.books.state(proved.shown.signup_id)


def spoil(fence: Fence, address: str, new_address: str) -> str:
    """Replace an account's traits and metadata; a new address has no mark. Name it."""
    (account,) = fence.world.admin.identities(address)
    path = f"/admin/identities/{account.id}"
    changed = {
        "schema_id": "user",
        "state": "active",
        "traits": {**account.traits, "email": new_address},
        "metadata_admin": {"theirs": 1},
    }
    fence.world.admin.put(path, json=changed).raise_for_status()
    return account.id


class TestNeverDeleted:
    """What our hook approved stays, whatever others have made of it since."""

    @pytest.mark.parametrize("moved", [False, True], ids=["replaced", "moved"])
    def test_before_it_is_told(self, fence: Fence, *, moved: bool) -> None:
        """An account that is changed before we hear of it is the sign-up's."""
        address = fence.new_address()
        proved = fence.proved(address)
        new = fence.new_address() if moved else address
        ids: list[str] = []
        fence.proxy.after("password", lambda: ids.append(spoil(fence, address, new)))
        done = fence.caller.ask(password_request(proved))

        assert ("COMPLETED", ids) == (done.what, [done.shown.identity_id])
        assert fence.world.opens(new, PASSWORD)

    @pytest.mark.parametrize("late", ["sweep", "get", "set"])
    def test_before_it_is_settled(self, fence: Fence, late: str) -> None:
        """So is one that is changed while the ledger could not be told of it."""
        address, new = fence.new_address(), fence.new_address()
        proved = fence.proved(address)
        away = "ALTER TABLE signups RENAME TO elsewhere"
        fence.proxy.after("password", lambda: fence.books.run(away))
        lost = fence.caller.ask(password_request(proved))
        spoiled = spoil(fence, address, new)
        fence.books.run("ALTER TABLE elsewhere RENAME TO signups")
        signup_id = proved.shown.signup_id
        wait_until(
            lambda: fence.books.row(signup_id, "lease_until") == (0,), "the release"
        )
        fence.service.advance(APPROVAL + 1)
        if late == "sweep":
            fence.service.sweep()
        elif late == "set":
            other = fence.caller.ask(password_request(proved, OTHER_PASSWORD))

            assert "PASSWORD_ALREADY_SET" == other.what
        done = fence.caller.ask(get_request(proved))

        assert "LEDGER_UNAVAILABLE" == lost.what
        assert ("COMPLETED", spoiled) == (done.what, done.shown.identity_id)
        assert 0 == fence.world.admin.session_count(spoiled)
        assert fence.world.opens(new, PASSWORD)


def test_lost_approval(fence: Fence) -> None:
    """A ledger that loses an approval, as a standby may, costs nobody the account."""
    address = fence.new_address()
    proved = fence.proved(address)
    signup_id, away = proved.shown.signup_id, "ALTER TABLE signups RENAME TO elsewhere"
    fence.proxy.after("password", lambda: fence.books.run(away))
    lost = fence.caller.ask(password_request(proved))
    fence.books.run("UPDATE elsewhere SET approved_until = 0")
    fence.books.run("ALTER TABLE elsewhere RENAME TO signups")
    wait_until(lambda: fence.books.row(signup_id, "lease_until") == (0,), "the release")
    fence.service.sweep()

    assert "LEDGER_UNAVAILABLE" == lost.what
    fence.check_completed(address, signup_id, PASSWORD)


class TestLateCode:
    """A code reaches Kratos when its time is over: nothing can come of that."""

    def test_past_a_cancel(self, fence: Fence) -> None:
        """The sign-up that was cancelled stays so."""
        address = fence.new_address()
        started = fence.started(address)
        step = fence.proxy.hold_answer("code")
        call = fence.caller.begin(verify_request(started, fence.code(address)))
        step.wait()
        fence.service.advance(PAST_LEASE)
        cancelled = fence.caller.ask(cancel_request(started))
        step.release()
        late = call.outcome()

        assert "CANCELLED" == cancelled.what
        assert "SIGNUP_BUSY" == late.what
        assert "CANCELLED" == fence.caller.ask(get_request(started)).what

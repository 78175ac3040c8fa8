"""One sign-up in a world without I/O, and what must hold in it at every moment."""

import uuid
from typing import Any, cast

from signupd.errors import SignupdError
from signupd.ledger.record import FINAL, State
from signupd.policy.password import PasswordGate
from signupd.policy.rules import CODE_REPEATS, PASSWORD_REPEATS
from signupd.sealing import open_contents
from signupd.signup.cancel import cancel_signup
from signupd.signup.deps import Dependencies
from signupd.signup.queries import get_signup
from signupd.signup.resend import resend_code
from signupd.signup.set_password import set_password
from signupd.signup.start import StartRequest, start_signup
from signupd.signup.transitions import Event, state_shown
from signupd.signup.verify import verify_code
from signupd.telemetry.observer import Observer

from tests.doubles.clock import ClockDouble
from tests.doubles.kratos_flow import Flow
from tests.doubles.log import LogDouble
from tests.doubles.memory import Died, MemoryKratos, MemoryLedger, MemoryLimits, Trouble
from tests.unit.samples import RING, RULES

ADDRESS = "ann@example.com"
PASSWORDS = ("plum-violin-harbor-42", "tractor-igloo-spoon-8")
REQUEST = StartRequest(ADDRESS, {}, "", uuid.uuid4())


GATE = PasswordGate(RULES)


class OpenGate:
    """Lets every call pass: what Kratos says beside the steps is tested elsewhere."""

    async def prove(self, _traits: object) -> None:
        """Let pass."""

    async def permit(self, _traits: object) -> None:
        """Let pass."""

    async def delivery(self, *_: object) -> None:
        """Know nothing of any mail."""

    def revoke(self) -> None:
        """Never called: this Kratos always asks."""
        raise AssertionError


class World:
    """One sign-up's world, and what must hold in it."""

    def __init__(self) -> None:
        self.clock, self.log = ClockDouble(), LogDouble()
        self.ledger, self.kratos = MemoryLedger(self.clock), MemoryKratos()
        self.observer = Observer(Event)
        self.limits = MemoryLimits()
        self.deps = Dependencies(
            ledger=cast("Any", self.ledger),
            limits=cast("Any", self.limits),
            kratos=cast("Any", self.kratos),
            courier=cast("Any", OpenGate()),
            keys=RING,
            rules=RULES,
            domains=None,
            passwords=GATE,
            hook_proof=cast("Any", OpenGate()),
            schema=cast("Any", OpenGate()),
            observer=self.observer,
            log=self.log.logger,
        )
        self.kratos.deps = self.deps
        self.kratos.on_account = self.check_account
        self.tried, self.unproved = "", True
        self.tokens = {"code": "", "password": ""}
        self.final: dict[uuid.UUID, State] = {}

    async def step(self, name: str, value: Any, troubles: list[Trouble]) -> None:
        """Take one step, and hold its outcome against the world."""
        if name == "wait":
            self.clock.move(value)
        elif name == "late":
            await self.kratos.catch_up()
        elif name == "rival":
            self.kratos.add_rival(ADDRESS)
        else:
            self.kratos.troubles = [*troubles]
            outcome = await self.outcome(name, value)
            self.kratos.troubles = []
            self.check_outcome(name, value, outcome)
        self.check_rows()

    async def outcome(self, name: str, value: Any) -> str:
        """Call a step; name the state or the reason that it came to."""
        states = {row.state for row in self.ledger.rows.values()}
        self.unproved = State.CODE_REQUIRED in states
        try:
            if name == "start":
                answer = await start_signup(self.deps, REQUEST)
                self.tokens["code"] = answer.token or self.tokens["code"]
            elif name == "verify":
                self.tried = self.code(value)
                answer = await verify_code(self.deps, self.tokens["code"], self.tried)
                self.tokens["password"] = answer.token or self.tokens["password"]
            elif name == "set":
                answer = await set_password(self.deps, self.tokens["password"], value)
            elif name == "resend":
                answer = await resend_code(self.deps, self.tokens["code"], value)
            elif name == "cancel":
                answer = await cancel_signup(self.deps, self.tokens["code"])
            else:
                answer = await get_signup(self.deps, self.tokens["code"])
        except SignupdError as error:
            return error.reason
        except Died:
            return "DIED"
        return answer.state.name

    def code(self, number: int) -> str:
        """Give the code that counts, or has counted, for 0; else a wrong one."""
        right = [code for code, right in self.kratos.judged if right]
        flow = self.current_flow()
        code = (
            flow.code if flow and flow.code else ("0", *self.kratos.codes, *right)[-1]
        )
        return f"{(int(code) + number) % 10**6:06}"

    def current_flow(self) -> Flow | None:
        """Give the flow whose code counts; none where that is over."""
        for row in self.ledger.rows.values():
            if row.sealed is not None:
                flow_id = open_contents(RING, row).flow_id
                return self.kratos.flows.get(flow_id)
        return None

    def check_outcome(self, name: str, value: Any, outcome: str) -> None:
        """Hold an answer against what Kratos knows."""
        account = self.kratos.accounts.get(ADDRESS)
        ours = account is not None and account.identity.mark is not None
        if name == "set" and outcome == "COMPLETED":
            assert account is not None
            assert value == account.password
        if name == "set" and outcome == "PASSWORD_ALREADY_SET":
            assert account is not None
            assert value != account.password
        if outcome in ("COMPLETED", "PASSWORD_ALREADY_SET"):
            assert ours
        if outcome == "ALREADY_REGISTERED":
            assert account is not None
            assert not ours
        if name == "verify" and outcome == "PASSWORD_REQUIRED":
            assert (self.tried, True) in self.kratos.judged
            assert not (self.unproved and self.kratos.rival)
        if name == "verify" and outcome == "CODE_INCORRECT":
            # A resend that is found to have gone makes another code the right one.
            flow = self.current_flow()
            assert flow is None or self.tried != flow.code
        if name == "verify" and outcome == "CODE_EXPIRED" and value == 0:
            # Only where Kratos takes no more codes on the flow.
            assert any(flow.submissions > 5 for flow in self.kratos.flows.values())

    def check_account(self) -> None:
        """An account is stored only for a sign-up that waits for its password."""
        (row,) = self.ledger.rows.values()

        assert State.PASSWORD_REQUIRED is state_shown(row, self.clock())

    def noted(self, event: Event) -> float | None:
        """Return how often a transition was counted."""
        registry = self.observer.registry
        return registry.get_sample_value("signupd_signups_total", {"event": event})

    def check_rows(self) -> None:
        """Final states stay, tries stay within bounds, mails and events are counted."""
        assert len(self.kratos.codes) <= self.limits.counted
        for signup_id, state in self.final.items():
            assert state is self.ledger.rows[signup_id].state
        for row in self.ledger.rows.values():
            if row.state in FINAL:
                self.final[row.signup_id] = row.state
            assert 0 <= row.code_attempts <= RULES.code_attempts
            assert 1 <= row.sends <= RULES.sends
            assert 0 <= row.code_repeats <= CODE_REPEATS
            assert 0 <= row.password_attempts <= RULES.password_attempts
            assert 0 <= row.password_repeats <= PASSWORD_REPEATS
        states = [row.state for row in self.ledger.rows.values()]
        assert self.noted(Event.STARTED) == len(states) - states.count(State.STARTING)
        for state in (State.COMPLETED, State.ALREADY_REGISTERED, State.CANCELLED):
            assert self.noted(Event(state.value)) == states.count(state)
        wrong = {code for code, right in self.kratos.judged if not right}
        assert len(wrong - {*self.kratos.codes}) <= RULES.code_attempts

"""Neighbours of the steps without I/O: a ledger and a Kratos in memory.

For tests of the steps in any order, under any trouble. What the Kratos does is the
double's flow; what may befall its calls is told call by call.
"""

import contextlib
import dataclasses
import enum
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from signupd.errors import KratosUnavailable, KratosUnreached, SignupBusy, SignupdError
from signupd.kratos.answers import (
    CodeAnswer,
    CodeResult,
    FlowState,
    PasswordAnswer,
    PasswordResult,
    code_result,
)
from signupd.kratos.identity import Identity
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import Lease, Record
from signupd.policy.limits import Counted
from signupd.signup.approve import approve
from signupd.signup.deps import Dependencies
from signupd.signup.verify import note_proof

from tests.doubles.identities import an_identity
from tests.doubles.kratos_flow import PASSED_CHALLENGE, SENT_EMAIL, Flow, Message

T = TypeVar("T")


class Trouble(enum.Enum):
    """What befalls one call to Kratos."""

    NONE = enum.auto()
    UNREACHED = enum.auto()  # refused: nothing done
    FAILED = enum.auto()  # an error, nothing done
    LOST = enum.auto()  # done, the answer never heard
    TORN = enum.auto()  # half done, the answer never heard
    LATE = enum.auto()  # no answer, and done when Kratos catches up
    DIED_BEFORE = enum.auto()  # our process dies, nothing done
    DIED_AFTER = enum.auto()  # done, and our process dies


class Died(BaseException):
    """Our process died here: nothing of it goes on."""


class MemoryLedger:
    """A ledger of one process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.rows: dict[uuid.UUID, Record] = {}

    def now(self) -> int:
        """Tell the time."""
        return self._clock()

    async def read_clock(self) -> None:
        """Do nothing: the clock is the process' own."""

    async def add(self, record: Record) -> bool:
        """Insert a row."""
        if await self.find_request(record.caller, record.request_id):
            return False
        self.rows[record.signup_id] = record
        return True

    async def find(self, signup_id: uuid.UUID) -> Snapshot | None:
        """Read a row."""
        row = self.rows.get(signup_id)
        return None if row is None else Snapshot(row, self.now())

    async def find_request(
        self, caller: str, request_id: uuid.UUID | None
    ) -> Snapshot | None:
        """Read a row by its request id."""
        for row in self.rows.values():
            if request_id and (row.caller, row.request_id) == (caller, request_id):
                return Snapshot(row, self.now())
        return None

    async def change(
        self, record: Record, *, unapproved: bool = False, **values: Any
    ) -> Record:
        """Change a row that nobody moved."""
        row = self._same(record)
        if unapproved and row.approved_until != record.approved_until:
            raise SignupBusy
        # As in the database: columns that are not named keep what they hold now.
        values["epoch"] = record.epoch + 1
        self.rows[record.signup_id] = row._replace(**values)
        return record._replace(**values)

    async def remove(self, record: Record) -> None:
        """Delete a row that nobody moved."""
        del self.rows[self._same(record).signup_id]

    async def approve(
        self, flow_digest: bytes, address_digest: bytes, *, span: int
    ) -> uuid.UUID | None:
        """Agree to what a live lease asks for."""
        for row in self.rows.values():
            asked = (row.flow_digest, row.address_digest, row.lease)
            live = row.lease_until > self.now()
            if live and asked == (flow_digest, address_digest, Lease.SETTING):
                until = self.now() + span
                self.rows[row.signup_id] = row._replace(approved_until=until)
                return row.signup_id
        return None

    async def note_proof(self, flow_digest: bytes, address_digest: bytes) -> None:
        """Note a right code in the row that asks for it."""
        wanted = (flow_digest, address_digest, Lease.VERIFYING)
        for row in self.rows.values():
            if wanted == (row.flow_digest, row.address_digest, row.lease):
                noted = row._replace(proof_time=self.now())
                self.rows[row.signup_id] = noted

    async def knows_flow(self, flow_digest: bytes, address_digest: bytes) -> bool:
        """Tell whether a row has this flow and address."""
        wanted = flow_digest, address_digest
        return wanted in {(r.flow_digest, r.address_digest) for r in self.rows.values()}

    def _same(self, record: Record) -> Record:
        row = self.rows.get(record.signup_id)
        if row is None or (row.state, row.epoch) != (record.state, record.epoch):
            raise SignupBusy
        return row


class MemoryLimits:
    """Limits that refuse nothing.

    Attributes:
        counted: The mails that were counted and not given back.
    """

    def __init__(self) -> None:
        self.counted = 0

    @contextlib.asynccontextmanager
    async def first_mail(self, address: bytes, client: str) -> AsyncIterator[Counted]:
        """Count a mail; give it back on an error."""
        counted = await self.further_mail(address, client)
        try:
            yield counted
        except SignupdError:
            await self.refund(counted)
            raise

    async def further_mail(self, _address: bytes, _client: str) -> Counted:
        """Count a mail."""
        self.counted += 1
        return Counted([])

    async def refund(self, _counted: Counted) -> None:
        """Give a mail back."""
        self.counted -= 1

    async def wrong_code(self, _address: bytes) -> None:
        """Count nothing."""

    async def proved(self, _address: bytes) -> None:
        """Forget nothing."""


@dataclasses.dataclass(slots=True)
class Account:
    """One account, and the password it was made with."""

    identity: Identity
    password: str


class MemoryKratos:
    """A Kratos in this process, both APIs in one.

    Set ``deps`` before the first password.

    Attributes:
        troubles: What befalls the next calls, the first of them first.
        late: What Kratos still has to do.
        judged: The codes it judged, each with whether it was right.
        rival: The account that somebody else made.
    """

    def __init__(self) -> None:
        self.deps: Dependencies | None = None
        self.public = self.admin = self
        self.flows: dict[str, Flow] = {}
        self.accounts: dict[str, Account] = {}
        self.troubles: list[Trouble] = []
        self.late: list[Callable[[], Awaitable[Any]]] = []
        self.codes: list[str] = []
        self.judged: list[tuple[str, bool]] = []
        self.rival: Account | None = None
        self.on_account: Callable[[], None] = lambda: None

    def add_rival(self, address: str) -> None:
        """Have somebody else make an account, unless one is there."""
        if address not in self.accounts:
            self.rival = Account(an_identity(address), "rival-violin-harbor-1")
            self.accounts[address] = self.rival

    async def catch_up(self) -> None:
        """Do what was left to be done."""
        late, self.late = self.late, []
        for work in late:
            await work()

    async def open_registration(self) -> str:
        """Open a flow."""
        flow = Flow()
        self.flows[flow.id] = flow
        return await self._meet(lambda _torn: self._done(flow.id))

    async def send_code(
        self, flow_id: str, traits: Mapping[str, Any], _locale: str
    ) -> None:
        """Mail a code."""

        async def work(torn: bool) -> None:
            self.codes.append(self.flows[flow_id].new_code(dict(traits)))
            if not torn:
                self.flows[flow_id].mailed(told=True)

        await self._meet(work)

    async def submit_code(
        self, flow_id: str, traits: Mapping[str, Any], code: str, *, again: bool = False
    ) -> CodeResult:
        """Judge a code; the code hook always says no."""
        flow = self.flows[flow_id]

        async def work(torn: bool) -> CodeResult:
            if flow.state not in (SENT_EMAIL, PASSED_CHALLENGE):
                return CodeResult(CodeAnswer.UNCLEAR)
            wrong = flow.judge(dict(traits), code)
            self.judged.append((code, wrong is None))
            if wrong is None and not torn and self.deps is not None:
                flow.state = PASSED_CHALLENGE
                await note_proof(self.deps, flow_id, traits["email"])
            proved = Message(9999001, "traits.email")
            flow.messages = [proved if wrong is None else wrong]
            return code_result(400, flow.body(), flow_id)

        return await self._meet(work)

    async def flow_state(self, flow_id: str) -> FlowState:
        """Tell how far a flow has come."""
        return await self._meet(
            lambda _torn: self._done(FlowState(self.flows[flow_id].state))
        )

    async def submit_password(
        self, flow_id: str, traits: Mapping[str, Any], password: str, _locale: str = ""
    ) -> PasswordResult:
        """Ask our hook, then store an account."""
        address = traits["email"]

        async def work(torn: bool) -> PasswordResult:
            if self.deps is None:
                raise RuntimeError("set deps first")
            verdict = await approve(self.deps, flow_id, address)
            if not isinstance(verdict, uuid.UUID):
                return PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW)
            if torn:  # our hook has said yes, and Kratos takes its time to store
                self.late.append(lambda: self._store(verdict, address, password))
                return PasswordResult(PasswordAnswer.UNCLEAR)
            return await self._store(verdict, address, password)

        return await self._meet(work)

    async def find_identity(self, address: str) -> Identity | None:
        """Look an account up."""
        found = self.accounts.get(address)
        identity = None if found is None else found.identity
        return await self._meet(lambda _torn: self._done(identity))

    async def end_sessions(self, _identity_id: uuid.UUID) -> None:
        """End sessions, of which there are none here."""
        await self._meet(lambda _torn: self._done(None))

    async def delete_identity(self, identity_id: uuid.UUID) -> None:
        """Never called: every account here is one that was asked for."""
        raise AssertionError(f"deletes {identity_id}")

    async def _store(
        self, mark: uuid.UUID, address: str, password: str
    ) -> PasswordResult:
        if address in self.accounts:
            return PasswordResult(PasswordAnswer.UNCLEAR)
        identity = an_identity(address, mark=mark)
        self.accounts[address] = Account(identity, password)
        self.on_account()
        return PasswordResult(PasswordAnswer.CREATED, identity.id, verified=True)

    async def _done(self, result: T) -> T:
        return result

    async def _meet(self, work: Callable[[bool], Awaitable[T]]) -> T:
        trouble = self.troubles.pop(0) if self.troubles else Trouble.NONE
        match trouble:
            case Trouble.NONE:
                return await work(False)
            case Trouble.UNREACHED:
                raise KratosUnreached
            case Trouble.DIED_BEFORE:
                raise Died
            case Trouble.LATE:
                self.late.append(lambda: work(False))
            case Trouble.LOST | Trouble.TORN | Trouble.DIED_AFTER:
                await work(trouble is Trouble.TORN)
        if trouble is Trouble.DIED_AFTER:
            raise Died
        raise KratosUnavailable

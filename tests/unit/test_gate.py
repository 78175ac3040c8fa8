"""The gate in front of StartSignup, with a Kratos that has a memory and no wire."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, cast

import pytest
from signupd.errors import KratosIncompatible, KratosUnavailable, SignupdError
from signupd.kratos.admin import Kratos
from signupd.kratos.answers import PasswordAnswer, PasswordResult
from signupd.kratos.hook_proof import (
    AWAY_SECONDS,
    FAULTS,
    PROOF_INTERVAL_SECONDS,
    HookProof,
)
from signupd.kratos.identity import Identity

from tests.doubles.identities import an_identity
from tests.doubles.log import LogDouble

PASSING = [
    PasswordAnswer.HOOK_UNKNOWN_FLOW,
    PasswordAnswer.HOOK_NOT_NOW,
    PasswordAnswer.REFUSED,
    PasswordAnswer.TRAITS_REFUSED,
]


def signed(flow_id: str, address: str) -> str:
    """Sign as our hook would."""
    return f"{flow_id}/{address}"


class SmallKratos:
    """Answers password registrations as told; keeps what it was asked and stores."""

    def __init__(self) -> None:
        self.public = self.admin = self
        self.answer = PasswordAnswer.HOOK_UNKNOWN_FLOW
        self.opening: SignupdError | None = None
        self.submitting: SignupdError | None = None
        self.deleting: SignupdError | None = None
        self.stores = False
        self.signed = signed
        self.asked: list[dict[str, Any]] = []
        self.passwords: list[str] = []
        self.accounts: dict[str, Identity] = {}

    async def open_registration(self) -> str:
        """Open a flow, or not."""
        if self.opening is not None:
            raise self.opening
        return "flow-1"

    async def submit_password(
        self, _flow_id: str, traits: Mapping[str, Any], password: str
    ) -> PasswordResult:
        """Answer, and store what a Kratos that does not ask would store."""
        self.asked.append(dict(traits))
        self.passwords.append(password)
        if self.answer is PasswordAnswer.CREATED or self.stores:
            self.accounts[traits["email"]] = an_identity(traits["email"])
        if self.submitting is not None:
            raise self.submitting
        said = f"unknown flow {self.signed('flow-1', traits['email'])}"
        return PasswordResult(self.answer, said=said)

    async def find_identity(self, address: str) -> Identity | None:
        """Look an account up."""
        return self.accounts.get(address)

    async def delete_identity(self, identity_id: uuid.UUID) -> None:
        """Delete an account, or not."""
        if self.deleting is not None:
            raise self.deleting
        self.accounts = {a: i for a, i in self.accounts.items() if i.id != identity_id}


class Stage:
    """A gate, its Kratos, its clock and its log."""

    def __init__(self) -> None:
        self.kratos, self.log, self.now = SmallKratos(), LogDouble(), 1000.0
        kratos = cast("Kratos", self.kratos)
        self.gate = HookProof(kratos, self.log.logger, signed, lambda: self.now)


@pytest.fixture
async def stage() -> Stage:
    """Set the stage."""
    return Stage()


async def test_probe(stage: Stage) -> None:
    """The probe uses an address of a domain that never exists, and a new password."""
    await stage.gate.prove({"name": "Ann"})
    stage.gate.revoke()
    await stage.gate.prove({"name": "Ann"})

    addresses = [asked["email"] for asked in stage.kratos.asked]
    assert ["Ann", "Ann"] == [asked["name"] for asked in stage.kratos.asked]
    assert all(
        a.startswith("probe-") and a.endswith("@probe.invalid") for a in addresses
    )
    assert 2 == len({*addresses}) == len({*stage.kratos.passwords})


async def test_another_ledger(stage: Stage) -> None:
    """A refusal by a signupd with another ledger proves nothing about this one."""
    stage.kratos.signed = lambda flow_id, address: f"{address}/{flow_id}"
    with pytest.raises(KratosIncompatible, match="with another DIGEST_KEY"):
        await stage.gate.prove({})

    assert not stage.gate.proved


def test_every_answer_is_a_fault_or_passes() -> None:
    """There is no answer that this file does not know."""
    assert {*PasswordAnswer} - {*PASSING} == FAULTS.keys()


@pytest.mark.parametrize("lost", [False, True])
async def test_what_the_probe_may_have_stored(stage: Stage, *, lost: bool) -> None:
    """So is one whose answer was unclear, or lost."""
    stage.kratos.answer, stage.kratos.stores = PasswordAnswer.UNCLEAR, True
    stage.kratos.submitting = KratosUnavailable() if lost else None
    with pytest.raises(KratosUnavailable if lost else KratosIncompatible):
        await stage.gate.prove({})

    assert {} == stage.kratos.accounts


async def test_left_behind(stage: Stage) -> None:
    """One that cannot be deleted is named in the log: it is nobody's."""
    stage.kratos.answer = PasswordAnswer.CREATED
    stage.kratos.deleting = KratosUnavailable("away")
    with pytest.raises(KratosIncompatible):
        await stage.gate.prove({})

    (address,) = stage.kratos.accounts
    assert address == stage.log.entry("probe_left_behind")["probe"]


async def test_fault_is_remembered(stage: Stage) -> None:
    """A fault is told again without another probe; after that a repair is noticed."""
    stage.kratos.answer = PasswordAnswer.CREATED
    told = []
    for waited in (0, 0, PROOF_INTERVAL_SECONDS - 0.1):
        stage.now += waited
        with pytest.raises(KratosIncompatible) as caught:
            await stage.gate.prove({})
        told.append(caught.value.detail)

    tried = len(stage.kratos.asked)
    stage.kratos.answer = PasswordAnswer.HOOK_UNKNOWN_FLOW
    stage.now += 0.1
    await stage.gate.prove({})

    assert [FAULTS[PasswordAnswer.CREATED]] * 3 == told
    assert 1 == tried
    assert ["kratos_incompatible", "password_hook_proved"] == stage.log.events()


@pytest.mark.parametrize("where", ["opening", "submitting"])
async def test_unavailable_is_soon_forgotten(stage: Stage, where: str) -> None:
    """A Kratos that was away is asked again half a second later."""
    setattr(stage.kratos, where, KratosUnavailable("away"))
    with pytest.raises(KratosUnavailable):
        await stage.gate.prove({})
    setattr(stage.kratos, where, None)
    stage.now += AWAY_SECONDS
    await stage.gate.prove({})

    assert ["password_hook_proved"] == stage.log.events()


async def test_unproved_after_distrust(stage: Stage) -> None:
    """Once Kratos was seen to store without asking, only a proof opens the gate."""
    stage.gate.revoke()
    stage.kratos.answer = PasswordAnswer.TRAITS_REFUSED
    with pytest.raises(KratosIncompatible):
        await stage.gate.prove({})
    stage.now += PROOF_INTERVAL_SECONDS
    stage.kratos.answer = PasswordAnswer.HOOK_UNKNOWN_FLOW
    await stage.gate.prove({})

    assert ["password_hook_proved"] == stage.log.events("info")


async def test_waiters_do_not_try_one_by_one(stage: Stage) -> None:
    """Of ten callers of a Kratos that does not answer one tries; all hear of it."""
    stage.kratos.submitting = KratosUnavailable("away")
    outcomes = await asyncio.gather(
        *(stage.gate.prove({}) for _ in range(10)), return_exceptions=True
    )
    tried = len(stage.kratos.asked)
    stage.kratos.submitting = None
    stage.now += AWAY_SECONDS
    await stage.gate.prove({})

    assert [KratosUnavailable] * 10 == [type(outcome) for outcome in outcomes]
    assert (1, 2) == (tried, len(stage.kratos.asked))

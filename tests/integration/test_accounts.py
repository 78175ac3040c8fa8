"""AccountService over gRPC: accounts in Kratos as the contract says, in one call."""

import json
import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from kratos_signup.v1 import account_service_pb2 as pb

from tests.doubles.kratos_books import HASH
from tests.integration.caller import TRIES, Caller, refusal, refusal_in_time
from tests.integration.world import PASSWORD, World, to_password
from tests.refusal import Refusal

ADDRESS = "ann@example.com"
CODE = grpc.StatusCode
NOBODY = uuid.UUID("99999999-9999-4999-8999-999999999999")
# Each with its fields in the double, and password, state, verified, complete.
TABLE: list[tuple[dict[str, Any], tuple[str, str, bool, bool]]] = [
    ({"verified": True, "password": PASSWORD}, ("SET", "ACTIVE", True, True)),
    ({"password": PASSWORD}, ("SET", "ACTIVE", False, False)),
    ({}, ("UNSET", "ACTIVE", False, False)),
    ({"verified": True}, ("UNSET", "ACTIVE", True, False)),
    ({"verified": True, "social": True}, ("UNSET", "ACTIVE", True, False)),
    ({"verified": True, "migrating": True}, ("UNKNOWN", "ACTIVE", True, False)),
    (
        {"verified": True, "password": PASSWORD, "state": "inactive"},
        ("SET", "DISABLED", True, False),
    ),
]
ABSENT = ("UNSPECIFIED", "UNSPECIFIED", False, False)


def told(account: pb.Account) -> tuple[str, str, bool, bool]:
    """Read an account: password, state, verified, complete."""
    return (
        pb.PasswordStatus.Name(account.password_status)[len("PASSWORD_STATUS_") :],
        pb.AccountState.Name(account.state)[len("ACCOUNT_STATE_") :],
        account.email_verified,
        account.complete,
    )


def said(refused: Refusal) -> tuple[grpc.StatusCode, str, list[str]]:
    """Return status, reason and faulty fields of a refusal."""
    return refused.code, refused.reason, [field for field, _ in refused.faults]


def asked(world: World) -> list[str]:
    """Return the calls to Kratos since its hook was proved."""
    return list(world.kratos.calls)[world.kratos.calls.index("password") + 1 :]


@pytest.mark.parametrize(("fields", "expected"), TABLE)
async def test_account(
    world: World, caller: Caller, fields: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """An account is told alike by its id, by its address, and in a batch."""
    identity_id = str(world.kratos.add_account(ADDRESS, **fields).id)
    by_id = (await caller.account(identity_id=identity_id)).account
    by_address = (await caller.account(email=ADDRESS)).account
    (in_batch,) = (await caller.accounts([identity_id])).accounts

    assert (identity_id, expected) == (by_id.identity_id, told(by_id))
    assert by_id == by_address == in_batch
    assert ["find"] * 3 == asked(world)


async def test_account_of_a_sign_up(world: World, caller: Caller) -> None:
    """Until a sign-up is complete there is no account, as for an unknown id."""
    token = await to_password(world, caller, ADDRESS)
    unknown = [
        await refusal(caller.account(email=ADDRESS)),
        await refusal(caller.account(identity_id=str(NOBODY))),
    ]
    done = await caller.set_password(token, PASSWORD)
    account = (await caller.account(email=ADDRESS)).account

    assert [(CODE.NOT_FOUND, "ACCOUNT_NOT_FOUND", [])] * 2 == [*map(said, unknown)]
    assert None is unknown[0].signup
    assert done.signup.identity_id == account.identity_id
    assert ("SET", "ACTIVE", True, True) == told(account)


@pytest.mark.parametrize(
    ("stored", "asked_for"),
    [
        (ADDRESS, "Ann@EXAMPLE.com"),
        (ADDRESS.upper(), ADDRESS),
        ("ann@xn--bcher-kva.example", "Ann@BÜCHER.example"),
        ("ann+tag@example.com", "ann+tag@example.com"),
    ],
)
async def test_spelling(
    world: World, caller: Caller, stored: str, asked_for: str
) -> None:
    """An address is found in any spelling, here and in Kratos."""
    identity = world.kratos.add_account(stored, verified=True)
    account = (await caller.account(email=asked_for)).account

    assert (str(identity.id), True) == (account.identity_id, account.email_verified)


async def test_batch(world: World, caller: Caller) -> None:
    """One call answers a hundred ids in order, with duplicates and unknown ones.

    An unknown id is an entry with the id alone.
    """
    identities = [
        world.kratos.add_account(f"ann{number}@example.com", **TABLE[number % 7][0])
        for number in range(40)
    ]
    known = {one.id: TABLE[n % 7][1] for n, one in enumerate(identities)}
    unknown = [uuid.uuid4() for _ in range(20)]
    ids = [*known, *unknown, *reversed(known)]
    answer = await caller.accounts([str(one).upper() for one in ids])

    assert 100 == len(ids)
    assert [(str(one), known.get(one, ABSENT)) for one in ids] == [
        (account.identity_id, told(account)) for account in answer.accounts
    ]
    assert ["find"] == asked(world)


async def test_batch_refused(world: World, caller: Caller) -> None:
    """Malformed ids are named by their index, and Kratos is not asked."""
    batches: list[tuple[list[Any], list[str]]] = [
        ([NOBODY, NOBODY, NOBODY, "x", NOBODY], ["identity_ids[3]"]),
        (["", *[NOBODY] * 98, "x"], ["identity_ids[0]", "identity_ids[99]"]),
        ([], ["identity_ids"]),
        ([NOBODY] * 101, ["identity_ids"]),
    ]
    refusals = [await refusal(caller.accounts(ids)) for ids, _ in batches]

    assert [(CODE.INVALID_ARGUMENT, "REQUEST_INVALID", f) for _, f in batches] == [
        said(one) for one in refusals
    ]
    assert [] == asked(world)


@pytest.mark.parametrize(
    ("key", "reason", "field"),
    [
        ({}, "REQUEST_INVALID", "key"),
        ({"identity_id": ""}, "REQUEST_INVALID", "identity_id"),
        ({"identity_id": "x"}, "REQUEST_INVALID", "identity_id"),
        ({"email": ""}, "EMAIL_INVALID", "email"),
        ({"email": "ann"}, "EMAIL_INVALID", "email"),
    ],
)
async def test_refused(
    world: World, caller: Caller, key: dict[str, str], reason: str, field: str
) -> None:
    """A missing or malformed key is named, and Kratos is not asked."""
    refused = await refusal(caller.account(**key))

    assert (CODE.INVALID_ARGUMENT, reason, [field]) == said(refused)
    assert [] == asked(world)


async def test_kratos_away(world: World, caller: Caller) -> None:
    """Without Kratos an account is unknown, not absent."""
    await world.kratos.down()
    refusals = [
        await refusal(caller.account(email=ADDRESS)),
        await refusal(caller.accounts([NOBODY])),
    ]

    assert [(CODE.UNAVAILABLE, "KRATOS_UNAVAILABLE", [])] * 2 == [
        said(one) for one in refusals
    ]
    assert all(one.retry_seconds for one in refusals)


async def test_kratos_slow(world: World, caller: Caller) -> None:
    """A Kratos slower than the caller's deadline is unavailable."""
    held = world.kratos.hold("find", times=TRIES)
    caller.deadline_seconds = 0.5
    refused = await refusal_in_time(lambda: caller.account(email=ADDRESS))
    held.released.set()

    assert (CODE.UNAVAILABLE, "KRATOS_UNAVAILABLE", []) == said(refused)
    assert refused.retry_seconds


async def test_kratos_incompatible(world: World, caller: Caller) -> None:
    """An admin API that refuses us is an error for the operator."""
    world.kratos.setup.admin_token = "of another fence"
    refused = await refusal(caller.account(email=ADDRESS))

    assert (CODE.INTERNAL, "KRATOS_INCOMPATIBLE", []) == said(refused)
    assert "KRATOS_ADMIN_TOKEN" in world.log.entry("kratos_incompatible")["why"]


async def test_hash_stays_inside(world: World, caller: Caller) -> None:
    """No answer, error or log line holds a hash or an address, whatever Kratos says."""
    identity = world.kratos.add_account(ADDRESS, password=PASSWORD, verified=True)
    answers = [
        MessageToJson(await caller.account(identity_id=str(identity.id))),
        MessageToJson(await caller.account(email=ADDRESS)),
        MessageToJson(await caller.accounts([identity.id])),
    ]
    identity.state = "asleep"  # which no Kratos says
    refused = await refusal(caller.account(email=ADDRESS))

    everything = [*answers, refused.wire, json.dumps(world.log.entries, default=repr)]
    assert "KRATOS_INCOMPATIBLE" == refused.reason
    assert "kratos_incompatible" in world.log.events()
    assert [] == [text for text in everything if HASH in text or ADDRESS in text]

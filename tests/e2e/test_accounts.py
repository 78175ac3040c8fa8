"""What AccountService tells of accounts on a real Kratos."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from kratos_signup.v1 import account_service_pb2 as pb

from tests.e2e.errors import Refusal, refusal
from tests.e2e.frail import Frail
from tests.e2e.holdings import (
    identity_calls,
    import_account,
    import_accounts,
    make_account,
    password_hash,
    set_state,
)
from tests.e2e.stack import GOOD_PASSWORD, Log, Stack, new_address

# Password, state, verified, complete.
Told = tuple[str, str, bool, bool]
Said = tuple[grpc.StatusCode, str, list[str]]
NOT_FOUND: Said = (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND", [])
ABSENT: Told = ("UNSPECIFIED", "UNSPECIFIED", False, False)
GOOGLE = {"oidc": {"config": {"providers": [{"provider": "google", "subject": "1"}]}}}
MIGRATING = {"password": {"config": {"use_password_migration_hook": True}}}


def _signed_up(stack: Stack, address: str) -> str:
    return stack.registered(address)


def _disabled(stack: Stack, address: str) -> str:
    identity_id = stack.registered(address)
    set_state(stack.kratos, identity_id, "inactive")
    return identity_id


def _provisioned(stack: Stack, address: str) -> str:
    return import_account(stack.kratos, address)


def _proved(stack: Stack, address: str) -> str:
    verified = {"via": "email", "verified": True, "status": "completed"}
    addresses = [{"value": address, **verified}]
    return import_account(stack.kratos, address, verifiable_addresses=addresses)


def _social(stack: Stack, address: str) -> str:
    return import_account(stack.kratos, address, credentials=GOOGLE)


def _migrating(stack: Stack, address: str) -> str:
    return import_account(stack.kratos, address, credentials=MIGRATING)


def _unverified(stack: Stack, address: str) -> str:
    return make_account(stack.kratos, address, GOOD_PASSWORD)


def _capitals(stack: Stack, address: str) -> str:
    return make_account(stack.kratos, address.upper(), GOOD_PASSWORD)


# How an account comes to be, and what is told of it.
TABLE: list[tuple[Callable[[Stack, str], str], Told]] = [
    (_signed_up, ("SET", "ACTIVE", True, True)),
    (_disabled, ("SET", "DISABLED", True, False)),
    (_provisioned, ("UNSET", "ACTIVE", False, False)),
    (_proved, ("UNSET", "ACTIVE", True, False)),
    (_social, ("UNSET", "ACTIVE", False, False)),
    (_migrating, ("UNKNOWN", "ACTIVE", False, False)),
    (_unverified, ("SET", "ACTIVE", False, False)),
    (_capitals, ("SET", "ACTIVE", False, False)),
]


def told(account: pb.Account) -> Told:
    """Read an account."""
    return (
        pb.PasswordStatus.Name(account.password_status)[len("PASSWORD_STATUS_") :],
        pb.AccountState.Name(account.state)[len("ACCOUNT_STATE_") :],
        account.email_verified,
        account.complete,
    )


def said(refused: Refusal) -> Said:
    """Read a refusal."""
    return refused.status, refused.reason, refused.fields


@pytest.mark.parametrize(("make", "expected"), TABLE)
def test_status(
    stack: Stack, address: str, make: Callable[[Stack, str], str], expected: Told
) -> None:
    """Each is told truthfully, by id, by address in any case, in a batch; one call."""
    identity_id = make(stack, address)
    before = identity_calls(stack.kratos)
    accounts = [
        stack.caller.account(identity_id=identity_id),
        stack.caller.account(email=address),
        stack.caller.account(email=address.title()),
        *stack.caller.batch([identity_id]),
    ]
    calls = identity_calls(stack.kratos) - before

    assert [(identity_id, expected)] * 4 == [
        (one.identity_id, told(one)) for one in accounts
    ]
    assert 4 == calls


def test_enabled_again(stack: Stack, address: str) -> None:
    """What is told is what is so at that moment."""
    identity_id = _disabled(stack, address)
    disabled = stack.caller.account(identity_id=identity_id)
    set_state(stack.kratos, identity_id, "active")
    enabled = stack.caller.account(identity_id=identity_id)

    assert [False, True] == [disabled.complete, enabled.complete]


def test_under_way(stack: Stack, address: str) -> None:
    """A sign-up is no account at any of its steps, until it is complete."""
    refusals = []
    started = stack.caller.start(address)
    refusals.append(refusal(stack.caller.account, email=address))
    code = stack.code(address)
    verified = stack.caller.verify(started.continuation_token, code)
    refusals.append(refusal(stack.caller.account, email=address))
    stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)
    account = stack.caller.account(email=address)

    assert [NOT_FOUND] * 2 == [said(one) for one in refusals]
    assert all(one.signup is None for one in refusals)
    assert account.complete


def test_unknown(stack: Stack, address: str) -> None:
    """Nobody is found by an unknown id or address."""
    refusals = [
        refusal(stack.caller.account, identity_id=str(uuid.uuid4())),
        refusal(stack.caller.account, email=address),
    ]

    assert [NOT_FOUND] * 2 == [said(one) for one in refusals]


def test_hundred(stack: Stack) -> None:
    """A hundred ids, twins and unknown ones among them, are answered by one call."""
    ids = import_accounts(stack.kratos, [new_address() for _ in range(45)])
    ids += [str(uuid.uuid4()) for _ in range(10)]
    asked = [*ids, *reversed(ids[:45])]
    before = identity_calls(stack.kratos)
    accounts = stack.caller.batch(asked)
    calls = identity_calls(stack.kratos) - before

    unset: Told = ("UNSET", "ACTIVE", False, False)
    expected = [*[unset] * 45, *[ABSENT] * 10, *[unset] * 45]
    assert asked == [one.identity_id for one in accounts]
    assert expected == [told(one) for one in accounts]
    assert 1 == calls


def test_hundred_known(stack: Stack) -> None:
    """A hundred accounts are answered by one call too: no second page is needed."""
    ids = import_accounts(stack.kratos, [new_address() for _ in range(100)])
    before = identity_calls(stack.kratos)
    accounts = stack.caller.batch(ids)
    calls = identity_calls(stack.kratos) - before

    assert ids == [one.identity_id for one in accounts]
    assert {pb.ACCOUNT_STATE_ACTIVE} == {one.state for one in accounts}
    assert 1 == calls


def test_malformed(stack: Stack) -> None:
    """One malformed id among a hundred is named, and Kratos is not asked."""
    ids = [str(uuid.uuid4()) for _ in range(100)]
    ids[3] = ids[3][:-1]
    before = identity_calls(stack.kratos)
    refused = refusal(stack.caller.batch, ids)

    invalid = grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"
    assert (*invalid, ["identity_ids[3]"]) == said(refused)
    assert before == identity_calls(stack.kratos)


def test_away(frail: Frail, address: str) -> None:
    """While Kratos is away nobody is told to be absent."""
    stack = frail.stack
    identity_id = stack.registered(address)
    stack.kratos.stop()
    refusals = [
        refusal(stack.caller.account, email=address),
        refusal(stack.caller.batch, [identity_id]),
    ]
    stack.kratos.start()
    account = stack.caller.account(email=address)

    assert {"KRATOS_UNAVAILABLE"} == {one.reason for one in refusals}
    assert all(one.retry_seconds for one in refusals)
    assert account.complete


def test_hash(stack: Stack, address: str) -> None:
    """The password's hash is in no answer, and in no line of the log at any level."""
    identity_id = stack.registered(address)
    canary = password_hash(stack.kratos, identity_id)
    answers: list[Any] = [
        stack.caller.account(identity_id=identity_id),
        stack.caller.account(email=address),
        *stack.caller.batch([identity_id]),
    ]
    told_all = "\n".join(MessageToJson(one) for one in answers)
    log = json.dumps(Log(stack.server).lines())

    assert canary.startswith("$2a$12$")
    assert [] == [text for text in (told_all, log) if canary in text or "$2a$" in text]
    assert [] == [text for text in (told_all, log) if address in text]

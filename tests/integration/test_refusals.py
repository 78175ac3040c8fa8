"""Every error reason that this version can give, as a caller reads it."""

import logging
import uuid
from typing import Any

import grpc
import pytest

from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password
from tests.refusal import Refusal

ADDRESS = "ann@example.com"
CODE = grpc.StatusCode
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
SERVICE = "/kratos_signup.v1.SignupService"


def said(refused: Refusal) -> tuple[grpc.StatusCode, str]:
    """Give status and reason of a refusal."""
    return refused.code, refused.reason


def shown(refused: Refusal) -> str:
    """Name the state that a refusal shows; empty where it shows no sign-up."""
    return "" if refused.signup is None else state_of(refused)


# What is malformed: at which step, what is sent, the reason, and the fields named.
MALFORMED: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (
        "start",
        {"locale": "-", "client_ip": "x", "request_id": "x"},
        "REQUEST_INVALID",
        ["locale", "client_ip", "request_id"],
    ),
    ("start", {"email": ""}, "EMAIL_INVALID", ["email"]),
    (
        "start",
        {"traits": {"email": "bob@example.com"}},
        "TRAITS_INVALID",
        ["traits.email"],
    ),
    (
        "start",
        {"traits": {"name": 5, "newsletter": 1}},
        "TRAITS_INVALID",
        ["traits.name", "traits.newsletter"],
    ),
    ("start", {"traits": {"height": 180}}, "TRAITS_INVALID", ["traits"]),
    *(
        ("start", {"traits": {"name": number}}, "TRAITS_INVALID", ["traits"])
        for number in (float("nan"), float("inf"), float("-inf"))
    ),
    (
        "start",
        {"traits": {"name": "A\0", "x": [{"y": ["\x9f"]}], "z": {"\n": 1}}},
        "TRAITS_INVALID",
        ["traits.name", "traits.x", "traits.z"],
    ),
    *(
        ("start", {"email": f"an{char}n@example.com"}, "EMAIL_INVALID", ["email"])
        for char in "\0\n\x1b\x7f\x9f"
    ),
    *(
        ("verify", {"code": code}, "REQUEST_INVALID", ["code"])
        for code in ("", "12345x", "1" * 17)
    ),
    *(
        ("set_password", {"password": password}, "REQUEST_INVALID", ["password"])
        for password in ("", "x" * 1025, "\u00e4" * 513)
    ),
    ("check", {"password": ""}, "REQUEST_INVALID", ["password"]),
]


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed(
    world: World, caller: Caller, case: tuple[str, dict[str, Any], str, list[str]]
) -> None:
    """Every malformed field is named; no mail goes, and no attempt is lost."""
    step, fields, reason, named = case
    token = ""
    if step == "verify":
        token, _ = await to_code(world, caller, ADDRESS)
    elif step != "start":
        token = await to_password(world, caller, ADDRESS)
    mails, rows = len(world.kratos.mails_to(ADDRESS)), world.rows()
    given = {"email": ADDRESS, **fields} if step == "start" else {"token": token}
    refused = await refusal(getattr(caller, step)(**given | fields))

    assert (CODE.INVALID_ARGUMENT, reason) == said(refused)
    assert named == [field for field, _ in refused.faults]
    assert (mails, rows) == (len(world.kratos.mails_to(ADDRESS)), world.rows())


async def test_request_id_reused(world: World, caller: Caller) -> None:
    """A request id with another address, locale or traits is refused; no mail goes."""
    request_id = uuid.uuid4()
    await caller.start(ADDRESS, request_id)
    refusals = [
        await refusal(caller.start("bob@example.com", request_id)),
        await refusal(caller.start(ADDRESS, request_id, locale="fr")),
        await refusal(caller.start(ADDRESS, request_id, traits={"name": "Bob"})),
    ]

    expected = (CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert [expected] * 3 == [said(refused) for refused in refusals]
    assert 1 == world.kratos.calls.count("send")


async def test_token_invalid(world: World, caller: Caller) -> None:
    """A token that is none of ours is one and the same error, for every RPC."""
    token, code = await to_code(world, caller, ADDRESS)
    tokens = ["", "x", token[:-1], token + "A", "A" * 67, "A" * 5000, "é" * 67]
    calls = [
        call
        for bad in tokens
        for call in (
            caller.verify(bad, code),
            caller.set_password(bad, PASSWORD),
            caller.get(bad),
        )
    ]
    refusals = [await refusal(call) for call in calls]

    assert {(CODE.INVALID_ARGUMENT, "TOKEN_INVALID")} == {said(r) for r in refusals}
    assert 1 == len({r.message for r in refusals})
    assert not any(r.signup or r.faults for r in refusals)


async def test_code_of_another_signup(world: World, caller: Caller) -> None:
    """A token is for its own sign-up: another's code does not go with it."""
    token, code = await to_code(world, caller, ADDRESS)
    other, _ = await to_code(world, caller, "eve@example.com")
    refused = await refusal(caller.verify(other, code))
    verified = await caller.verify(token, code)

    assert (CODE.INVALID_ARGUMENT, "CODE_INCORRECT") == said(refused)
    assert "PASSWORD_REQUIRED" == state_of(verified)


async def test_step_mismatch(world: World, caller: Caller) -> None:
    """A token of the other step is refused, with the sign-up to go by."""
    token, code = await to_code(world, caller, ADDRESS)
    early = await refusal(caller.set_password(token, PASSWORD))
    later = (await caller.verify(token, code)).continuation_token
    late = await refusal(caller.verify(later, code))

    expected = (CODE.FAILED_PRECONDITION, "STEP_MISMATCH")
    assert [expected] * 2 == [said(early), said(late)]
    assert ["CODE_REQUIRED", "PASSWORD_REQUIRED"] == [shown(early), shown(late)]


async def test_wrong_code_after_the_proof(world: World, caller: Caller) -> None:
    """After the proof other codes are incorrect, and have a count of their own."""
    token, code = await to_code(world, caller, ADDRESS)
    await refusal(caller.verify(token, another(code)))
    await caller.verify(token, code)
    wrong = [await refusal(caller.verify(token, another(code))) for _ in range(5)]
    last = await refusal(caller.verify(token, code))

    assert {(CODE.INVALID_ARGUMENT, "CODE_INCORRECT")} == {said(r) for r in wrong}
    assert (CODE.RESOURCE_EXHAUSTED, "CODE_ATTEMPTS_EXHAUSTED") == said(last)
    assert 2 == world.kratos.calls.count("code")


@pytest.mark.parametrize("what", ["lapse_codes", "expire_flows"])
async def test_code_expired(world: World, caller: Caller, what: str) -> None:
    """A code or flow that has lapsed in Kratos is told so, at once the next time."""
    token, code = await to_code(world, caller, ADDRESS)
    getattr(world.kratos, what)()
    first = await refusal(caller.verify(token, code))
    second = await refusal(caller.verify(token, code))

    expected = (CODE.FAILED_PRECONDITION, "CODE_EXPIRED")
    assert [expected] * 2 == [said(first), said(second)]
    assert "CODE_REQUIRED" == shown(first)
    assert 1 == world.kratos.calls.count("code")


async def test_code_expired_on_its_way(world: World, caller: Caller) -> None:
    """Past our own deadline Kratos' "wrong" may mean "too late", and is told as that.

    Kratos after 26.2 does not tell the two apart.
    """
    token, code = await to_code(world, caller, ADDRESS)
    async with world.held(
        "code", refusal(caller.verify(token, another(code))), after=True
    ) as call:
        world.clock.move(15 * 60)

    assert (CODE.FAILED_PRECONDITION, "CODE_EXPIRED") == said(await call)


async def test_password_rejected_here(world: World, caller: Caller) -> None:
    """A password that breaks a rule of ours is refused by it and costs no attempt."""
    table = [
        ("Ab1!xyz", "TOO_SHORT"),
        ("\u00e4" * 7, "TOO_SHORT"),
        ("a1" * 36 + "z", "TOO_LONG"),
        ("\u00e4" * 37, "TOO_LONG"),
        ("password1", "TOO_COMMON"),
        ("ann@example.com", "TOO_COMMON"),
        ("plum-violin\x00harbor", "REFUSED"),
    ]
    token = await to_password(world, caller, ADDRESS)
    before = world.kratos.calls.count("password")
    refusals = [await refusal(caller.set_password(token, p)) for p, _ in table]
    checks = [await caller.check(token, p) for p, _ in table]

    expected = (CODE.INVALID_ARGUMENT, "PASSWORD_REJECTED")
    assert [expected] * 7 == [said(refused) for refused in refusals]
    assert [[("password", rule)] for _, rule in table] == [r.faults for r in refusals]
    assert [[rule] for _, rule in table] == [
        [v.reason for v in check.violations] for check in checks
    ]
    assert {
        "is too short",
        "is too long",
        "is too easy to guess",
        "is not acceptable",
    } == {v.description for check in checks for v in check.violations}
    assert [20] * 7 == [
        r.signup.password_attempts_remaining for r in refusals if r.signup
    ]
    assert before == world.kratos.calls.count("password")


async def test_check_password(world: World, caller: Caller) -> None:
    """A check tells strength by the address; the states refuse it as they should."""
    early, code = await to_code(world, caller, ADDRESS)
    token = (await caller.verify(early, code)).continuation_token
    words = ["password", "ann@example.com", "violin42", PASSWORD]
    checks = [await caller.check(token, word) for word in words]
    async with world.held("password", caller.set_password(token, PASSWORD)) as call:
        while_busy = await caller.check(token, PASSWORD)
    await call
    cancelled = await to_password(world, caller, "bob@example.com")
    await caller.cancel(cancelled)
    late = await to_password(world, caller, "cid@example.com")
    world.clock.move(1800)
    refusals = [
        await refusal(caller.check(one, PASSWORD))
        for one in (early, token, cancelled, late, "x")
    ]

    assert [False, False, True, True] == [check.acceptable for check in checks]
    strengths = [check.strength for check in checks]
    assert strengths == sorted(strengths)
    assert (0, 4) == (strengths[0], strengths[-1])
    assert (True, 4) == (while_busy.acceptable, while_busy.strength)
    mismatch = ["STEP_MISMATCH"] * 2
    reasons = [*mismatch, "SIGNUP_CANCELLED", "SIGNUP_EXPIRED", "TOKEN_INVALID"]
    assert reasons == [refused.reason for refused in refusals]


async def test_password_rejected_by_kratos(world: World, caller: Caller) -> None:
    """What Kratos refuses costs an attempt, leaves nothing, and another may do."""
    world.kratos.setup.breached = frozenset({"tractor-igloo-spoon-8"})
    world.kratos.setup.min_password_length = 12
    token = await to_password(world, caller, ADDRESS)
    refusals = [
        await refusal(caller.set_password(token, password))
        for password in ("tractor-igloo-spoon-8", "Xk3$rTq9v")
    ]
    accounts = world.kratos.accounts()
    done = await caller.set_password(token, PASSWORD)

    expected = (CODE.INVALID_ARGUMENT, "PASSWORD_REJECTED")
    assert [expected] * 2 == [said(refused) for refused in refusals]
    assert [[("password", "BREACHED")], [("password", "TOO_SHORT")]] == [
        refused.faults for refused in refusals
    ]
    assert [19, 18] == [
        r.signup.password_attempts_remaining for r in refusals if r.signup
    ]
    assert [] == accounts
    assert "COMPLETED" == state_of(done)


async def test_password_attempts_exhausted(world: World) -> None:
    """After so many passwords refused by Kratos no more are put to it."""
    replica = await world.serve(password_attempts=2)
    caller = replica.caller
    world.kratos.setup.breached = frozenset({PASSWORD})
    token = await to_password(world, caller, ADDRESS)
    refusals = [await refusal(caller.set_password(token, PASSWORD)) for _ in range(3)]

    assert "PASSWORD_REJECTED" == refusals[1].reason
    expected = (CODE.RESOURCE_EXHAUSTED, "PASSWORD_ATTEMPTS_EXHAUSTED")
    assert expected == said(refusals[2])
    assert "PASSWORD_REQUIRED" == shown(refusals[2])


async def test_password_already_set(world: World, caller: Caller) -> None:
    """Another password than the account's is told as such, tried before or not."""
    world.kratos.setup.breached = frozenset({"tractor-igloo-spoon-8"})
    token = await to_password(world, caller, ADDRESS)
    await refusal(caller.set_password(token, "tractor-igloo-spoon-8"))
    await caller.set_password(token, PASSWORD)
    refusals = [
        await refusal(caller.set_password(token, other))
        for other in (PASSWORD + "!", "tractor-igloo-spoon-8")
    ]

    expected = (CODE.FAILED_PRECONDITION, "PASSWORD_ALREADY_SET")
    assert [expected] * 2 == [said(refused) for refused in refusals]
    assert ["COMPLETED"] * 2 == [*map(shown, refusals)]
    assert [PASSWORD] == [account.password for account in world.kratos.accounts()]


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("/grpc.health.v1.Health/Check", "unary_unary"),
        ("/grpc.health.v1.Health/Watch", "unary_stream"),
        (f"/{REFLECTION}/ServerReflectionInfo", "stream_stream"),
    ],
)
async def test_corrupt_request_elsewhere(
    caller: Caller, method: str, kind: str
) -> None:
    """Health checks and reflection refuse bytes that are no message in our words.

    The RPCs are test_fuzz.py's.
    """
    call: Any = getattr(caller.channel, kind)(method)
    given = iter([b"\x0a\x01\xff"]) if kind == "stream_stream" else b"\x0a\x01\xff"

    async def read() -> None:
        calling = call(given, timeout=60)
        if kind == "unary_unary":
            await calling
        else:
            await calling.read()

    refused = await refusal(read())

    assert (CODE.INVALID_ARGUMENT, "REQUEST_INVALID") == said(refused)
    assert "A field is missing or malformed." == refused.message


async def test_method_that_is_no_text(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """The server serves on after a path that is not UTF-8, and grpc alone logs it."""
    # A command that ran in this process may have silenced it.
    caplog.set_level(logging.ERROR, logger="grpc")
    path: Any = f"{SERVICE}/".encode() + b"\xff"
    call: Any = caller.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"", timeout=60)

    assert {"grpc"} == {record.name.partition(".")[0] for record in caplog.records}
    assert (await caller.start(ADDRESS)).continuation_token


async def test_defect(world: World, caller: Caller) -> None:
    """What was never to happen is INTERNAL: no text to the caller, all to the log."""
    token, code = await to_code(world, caller, ADDRESS)
    world.change_row("state", "tampered with")
    refused = await refusal(caller.verify(token, code))

    assert (CODE.INTERNAL, "INTERNAL") == said(refused)
    assert "Something is wrong in this service." == refused.message
    assert [] == [
        w for w in ("ValueError", "tampered", "Traceback") if w in refused.wire
    ]
    assert "ValueError" in repr(world.log.entry("defect")["exception"])


@pytest.mark.parametrize("column", ["sealed", "sealed_mask"])
@pytest.mark.parametrize("by", ["garbage", "another row's"])
async def test_tampered_with(
    world: World, caller: Caller, column: str, by: str
) -> None:
    """A row that the key ring cannot open is nobody's; the log names it."""
    await caller.start("bob@example.com")
    other = world.row()[column]
    token, code = await to_code(world, caller, ADDRESS)
    world.change_row(column, other if by == "another row's" else b"garbage")
    refused = await refusal(caller.verify(token, code))

    assert (CODE.INVALID_ARGUMENT, "TOKEN_INVALID") == said(refused)
    assert [] == [w for w in ("Seal", "garbage", "Traceback") if w in refused.wire]
    assert "SealBroken" in repr(world.log.entry("signup_unreadable")["exception"])

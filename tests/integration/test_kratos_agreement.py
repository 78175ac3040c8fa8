"""The adapter against the double of Kratos and against a real one: both alike.

What the adapter relies on is pinned here, message ids and texts included, so that the
other tests may trust the double. Not held against a real Kratos: a breached password
(it takes a server of breaches), 429 and 5xx, and the troubles that tests lay in the
double's way.
"""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    TraitsInvalid,
)
from signupd.kratos.identity import AccountState, Identity, Mark, PasswordStatus
from signupd.kratos.outcomes import (
    CodeAnswer,
    CodeResult,
    Delivery,
    FlowState,
    PasswordAnswer,
    PasswordResult,
    PasswordRule,
)

from tests.doubles.certificate import certificate_file
from tests.doubles.hooks import NOT_NOW, Asked, HookDouble, yes
from tests.doubles.kratos import KratosDouble
from tests.integration.kratos_stage import (
    NAMED,
    DoubleStage,
    RealKratoses,
    RealStage,
    Shape,
    Stage,
    schema_requiring,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    OpenStage = Callable[[Shape], Awaitable[Stage]]

Json = dict[str, Any]

PASSWORD = "correct-horse-battery-7"
SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
CODE_SENT_TEXT = (
    "An email containing a code has been sent to the email address you provided. If "
    "you have not received an email, check the spelling of the address and retry the "
    "registration."
)
CODE_SENT = ("", 1040005, CODE_SENT_TEXT)
CODE_WRONG = (
    "",
    4040003,
    "The registration code is invalid or has already been used. Please try again.",
)
TOO_OFTEN = (
    "",
    4000001,
    "The request was submitted too often. Please request another code.",
)
USED = ("", 4000001, "The code was already used. Please request another code.")
NO_STRATEGY = (
    "",
    4010003,
    (
        "Could not find a strategy to sign you up with. Did you fill out the form "
        "correctly?"
    ),
)
OTHER_TRAITS = (
    "",
    4000036,
    "The provided traits do not match the traits previously associated with this flow.",
)
TAKEN = (
    "",
    4000007,
    "An account with the same identifier (email, phone, username, ...) exists already.",
)


def _registration(config: Json) -> Json:
    registration: Json = config["selfservice"]["flows"]["registration"]
    return registration


def _methods(config: Json) -> Json:
    methods: Json = config["selfservice"]["methods"]
    return methods


def _hooks_misplaced(config: Json) -> None:
    after = _registration(config)["after"]
    _registration(config)["after"] = {
        "hooks": after["code"]["hooks"] + after["password"]["hooks"]
    }


def _two_methods_off(config: Json) -> None:
    _methods(config)["code"]["passwordless_enabled"] = False
    _methods(config)["password"]["enabled"] = False


def _code_off(config: Json) -> None:
    # passwordless_enabled alone would switch the method on again.
    _methods(config)["code"] |= {"enabled": False, "passwordless_enabled": False}
    config["identity"]["schemas"][0]["url"] = schema_requiring("email", "name")


def _registration_off(config: Json) -> None:
    _registration(config)["enabled"] = False


def _user_names(config: Json) -> None:
    by_name = {"credentials": {"password": {"identifier": True}}}
    username = {"type": "string", "ory.sh/kratos": by_name}
    schema = {"id": NAMED, "url": schema_requiring(username=username)}
    config["identity"]["schemas"].append(schema)


def _nothing(_: object) -> None:
    """Leave it as it is."""


def _no_hooks_in_double(double: KratosDouble) -> None:
    double.setup.code_hook = double.setup.password_hook = False


def _two_methods_off_in_double(double: KratosDouble) -> None:
    double.setup.passwordless = double.setup.password_method = False


def _code_off_in_double(double: KratosDouble) -> None:
    double.setup.code_method = False
    double.setup.required_traits = frozenset({"email", "name"})


def _registration_off_in_double(double: KratosDouble) -> None:
    double.setup.registration = False


REFERENCE = Shape(_nothing, _nothing)
MISPLACED = Shape(_hooks_misplaced, _no_hooks_in_double)
TWO_METHODS_OFF = Shape(_two_methods_off, _two_methods_off_in_double)
CODE_OFF = Shape(_code_off, _code_off_in_double)
REGISTRATION_OFF = Shape(_registration_off, _registration_off_in_double)
USER_NAMES = Shape(_user_names, _nothing)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKratoses]:
    """Give the real Kratoses, none of them started yet."""
    kratoses = RealKratoses(tmp_path_factory.mktemp("kratos"))
    yield kratoses
    kratoses.close()


@pytest.fixture(params=["double", "real"])
async def open_stage(
    request: pytest.FixtureRequest, real: RealKratoses, tmp_path: Path
) -> AsyncIterator[OpenStage]:
    """Give a function that sets the stage with the double or a real Kratos."""
    async with AsyncExitStack() as resources:

        async def with_double(shape: Shape) -> Stage:
            hooks = await resources.enter_async_context(HookDouble())
            double = await resources.enter_async_context(KratosDouble())
            shape.adjust(double)
            return DoubleStage(double, hooks, certificate_file(tmp_path))

        async def with_real(shape: Shape) -> Stage:
            process, port = real.running(shape)
            hooks = await resources.enter_async_context(HookDouble(port))
            return RealStage(process, real.mailbox, hooks, certificate_file(tmp_path))

        async def opened(shape: Shape) -> Stage:
            set_up = with_double if request.param == "double" else with_real
            stage = await set_up(shape)
            resources.push_async_callback(stage.http.close)
            return stage

        yield opened


@pytest.fixture
def address() -> str:
    """Make an address that nobody has used."""
    return f"ann+{uuid.uuid4().hex[:12]}@example.com"


async def mailed(stage: Stage, address: str) -> tuple[str, Json, str]:
    """Have a code mailed; give the flow, the traits and the code."""
    flow_id, traits = await stage.public.open_registration(), {"email": address}
    await stage.public.send_code(flow_id, traits, "de")
    return flow_id, traits, await stage.code_for(address)


async def registered(stage: Stage, address: str) -> uuid.UUID:
    """Have somebody be registered, with our mark; give the account's id."""
    stage.hooks.password = yes(address, SIGNUP_ID, 7)
    result = await by_password(stage, {"email": address})
    stage.hooks.asked.clear()
    assert result.identity_id is not None
    return result.identity_id


async def by_password(
    stage: Stage, traits: Json, password: str = PASSWORD
) -> PasswordResult:
    """Register by password, with a flow of its own."""
    flow_id = await stage.public.open_registration()
    return await stage.public.submit_password(flow_id, traits, password)


def another(code: str) -> str:
    """Make a code that is not this one."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


async def test_unknown_flow(open_stage: OpenStage) -> None:
    """A flow that was never opened is gone, sends nothing and takes no code."""
    stage = await open_stage(REFERENCE)
    opened, unknown = await stage.public.open_registration(), str(uuid.uuid4())
    traits = {"email": "nobody@example.com"}

    states = [await stage.public.flow_state(one) for one in (opened, unknown)]
    with pytest.raises(KratosFlowGone):
        await stage.public.send_code(unknown, traits, "")
    code = await stage.public.submit_code(unknown, traits, "123456")

    assert [FlowState.CHOOSE_METHOD, FlowState.GONE] == states
    assert CodeResult(CodeAnswer.LAPSED) == code


async def test_expired_flow(open_stage: OpenStage) -> None:
    """A flow past its lifespan is gone, sends nothing, takes no code or password."""
    stage = await open_stage(REFERENCE)
    flow_id, traits = (
        await stage.public.open_registration(),
        {"email": "a@b.example"},
    )
    stage.expire(flow_id)

    state = await stage.public.flow_state(flow_id)
    with pytest.raises(KratosFlowGone):
        await stage.public.send_code(flow_id, traits, "")
    code = await stage.public.submit_code(flow_id, traits, "123456")
    password = await stage.public.submit_password(flow_id, traits, PASSWORD)

    assert FlowState.GONE is state
    assert CodeResult(CodeAnswer.LAPSED) == code
    assert PasswordResult(PasswordAnswer.UNCLEAR) == password


async def test_send(open_stage: OpenStage, address: str) -> None:
    """A code is mailed to the lower-case address, and the flow says so."""
    stage = await open_stage(REFERENCE)

    flow_id, _, code = await mailed(stage, address)

    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)
    assert [CODE_SENT] == await stage.messages(flow_id)
    assert (6, True) == (len(code), code.isdigit())
    assert 1 == stage.mail_count(address)


async def test_taken_address(open_stage: OpenStage, address: str) -> None:
    """An address with an account is mailed to and proved like any other."""
    stage = await open_stage(REFERENCE)
    await registered(stage, address)

    flow_id, traits, code = await mailed(stage, address)
    messages = await stage.messages(flow_id)
    result = await stage.public.submit_code(flow_id, traits, code)

    assert [CODE_SENT] == messages
    assert CodeResult(CodeAnswer.PROVED) == result


async def test_delivery(open_stage: OpenStage, address: str) -> None:
    """The courier tells of the code mail, but of none older than asked for."""
    stage = await open_stage(REFERENCE)
    before = datetime.now(UTC) - timedelta(minutes=1)

    unsent = await stage.admin.code_delivery(address, before)
    await mailed(stage, address)
    sent = await stage.admin.code_delivery(address, before)
    later = await stage.admin.code_delivery(address, before + timedelta(hours=1))

    assert None is unsent
    assert sent in (Delivery.QUEUED, Delivery.SENT)  # the courier takes its time
    assert None is later


@pytest.mark.parametrize(
    ("given", "fields", "messages"),
    [
        (
            {"email": "nonsense"},
            [("email", "does not fit the identity schema")],
            [("traits.email", 4000001, '"nonsense" is not valid "email"')],
        ),
        (
            {"name": 5},
            [("traits.name", "has the wrong type")],
            [("traits.name", 4000026, "expected string, but got number")],
        ),
        (
            {"name": "x" * 201},
            [("traits.name", "is too long")],
            [("traits.name", 4000017, "length must be <= 200, but got 201")],
        ),
        (
            {"newsletter": "yes"},
            [("traits.newsletter", "has the wrong type")],
            [("traits.newsletter", 4000026, "expected boolean, but got string")],
        ),
        (
            {"height": 30},
            [("traits", "does not fit the identity schema")],
            [("traits", 4000001, 'additionalProperties "height" not allowed')],
        ),
        (
            {"name": 5, "newsletter": "yes"},
            [
                ("traits.name", "has the wrong type"),
                ("traits.newsletter", "has the wrong type"),
            ],
            [
                ("traits.name", 4000026, "expected string, but got number"),
                ("traits.newsletter", 4000026, "expected boolean, but got string"),
            ],
        ),
    ],
)
async def test_traits_refused(
    open_stage: OpenStage,
    address: str,
    given: Json,
    fields: list[tuple[str, str]],
    messages: list[tuple[str, int, str]],
) -> None:
    """Traits that do not fit are all named, each in a sentence of ours; no mail."""
    stage = await open_stage(REFERENCE)
    flow_id = await stage.public.open_registration()

    with pytest.raises(TraitsInvalid) as caught:
        await stage.public.send_code(flow_id, {"email": address, **given}, "")

    assert fields == sorted((v.field, v.description) for v in caught.value.violations)
    assert messages == sorted(await stage.messages(flow_id))
    assert FlowState.CHOOSE_METHOD is await stage.public.flow_state(flow_id)
    assert 0 == stage.mail_count(address)


async def test_wrong_code(open_stage: OpenStage, address: str) -> None:
    """A wrong code is told as such, and no hook is asked."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, another(code))

    assert CodeResult(CodeAnswer.INCORRECT) == result
    assert [CODE_WRONG] == await stage.messages(flow_id)
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)
    assert [] == stage.hooks.asked


async def test_right_code(open_stage: OpenStage, address: str) -> None:
    """The right code proves, by the hook's no; nothing is stored."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.PROVED) == result
    assert [("traits.email", 9999001, "proved")] == await stage.messages(flow_id)
    assert FlowState.PASSED_CHALLENGE is await stage.public.flow_state(flow_id)
    assert [Asked("/kratos/code", "application/json", {})] == stage.hooks.asked
    assert None is await stage.admin.find_identity(address)


async def test_right_code_again(open_stage: OpenStage, address: str) -> None:
    """A code works once; the flow remembers that it has passed."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    await stage.public.submit_code(flow_id, traits, code)

    result = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.USED) == result
    assert [NO_STRATEGY] == await stage.messages(flow_id)


async def test_right_code_again_after_a_cut(
    open_stage: OpenStage, address: str
) -> None:
    """A code that was used up before the flow noticed is known as used."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    await stage.public.submit_code(flow_id, traits, code)
    stage.tear(flow_id)

    wrong = await stage.public.submit_code(flow_id, traits, another(code))
    right = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.INCORRECT) == wrong
    assert CodeResult(CodeAnswer.USED) == right
    assert [USED] == await stage.messages(flow_id)


async def test_sixth_code(open_stage: OpenStage, address: str) -> None:
    """After five submissions even the right code is refused."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    submit = stage.public.submit_code

    wrong = [await submit(flow_id, traits, another(code)) for _ in range(6)]
    right = await submit(flow_id, traits, code)

    assert [CodeAnswer.INCORRECT] * 5 + [CodeAnswer.TOO_OFTEN] == [
        result.answer for result in wrong
    ]
    assert CodeResult(CodeAnswer.TOO_OFTEN) == right
    assert [TOO_OFTEN] == await stage.messages(flow_id)


async def test_code_with_other_traits(open_stage: OpenStage, address: str) -> None:
    """Other traits than at the send are refused, and swallowed by the flow."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    other = {**traits, "name": "Bob"}

    results = [
        await stage.public.submit_code(flow_id, given, code)
        for given in (other, {**traits, "name": "Ann"})
    ]

    assert [CodeResult(CodeAnswer.UNCLEAR)] * 2 == results
    assert [OTHER_TRAITS] == await stage.messages(flow_id)
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)


async def test_code_hook_of_no_use(open_stage: OpenStage, address: str) -> None:
    """A hook that says no without a message leaves it to the flow to tell."""
    stage = await open_stage(REFERENCE)
    stage.hooks.code = (403, "<h1>Forbidden</h1>")
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.UNCLEAR) == result
    assert FlowState.PASSED_CHALLENGE is await stage.public.flow_state(flow_id)
    assert None is await stage.admin.find_identity(address)


@pytest.mark.parametrize("answer", [(200, {}), (204, "")])
async def test_code_hook_says_yes(
    open_stage: OpenStage, address: str, answer: tuple[int, Json | str]
) -> None:
    """A hook that lets the code pass has an account stored, named in the answer."""
    stage = await open_stage(REFERENCE)
    stage.hooks.code = answer
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, code)
    account = await stage.admin.find_identity(address)

    assert account is not None
    assert CodeResult(CodeAnswer.HOOK_MISSING, account.id) == result


async def test_dead_hooks(open_stage: OpenStage, address: str) -> None:
    """Dead hooks leave nothing stored; the flow still tells a code that was right."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    await stage.hooks.stop()

    # One after the other: Kratos on SQLite answers some of two at once with 500.
    by_code = await stage.public.submit_code(flow_id, traits, code)
    password = await by_password(stage, {"email": address})

    assert CodeResult(CodeAnswer.UNCLEAR) == by_code
    assert PasswordResult(PasswordAnswer.UNCLEAR) == password
    assert FlowState.PASSED_CHALLENGE is await stage.public.flow_state(flow_id)
    assert None is await stage.admin.find_identity(address)


async def test_code_without_hook(open_stage: OpenStage, address: str) -> None:
    """Under after.hooks nothing interrupts: the right code stores an account."""
    stage = await open_stage(MISPLACED)
    flow_id, traits, code = await mailed(stage, address)

    first = await stage.public.submit_code(flow_id, traits, code)
    account = await stage.admin.find_identity(address)
    again_flow_id = await stage.public.open_registration()
    await stage.public.send_code(again_flow_id, traits, "")
    code = await stage.code_for(address, count=2)
    second = await stage.public.submit_code(again_flow_id, traits, code)

    assert account is not None
    assert (None, frozenset({address})) == (account.mark, account.verified)
    assert CodeResult(CodeAnswer.HOOK_MISSING, account.id) == first
    assert CodeResult(CodeAnswer.HOOK_MISSING) == second
    assert [TAKEN] == await stage.messages(again_flow_id)
    assert [] == stage.hooks.asked


async def test_password_without_hook(open_stage: OpenStage, address: str) -> None:
    """Under after.hooks nothing interrupts: an account without mark is stored."""
    stage = await open_stage(MISPLACED)

    result = await by_password(stage, {"email": address})
    account = await stage.admin.find_identity(address)

    assert account is not None
    assert PasswordResult(PasswordAnswer.CREATED, account.id) == result
    assert (None, frozenset()) == (account.mark, account.verified)
    assert [] == stage.hooks.asked


async def test_password_agreed_to(open_stage: OpenStage, address: str) -> None:
    """With the hook's yes the account is stored, verified and marked."""
    stage = await open_stage(REFERENCE)
    stage.hooks.password = yes(address, SIGNUP_ID, 7)
    flow_id = await stage.public.open_registration()

    traits = {"email": address, "name": "Ann"}
    result = await stage.public.submit_password(flow_id, traits, PASSWORD)
    account = await stage.admin.find_identity(address.upper())

    asked = {"flow_id": flow_id, "email": address}
    assert account is not None
    assert PasswordResult(PasswordAnswer.CREATED, account.id) == result
    verified = frozenset({address})
    assert (Mark(SIGNUP_ID, 7), verified) == (account.mark, account.verified)
    assert [Asked("/kratos/password", "application/json", asked)] == stage.hooks.asked


async def test_verified_address_in_capitals(
    open_stage: OpenStage, address: str
) -> None:
    """A verified address that is not lower-case is lost."""
    stage = await open_stage(REFERENCE)
    stage.hooks.password = yes(address.upper(), SIGNUP_ID, 7)

    await by_password(stage, {"email": address})
    account = await stage.admin.find_identity(address)

    assert account is not None
    assert frozenset() == account.verified


async def test_password_not_agreed_to(open_stage: OpenStage, address: str) -> None:
    """With the hook's no, in either of its words, nothing is stored."""
    stage = await open_stage(REFERENCE)

    unknown = await by_password(stage, {"email": address})
    stage.hooks.password = NOT_NOW
    not_now = await by_password(stage, {"email": address})

    assert PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW) == unknown
    assert PasswordResult(PasswordAnswer.HOOK_NOT_NOW) == not_now
    assert None is await stage.admin.find_identity(address)


@pytest.mark.parametrize(
    ("password", "rule", "message_id", "text"),
    [
        (
            "Ab1!x",
            PasswordRule.TOO_SHORT,
            4000032,
            "The password must be at least 8 characters long, but got 5.",
        ),
        (
            "a1" * 36 + "z",
            PasswordRule.TOO_LONG,
            4000033,
            "The password must be at most 72 characters long, but got 73.",
        ),
        (
            "similar@example.com",
            PasswordRule.TOO_SIMILAR,
            4000031,
            "The password can not be used because it is too similar to the identifier.",
        ),
        ("", PasswordRule.REFUSED, 4000002, "Property password is missing."),
    ],
)
async def test_password_refused(
    open_stage: OpenStage,
    password: str,
    rule: PasswordRule,
    message_id: int,
    text: str,
) -> None:
    """A password that breaks a rule of Kratos is refused before the hook is asked."""
    stage = await open_stage(REFERENCE)
    flow_id = await stage.public.open_registration()

    traits = {"email": "similar@example.com"}
    result = await stage.public.submit_password(flow_id, traits, password)

    assert PasswordResult(PasswordAnswer.REFUSED, rules=(rule,)) == result
    assert [("password", message_id, text)] == await stage.messages(flow_id)
    assert [] == stage.hooks.asked


async def test_password_for_a_taken_address(
    open_stage: OpenStage, address: str
) -> None:
    """A taken address is found out after the hook was asked; the account stays."""
    stage = await open_stage(REFERENCE)
    identity_id = await registered(stage, address)
    stage.hooks.password = yes(address, uuid.uuid4(), 1)
    flow_id = await stage.public.open_registration()

    traits = {"email": address}
    result = await stage.public.submit_password(flow_id, traits, PASSWORD)
    account = await stage.admin.find_identity(address)

    assert PasswordResult(PasswordAnswer.UNCLEAR) == result
    assert [TAKEN] == await stage.messages(flow_id)
    assert ["/kratos/password"] == [asked.path for asked in stage.hooks.asked]
    assert account is not None
    assert (identity_id, Mark(SIGNUP_ID, 7)) == (account.id, account.mark)


async def test_traits_come_before_the_hook(open_stage: OpenStage, address: str) -> None:
    """Where the schema wants more than the address, the hook is asked only with it."""
    stage = await open_stage(CODE_OFF)

    without = await by_password(stage, {"email": address})
    asked = len(stage.hooks.asked)
    complete = await by_password(stage, {"email": address, "name": "Ann"})

    assert PasswordResult(PasswordAnswer.TRAITS_REFUSED) == without
    assert 0 == asked
    assert PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW) == complete


async def test_code_switched_off(open_stage: OpenStage, address: str) -> None:
    """Without the code method no mail goes, and the setting is named."""
    stage = await open_stage(CODE_OFF)
    flow_id = await stage.public.open_registration()

    with pytest.raises(KratosFlowGone, match=r"methods\.code\.enabled"):
        await stage.public.send_code(flow_id, {"email": address, "name": "Ann"}, "")

    assert 0 == stage.mail_count(address)


async def test_two_methods_switched_off(open_stage: OpenStage, address: str) -> None:
    """Without registration by code a mail goes all the same; no method is let pass."""
    stage = await open_stage(TWO_METHODS_OFF)
    flow_id = await stage.public.open_registration()

    with pytest.raises(KratosIncompatible, match="passwordless_enabled"):
        await stage.public.send_code(flow_id, {"email": address}, "")
    await stage.code_for(address)
    by_its_password = await by_password(stage, {"email": address})

    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)
    assert [] == await stage.messages(flow_id)
    assert 1 == stage.mail_count(address)
    assert PasswordResult(PasswordAnswer.METHOD_OFF) == by_its_password
    assert None is await stage.admin.find_identity(address)


async def test_lapsed_code(open_stage: OpenStage, address: str) -> None:
    """The right code past its lifespan is LAPSED; a wrong one is still INCORRECT."""
    stage = await open_stage(REFERENCE)
    flow_id, traits, code = await mailed(stage, address)
    stage.lapse(flow_id)

    wrong = await stage.public.submit_code(flow_id, traits, another(code))
    right = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.INCORRECT) == wrong
    assert CodeResult(CodeAnswer.LAPSED) == right
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)


async def test_registration_switched_off(open_stage: OpenStage) -> None:
    """Without registration no flow opens, and the setting is named."""
    stage = await open_stage(REGISTRATION_OFF)

    with pytest.raises(KratosIncompatible, match=r"registration\.enabled is false"):
        await stage.public.open_registration()


async def test_delete(open_stage: OpenStage, address: str) -> None:
    """A deleted account is gone; to delete what is gone is no error."""
    stage = await open_stage(REFERENCE)
    identity_id = await registered(stage, address)

    await stage.admin.delete_identity(identity_id)
    await stage.admin.delete_identity(identity_id)

    assert None is await stage.admin.find_identity(address)


async def test_end_sessions(open_stage: OpenStage, address: str) -> None:
    """Sessions end; to end none is no error, and the account stays."""
    stage = await open_stage(REFERENCE)
    identity_id = await registered(stage, address)
    before = await stage.session_count(identity_id)

    await stage.admin.end_sessions(identity_id)
    await stage.admin.end_sessions(identity_id)

    assert 1 == before
    assert 0 == await stage.session_count(identity_id)
    assert None is not await stage.admin.find_identity(address)


def said(identity: Identity) -> tuple[Any, ...]:
    """Give what an account is told by: real times differ from the double's."""
    return (
        identity.id,
        identity.state,
        identity.password,
        identity.address,
        identity.verified,
    )


@pytest.mark.parametrize(
    ("fields", "password", "state"),
    [
        ({}, PasswordStatus.UNSET, AccountState.ACTIVE),
        ({"password": PASSWORD}, PasswordStatus.SET, AccountState.ACTIVE),
        ({"social": True}, PasswordStatus.UNSET, AccountState.ACTIVE),
        ({"migrating": True}, PasswordStatus.UNKNOWN, AccountState.ACTIVE),
        (
            {"password": PASSWORD, "state": "inactive"},
            PasswordStatus.SET,
            AccountState.DISABLED,
        ),
    ],
)
async def test_read_and_find(
    open_stage: OpenStage,
    address: str,
    fields: Json,
    password: PasswordStatus,
    state: AccountState,
) -> None:
    """An identity is the same by its id and by its address; the hash stays behind."""
    stage = await open_stage(REFERENCE)
    identity_id = await stage.add({"email": address}, **fields)

    read = await stage.admin.accounts([identity_id])
    found = await stage.admin.find_account(address)

    assert found is not None
    assert {identity_id: found} == read
    assert (identity_id, state, password, address, frozenset()) == said(found)


async def test_read_many(open_stage: OpenStage, address: str) -> None:
    """Ids may come twice, and unknown ones are left out."""
    stage = await open_stage(REFERENCE)
    ids = [
        await stage.add({"email": f"{number}{address}"}, verified=bool(number))
        for number in range(3)
    ]

    found = await stage.admin.accounts(
        [*ids, *ids[::-1], uuid.uuid4(), uuid.UUID(int=0)]
    )

    assert {*ids} == found.keys()
    assert None is await stage.admin.find_account("nobody@example.com")
    assert [frozenset(), {f"1{address}"}, {f"2{address}"}] == [
        found[one].verified for one in ids
    ]


async def test_address_in_capitals(open_stage: OpenStage, address: str) -> None:
    """An address that was stored in capitals is the same address."""
    stage = await open_stage(REFERENCE)
    identity_id = await stage.add({"email": address.upper()}, verified=True)

    found = await stage.admin.find_account(address)

    assert found is not None
    expected = (identity_id, address, frozenset({address}))
    assert expected == (found.id, found.address, found.verified)


async def test_address_as_user_name(open_stage: OpenStage, address: str) -> None:
    """Who took an address for a user name does not have that address."""
    stage = await open_stage(USER_NAMES)
    other = f"other-{address}"
    traits = {"username": address, "email": other}
    identity_id = await stage.add(traits, password=PASSWORD, verified=True)

    own = await stage.admin.find_account(other)

    assert None is await stage.admin.find_account(address)
    assert own is not None
    assert identity_id == own.id


async def test_no_address(open_stage: OpenStage) -> None:
    """An identity of another schema need not have an address."""
    stage = await open_stage(USER_NAMES)
    name = f"ann-{uuid.uuid4().hex}"
    by_name = await stage.add({"username": name}, password=PASSWORD)

    found = await stage.admin.accounts([by_name])

    active, is_set = AccountState.ACTIVE, PasswordStatus.SET
    assert (by_name, active, is_set, None, frozenset()) == said(found[by_name])
    assert None is await stage.admin.find_account(name)

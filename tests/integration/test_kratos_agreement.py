"""The adapter against the double of Kratos and against a real one: both alike.

What the adapter relies on is pinned here, message ids included, so that the other
tests may trust the double. KRATOS_BIN names another version; ``kratos_versions`` says
what differs. Not held against a real Kratos: a breached password
(it takes a server of breaches), 429 and 5xx, and the troubles that tests lay in the
double's way.
"""

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    TraitsInvalid,
)
from signupd.kratos.admin import MAX_ACCOUNTS
from signupd.kratos.answers import (
    CodeAnswer,
    CodeResult,
    Delivery,
    FlowState,
    PasswordAnswer,
    PasswordResult,
)
from signupd.kratos.identity import AccountState, Identity, PasswordStatus, make_mark

from devstack.config import KratosConfig
from tests.doubles.certificate import certificate_file
from tests.doubles.hooks import NOT_NOW, Asked, HookDouble, yes
from tests.doubles.kratos import KratosDouble
from tests.doubles.kratos_books import Setup
from tests.integration.caller import another
from tests.integration.kratos_stage import (
    NAMED,
    DoubleStage,
    RealKratoses,
    RealStage,
    Shape,
    Stage,
    schema_requiring,
)

OpenStage = Callable[[Shape], Awaitable[Stage]]

Json = dict[str, Any]

PASSWORD = "correct-horse-battery-7"
CODE_SENT, CODE_WRONG, TAKEN = ("", 1040005), ("", 4040003), ("", 4000007)
HINTED = "", 4000028  # TAKEN with login_hints
TOO_OFTEN = USED = ("", 4000001)  # by their texts, which the answers to a code show
NO_STRATEGY, OTHER_TRAITS = ("", 4010003), ("", 4000036)
UNFIT, UNNAMED = "does not fit the identity schema", 0
CLOSED = "closed"  # a schema that no flow may choose
BY_NAME = {"credentials": {"password": {"identifier": True}}}


def misplaced(config: Json, double: Setup) -> None:
    """Put the hooks under after.hooks."""
    registration = config["selfservice"]["flows"]["registration"]
    after = registration["after"]
    registration["after"] = {
        "hooks": after["code"]["hooks"] + after["password"]["hooks"]
    }
    double.code_hook = double.password_hook = False


def unparsed(config: Json, double: Setup) -> None:
    """Have Kratos not parse what the hooks answer."""
    after = config["selfservice"]["flows"]["registration"]["after"]
    for name in ("code", "password"):
        after[name]["hooks"][0]["config"]["response"] = {"parse": False}
    double.parsed = False


def two_methods_off(config: Json, double: Setup) -> None:
    """Switch off registration by code, and passwords."""
    config["selfservice"]["methods"]["code"]["passwordless_enabled"] = False
    config["selfservice"]["methods"]["password"]["enabled"] = False
    double.passwordless = double.password_method = False


def code_off(config: Json, double: Setup) -> None:
    """Switch codes off, and require a name."""
    # passwordless_enabled alone would switch the method on again.
    off = {"enabled": False, "passwordless_enabled": False}
    config["selfservice"]["methods"]["code"] |= off
    config["identity"]["schemas"][0]["url"] = schema_requiring("email", "name")
    double.code_method = False
    double.required_traits = frozenset({"email", "name"})


def registration_off(config: Json, double: Setup) -> None:
    """Switch registration off."""
    config["selfservice"]["flows"]["registration"]["enabled"] = False
    double.registration = False


def user_names(config: Json, double: Setup) -> None:
    """Have a further schema, with user names."""
    username = {"type": "string", "ory.sh/kratos": BY_NAME}
    schema = {"id": NAMED, "url": schema_requiring(username=username)}
    config["identity"]["schemas"] += [
        {**schema, "selfservice_selectable": True},
        {**schema, "id": CLOSED},
    ]


def contacts(config: Json, double: Setup) -> None:
    """Have a schema whose addresses are no identifiers."""
    user_names(config, double)
    verified = {"verification": {"via": "email"}}
    contact = {"type": "string", "format": "email", "ory.sh/kratos": verified}
    config["identity"]["schemas"][1]["url"] = schema_requiring(
        username={"type": "string", "ory.sh/kratos": BY_NAME}, contact=contact
    )


def hinted(config: Json, double: Setup) -> None:
    """Have Kratos say, besides, how the owner of a taken address signs in."""
    contacts(config, double)
    config["selfservice"]["flows"]["registration"]["login_hints"] = True
    double.login_hints = True


def breaches_away(config: Json, double: Setup) -> None:
    """Have the list of breached passwords be out of reach."""
    config["selfservice"]["methods"]["password"]["config"] |= {
        "haveibeenpwned_enabled": True,
        "haveibeenpwned_host": "127.0.0.1:1",
        "ignore_network_errors": False,
    }
    double.breaches_away = True


def reference(config: Json, double: Setup) -> None:
    """Leave it as it is."""


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
            config = KratosConfig(hook_url=hooks.url, smtp_uri="").render()
            shape(config, double.setup)
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


def a_mark() -> uuid.UUID:
    """Make the mark of a sign-up that no other test has."""
    return make_mark(uuid.uuid4(), uuid.uuid4().bytes)


async def registered(stage: Stage, address: str) -> uuid.UUID:
    """Have somebody be registered, with our mark; give the account's id."""
    stage.hooks.password = yes(address, a_mark())
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


@pytest.mark.parametrize("expired", [False, True], ids=["unknown", "expired"])
async def test_no_flow(open_stage: OpenStage, *, expired: bool) -> None:
    """A flow that is unknown or expired is gone, sends nothing and takes no code."""
    stage = await open_stage(reference)
    public, traits = stage.public, {"email": "nobody@example.com"}
    opened = await public.open_registration()
    before = await public.flow_state(opened)
    flow_id = opened if expired else str(uuid.uuid4())
    if expired:
        stage.expire(opened)

    state = await public.flow_state(flow_id)
    with pytest.raises(KratosFlowGone):
        await public.send_code(flow_id, traits, "")
    code = await public.submit_code(flow_id, traits, "123456")
    with pytest.raises(KratosUnavailable) if expired else nullcontext():
        password = await public.submit_password(flow_id, traits, PASSWORD)
        assert PasswordResult(PasswordAnswer.METHOD_OFF) == password

    assert (FlowState.CHOOSE_METHOD, FlowState.GONE) == (before, state)
    assert CodeResult(CodeAnswer.LAPSED) == code


async def test_send(open_stage: OpenStage, address: str) -> None:
    """A code is mailed to the lower-case address, and the flow says so."""
    stage = await open_stage(reference)

    flow_id, _, code = await mailed(stage, address)

    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)
    assert [CODE_SENT] == await stage.messages(flow_id)
    assert (6, True) == (len(code), code.isdigit())
    assert 1 == stage.mail_count(address)


async def test_taken_address(open_stage: OpenStage, address: str) -> None:
    """An address with an account is mailed to and proved like any other."""
    stage = await open_stage(reference)
    await registered(stage, address)

    flow_id, traits, code = await mailed(stage, address)
    messages = await stage.messages(flow_id)
    result = await stage.public.submit_code(flow_id, traits, code)

    assert [CODE_SENT] == messages
    assert CodeResult(CodeAnswer.PROVED) == result


async def test_delivery(open_stage: OpenStage, address: str) -> None:
    """The courier tells of the code mail, but of none older than asked for."""
    stage = await open_stage(reference)
    before = datetime.now(UTC) - timedelta(minutes=1)

    unsent = await stage.admin.code_delivery(address, before)
    await mailed(stage, address)
    sent = await stage.admin.code_delivery(address, before)
    later = await stage.admin.code_delivery(address, before + timedelta(hours=1))

    assert None is unsent
    assert sent in (Delivery.QUEUED, Delivery.SENT)  # the courier takes its time
    assert None is later


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"email": "nonsense"}, [("email", UNFIT, UNNAMED)]),
        ({"name": 5}, [("traits.name", "has the wrong type", 4000026)]),
        ({"name": "x" * 201}, [("traits.name", "is too long", 4000017)]),
        ({"newsletter": "yes"}, [("traits.newsletter", "has the wrong type", 4000026)]),
        ({"height": 30}, [("traits", UNFIT, 4000001)]),  # in all versions
        (
            {"name": 5, "newsletter": {"weekly": True}},
            [
                ("traits.name", "has the wrong type", 4000026),
                ("traits.newsletter", "has the wrong type", 4000026),
            ],
        ),
    ],
)
async def test_traits_refused(
    open_stage: OpenStage, address: str, given: Json, faults: list[tuple[str, str, int]]
) -> None:
    """Traits that do not fit are all named, each in a sentence of ours; no mail."""
    stage = await open_stage(reference)
    flow_id = await stage.public.open_registration()

    with pytest.raises(TraitsInvalid) as caught:
        await stage.public.send_code(flow_id, {"email": address, **given}, "")

    found = sorted((v.field, v.description) for v in caught.value.violations)
    assert [fault[:2] for fault in faults] == found
    unnamed = (await stage.version()).unnamed_fault
    assert [
        ("traits.email" if field == "email" else field, number or unnamed)
        for field, _, number in faults
    ] == sorted(await stage.messages(flow_id))
    assert FlowState.CHOOSE_METHOD is await stage.public.flow_state(flow_id)
    assert 0 == stage.mail_count(address)


async def test_wrong_code(open_stage: OpenStage, address: str) -> None:
    """A wrong code is told as such, and no hook is asked."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, another(code))

    assert CodeResult(CodeAnswer.INCORRECT) == result
    assert [CODE_WRONG] == await stage.messages(flow_id)
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)
    assert [] == stage.hooks.asked


async def test_right_code(open_stage: OpenStage, address: str) -> None:
    """The right code proves, by the hook's no; nothing is stored."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.PROVED) == result
    assert [("traits.email", 9999001)] == await stage.messages(flow_id)
    assert FlowState.PASSED_CHALLENGE is await stage.public.flow_state(flow_id)
    told = {"flow_id": flow_id, "email": address}
    assert [Asked("/kratos/code", "application/json", told)] == stage.hooks.asked
    assert None is await stage.admin.find_identity(address)


@pytest.mark.parametrize("cut", [False, True])
async def test_right_code_again(
    open_stage: OpenStage, address: str, *, cut: bool
) -> None:
    """A code works once, also if a cut kept the flow from noticing."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)
    await stage.public.submit_code(flow_id, traits, code)
    if cut:
        stage.tear(flow_id)
        wrong = await stage.public.submit_code(flow_id, traits, another(code))
        assert CodeResult(CodeAnswer.INCORRECT) == wrong

    result = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.USED if cut else CodeAnswer.PASSED) == result
    assert [USED if cut else NO_STRATEGY] == await stage.messages(flow_id)


async def test_sixth_code(open_stage: OpenStage, address: str) -> None:
    """After five submissions even the right code is refused."""
    stage = await open_stage(reference)
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
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)
    other = {**traits, "name": "Bob"}

    results = [
        await stage.public.submit_code(flow_id, given, code)
        for given in (other, {**traits, "name": "Ann"})
    ]

    assert [CodeResult(CodeAnswer.LAPSED)] * 2 == results
    assert [OTHER_TRAITS] == await stage.messages(flow_id)
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)


async def test_code_with_unfit_traits(open_stage: OpenStage, address: str) -> None:
    """Traits that the schema does not take, any more perhaps, leave a code unread."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)
    unfit = {**traits, "newsletter": "daily"}

    results = [
        await stage.public.submit_code(flow_id, unfit, given)
        for given in (another(code), code)
    ]

    assert [CodeResult(CodeAnswer.TRAITS_REFUSED)] * 2 == results
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)


async def test_code_hook_of_no_use(open_stage: OpenStage, address: str) -> None:
    """A hook that says no without a message leaves it to the flow to tell."""
    stage = await open_stage(reference)
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
    stage = await open_stage(reference)
    stage.hooks.code = answer
    flow_id, traits, code = await mailed(stage, address)

    result = await stage.public.submit_code(flow_id, traits, code)
    account = await stage.admin.find_identity(address)

    assert account is not None
    assert CodeResult(CodeAnswer.HOOK_MISSING, account.id) == result


async def test_dead_hooks(open_stage: OpenStage, address: str) -> None:
    """Dead hooks leave nothing stored; the flow still tells a code that was right."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)
    await stage.hooks.stop()

    # One after the other: Kratos on SQLite answers some of two at once with 500.
    by_code = await stage.public.submit_code(flow_id, traits, code)
    password = await by_password(stage, {"email": address})

    assert CodeResult(CodeAnswer.HOOK_DEAD) == by_code
    assert PasswordResult(PasswordAnswer.HOOK_AWAY) == password
    assert FlowState.PASSED_CHALLENGE is await stage.public.flow_state(flow_id)
    assert None is await stage.admin.find_identity(address)


async def test_code_without_hook(open_stage: OpenStage, address: str) -> None:
    """Under after.hooks nothing interrupts: the right code stores an account."""
    stage = await open_stage(misplaced)
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
    stage = await open_stage(misplaced)

    result = await by_password(stage, {"email": address})
    account = await stage.admin.find_identity(address)

    assert account is not None
    assert PasswordResult(PasswordAnswer.CREATED, account.id) == result
    assert (None, frozenset()) == (account.mark, account.verified)
    assert [] == stage.hooks.asked


async def test_hooks_unparsed(open_stage: OpenStage, address: str) -> None:
    """A hook that is not parsed is asked when an account is stored already."""
    stage = await open_stage(unparsed)
    flow_id, traits, code = await mailed(stage, address)
    other = f"p{address}"

    by_code = await stage.public.submit_code(flow_id, traits, code)
    password = await by_password(stage, {"email": other})
    stored = [await stage.admin.find_identity(one) for one in (address, other)]

    assert CodeResult(CodeAnswer.HOOK_LATE) == by_code
    assert PasswordResult(PasswordAnswer.HOOK_LATE) == password
    assert None not in stored


@pytest.mark.parametrize("lower", [True, False])
async def test_password_agreed_to(
    open_stage: OpenStage, address: str, *, lower: bool
) -> None:
    """With the hook's yes the account is stored, marked, and verified.

    An address that is not lower-case is lost, and the mark with it, where Kratos does
    not normalise.
    """
    stage = await open_stage(reference)
    kept, mark = lower or (await stage.version()).normalises, a_mark()
    stage.hooks.password = yes(address if lower else address.upper(), mark)
    flow_id = await stage.public.open_registration()

    traits = {"email": address, "name": "Ann"}
    result = await stage.public.submit_password(flow_id, traits, PASSWORD)
    account = await stage.admin.find_identity(address.upper())

    asked = {"flow_id": flow_id, "email": address}
    assert account is not None
    assert PasswordResult(PasswordAnswer.CREATED, account.id, kept) == result
    expected = (mark, frozenset({address})) if kept else (None, frozenset())
    assert expected == (account.mark, account.verified)
    assert [Asked("/kratos/password", "application/json", asked)] == stage.hooks.asked


async def test_password_not_agreed_to(open_stage: OpenStage, address: str) -> None:
    """With the hook's no, in either of its words, nothing is stored."""
    stage = await open_stage(reference)

    unknown = await by_password(stage, {"email": address})
    stage.hooks.password = NOT_NOW
    not_now = await by_password(stage, {"email": address})

    assert PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW) == unknown
    assert PasswordResult(PasswordAnswer.HOOK_NOT_NOW) == not_now
    assert None is await stage.admin.find_identity(address)


@pytest.mark.parametrize(
    ("password", "rule", "message_id"),
    [
        ("Ab1!x", "TOO_SHORT", 4000032),
        ("a1" * 36 + "z", "TOO_LONG", 4000033),
        ("similar@example.com", "TOO_SIMILAR", 4000031),
        ("", "REFUSED", 4000002),
    ],
)
async def test_password_refused(
    open_stage: OpenStage, password: str, rule: str, message_id: int
) -> None:
    """A password that breaks a rule of Kratos is refused before the hook is asked."""
    stage = await open_stage(reference)
    flow_id = await stage.public.open_registration()

    traits = {"email": "similar@example.com"}
    result = await stage.public.submit_password(flow_id, traits, password)

    assert PasswordResult(PasswordAnswer.REFUSED, rules=(rule,)) == result
    assert [("password", message_id)] == await stage.messages(flow_id)
    assert [] == stage.hooks.asked


async def test_password_for_a_taken_address(
    open_stage: OpenStage, address: str
) -> None:
    """A taken address is found out after the hook was asked; the account stays."""
    stage = await open_stage(reference)
    identity_id = await registered(stage, address)
    stage.hooks.password = yes(address, a_mark())
    flow_id = await stage.public.open_registration()

    traits = {"email": address}
    result = await stage.public.submit_password(flow_id, traits, PASSWORD)
    account = await stage.admin.find_identity(address)

    assert PasswordResult(PasswordAnswer.TAKEN) == result
    assert [TAKEN] == await stage.messages(flow_id)
    assert ["/kratos/password"] == [asked.path for asked in stage.hooks.asked]
    assert account is not None
    assert identity_id == account.id


async def test_identity_schema(open_stage: OpenStage, address: str) -> None:
    """Newer Kratos register with a schema that is named; 1.3.1 with its default."""
    stage = await open_stage(user_names)
    stage.hooks.password = yes(address, a_mark())
    public = stage.public_with(NAMED)
    chosen, flow_id = await public.chooses_schema(), await public.open_registration()
    traits = {"email": address, "username": uuid.uuid4().hex}
    result = await public.submit_password(flow_id, traits, PASSWORD)

    assert not await stage.public.chooses_schema()
    assert chosen == (await stage.version()).chooses_schema
    expected = PasswordAnswer.CREATED if chosen else PasswordAnswer.TRAITS_REFUSED
    assert expected is result.answer
    if chosen:
        with pytest.raises(KratosIncompatible, match="selfservice_selectable"):
            await stage.public_with(CLOSED).open_registration()


async def test_breach_list_away(open_stage: OpenStage, address: str) -> None:
    """A list of breaches out of reach is Kratos' failure, and no fault of a setting."""
    stage = await open_stage(breaches_away)

    with pytest.raises(KratosUnavailable) as caught:
        await by_password(stage, {"email": address})

    assert re.search("haveibeenpwned|password has been leaked", caught.value.detail)
    assert "range" not in caught.value.detail
    assert [] == stage.hooks.asked


async def test_traits_come_before_the_hook(open_stage: OpenStage, address: str) -> None:
    """Where the schema wants more than the address, the hook is asked only with it."""
    stage = await open_stage(code_off)

    without = await by_password(stage, {"email": address})
    asked = len(stage.hooks.asked)
    complete = await by_password(stage, {"email": address, "name": "Ann"})

    assert PasswordResult(PasswordAnswer.TRAITS_REFUSED) == without
    assert 0 == asked
    assert PasswordResult(PasswordAnswer.HOOK_UNKNOWN_FLOW) == complete


async def test_code_switched_off(open_stage: OpenStage, address: str) -> None:
    """Without the code method no mail goes, and the setting is named."""
    stage = await open_stage(code_off)
    flow_id = await stage.public.open_registration()

    with pytest.raises(KratosFlowGone, match=r"methods\.code\.enabled"):
        await stage.public.send_code(flow_id, {"email": address, "name": "Ann"}, "")

    assert 0 == stage.mail_count(address)


async def test_two_methods_switched_off(open_stage: OpenStage, address: str) -> None:
    """Without registration by code a mail goes all the same; no method is let pass."""
    stage = await open_stage(two_methods_off)
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
    """The right code past its lifespan is LAPSED, or INCORRECT in newer versions."""
    stage = await open_stage(reference)
    flow_id, traits, code = await mailed(stage, address)
    stage.lapse(flow_id)

    wrong = await stage.public.submit_code(flow_id, traits, another(code))
    right = await stage.public.submit_code(flow_id, traits, code)

    assert CodeResult(CodeAnswer.INCORRECT) == wrong
    assert CodeResult((await stage.version()).late_code) == right
    assert FlowState.SENT_EMAIL is await stage.public.flow_state(flow_id)


async def test_registration_switched_off(open_stage: OpenStage) -> None:
    """Without registration no flow opens, and the setting is named."""
    stage = await open_stage(registration_off)

    with pytest.raises(KratosIncompatible, match=r"registration\.enabled is false"):
        await stage.public.open_registration()


async def test_end_and_delete(open_stage: OpenStage, address: str) -> None:
    """Sessions end, and accounts go; neither is an error if there is none."""
    stage = await open_stage(reference)
    identity_id = await registered(stage, address)
    sessions = [await stage.session_count(identity_id)]
    for _ in range(2):
        await stage.admin.end_sessions(identity_id)
        sessions.append(await stage.session_count(identity_id))
    kept = await stage.admin.find_identity(address)
    for _ in range(2):
        await stage.admin.delete_identity(identity_id)

    assert [1, 0, 0] == sessions
    assert None is not kept
    assert None is await stage.admin.find_identity(address)


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
    stage = await open_stage(reference)
    identity_id = await stage.add({"email": address}, **fields)

    read = await stage.admin.accounts([identity_id])
    found = await stage.admin.find_account(address)

    assert found is not None
    assert {identity_id: found} == read
    assert (identity_id, state, password, address, frozenset()) == said(found)


async def test_read_many(open_stage: OpenStage, address: str) -> None:
    """One page has a hundred ids; they may come twice, and unknown ones are left out.

    So health may ask for one that cannot be. Letter case does not count.
    """
    stage = await open_stage(reference)
    ids = [
        await stage.add({"email": f"{number}{address}".upper()}, verified=bool(number))
        for number in range(MAX_ACCOUNTS - 2)
    ]

    found = await stage.admin.accounts(
        [*ids, *ids[::-1], uuid.uuid4(), uuid.UUID(int=0)]
    )
    await stage.admin.ready(10.0)

    assert {*ids} == found.keys()
    assert found[ids[1]] == await stage.admin.find_account(f"1{address}")
    assert None is await stage.admin.find_account("nobody@example.com")
    assert [frozenset(), {f"1{address}"}, {f"2{address}"}] == [
        found[one].verified for one in ids[:3]
    ]


@pytest.mark.parametrize(("shape", "message"), [(contacts, TAKEN), (hinted, HINTED)])
async def test_taken_otherwise(
    open_stage: OpenStage, address: str, shape: Shape, message: tuple[str, int]
) -> None:
    """An address that verifies another identity is taken, and no look-up finds it."""
    stage = await open_stage(shape)
    owner = {"username": uuid.uuid4().hex, "contact": address}
    await stage.add(owner, password=PASSWORD)
    stage.hooks.password = yes(address, a_mark())
    flow_id = await stage.public.open_registration()

    answer = await stage.public.submit_password(flow_id, {"email": address}, PASSWORD)

    assert PasswordResult(PasswordAnswer.TAKEN) == answer
    assert [message] == await stage.messages(flow_id)
    assert None is await stage.admin.find_identity(address)


async def test_user_names(open_stage: OpenStage, address: str) -> None:
    """A user name is not an address, whatever it looks like; there may be none."""
    stage = await open_stage(user_names)
    name, other = f"ann-{uuid.uuid4().hex}", f"other-{address}"
    by_name = await stage.add({"username": name}, password=PASSWORD)
    both = {"username": address, "email": other}
    with_both = await stage.add(both, password=PASSWORD, verified=True)

    found = await stage.admin.accounts([by_name])
    own = await stage.admin.find_account(other)

    active, is_set = AccountState.ACTIVE, PasswordStatus.SET
    assert (by_name, active, is_set, None, frozenset()) == said(found[by_name])
    assert own is not None
    assert with_both == own.id
    assert None is await stage.admin.find_account(name)
    assert None is await stage.admin.find_account(address)

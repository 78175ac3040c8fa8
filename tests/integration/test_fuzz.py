"""Random and mutated messages on the wire: never a defect, never a word of the inside.

Messages are made from the descriptors, so that a new field or RPC is tried as well.
"""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kratos_signup.v1 import account_service_pb2, signup_service_pb2
from signupd.rpc.statuses import STATUSES

from tests.integration.caller import Caller
from tests.integration.world import PASSWORD, World, to_code, to_password

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (signup_service_pb2.DESCRIPTOR, account_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
# Together a thousand messages for each RPC.
MESSAGES_AT_ONCE, EXAMPLES = 20, 50
DEADLINE_SECONDS = 60.0
SENTENCES = {row.message for row in STATUSES.values()}
FORBIDDEN = {"UNKNOWN", "INTERNAL", "UNIMPLEMENTED", "DATA_LOSS"}
# What would show how the service works inside.
INTERNALS = [
    b"Traceback",
    b'File "',
    b"site-packages",
    b"signupd.",
    b"sqlite",
    b"http:",
]
# Deeper than protobuf's parser goes, and than ours: {"a": {"a": ...}}.
DEEP = 200
UNKNOWN_FIELD = b"\xfa\x07\x03abc"  # number 127
NOT_UTF8 = b"\x0a\x02\xff\xfe"  # field 1
SAMPLES = [
    "",
    "0",
    "123456",
    "१२३४५६",  # decimal digits, but not ASCII's
    "1" * 17,
    "\0",
    "a\0b",
    "\x1b[31m",
    "\u202e",
    PASSWORD,
    "é" * 36,
    "x" * 1_025,
    "x" * 20_000,
    "ann@example.com",
    "ann@bücher.example",
    "' OR 1=1 --",
    "{{.}}${jndi:x}",
    "%s%n",
    "de-CH",
    "2001:db8::1",
    "00000000-0000-4000-8000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def deep_struct() -> Struct:
    """Nest a struct deeply."""
    struct = Struct()
    inner = struct
    for _ in range(DEEP):
        inner = inner.fields["a"].struct_value
    return struct


@st.composite
def structs(draw: st.DrawFn) -> Struct:
    """Make traits."""
    if draw(st.integers(0, 9)) == 0:
        return deep_struct()
    struct = Struct()
    for name, value in draw(
        st.dictionaries(
            st.sampled_from(["name", "email", "newsletter", "", "a.b"]), json_values
        )
    ).items():
        struct.update({name: value})
    return struct


def values(field: FieldDescriptor, tokens: list[str]) -> st.SearchStrategy[Any]:
    """Make values of a field."""
    if field.message_type is not None:
        assert "google.protobuf.Struct" == field.message_type.full_name
        return structs()
    assert FieldDescriptor.TYPE_STRING == field.type
    known = st.sampled_from(SAMPLES + tokens)
    return known | st.text(max_size=12)


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor, tokens: list[str]) -> bytes:
    """Make a message, and spoil it now and then."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if draw(st.integers(0, 3)) == 0:
            continue
        value = values(field, tokens)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(value, max_size=4)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(value))
        else:
            setattr(message, field.name, draw(value))
    return draw(spoiled(message.SerializeToString()))


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """Leave bytes as they are, or change them as no sender should."""
    match draw(st.integers(0, 7)):
        case 0:
            return data[: draw(st.integers(0, len(data)))]
        case 1:
            return data + UNKNOWN_FIELD
        case 2:
            return data + NOT_UTF8
        case 3:
            return draw(st.binary(max_size=40))
        case 4 if data:
            changed = bytearray(data)
            changed[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
            return bytes(changed)
        case _:
            return data


async def answer(caller: Caller, method: str, data: bytes) -> tuple[str, str]:
    """Send bytes; give the status and its sentence."""
    call: Any = caller.channel.unary_unary(method)
    try:
        await call(data, timeout=DEADLINE_SECONDS)
    except grpc.aio.AioRpcError as error:
        for _, value in error.trailing_metadata():
            shown = value if isinstance(value, bytes) else value.encode()
            assert [] == [word for word in INTERNALS if word in shown]
        return error.code().name, error.details() or ""
    return "OK", ""


@pytest.fixture
async def tokens(world: World, caller: Caller) -> list[str]:
    """Bring sign-ups to each step, and give their tokens."""
    code_token, _ = await to_code(world, caller, "bob@example.com")
    password_token = await to_password(world, caller, "cid@example.com")
    done = await to_password(world, caller, "dan@example.com")
    await caller.set_password(done, PASSWORD)
    return [code_token, password_token, done]


@pytest.mark.parametrize("method", METHODS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    # One server for all examples, which is the point.
    suppress_health_check=[*HealthCheck],
)
@given(data=st.data())
async def test_any_bytes(
    world: World, caller: Caller, tokens: list[str], method: str, data: st.DataObject
) -> None:
    """Whatever is sent is answered by a reason of ours, in a sentence of ours."""
    made = messages(METHODS[method].input_type, tokens)
    batch = [data.draw(made) for _ in range(MESSAGES_AT_ONCE)]
    answers = await asyncio.gather(*(answer(caller, method, one) for one in batch))

    assert [] == [one for one in answers if one[0] in FORBIDDEN]
    assert {sentence for _, sentence in answers} <= {"", *SENTENCES}
    assert "defect" not in world.log.events()


async def test_too_large(caller: Caller) -> None:
    """More than 64 KiB is refused unread, on every RPC."""
    data = b"\x0a\x80\x80\x08" + b"x" * 2**17
    answers = [await answer(caller, method, data) for method in METHODS]

    assert {"RESOURCE_EXHAUSTED"} == {status for status, _ in answers}

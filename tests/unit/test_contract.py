"""The contract as the stubs carry it: names, numbers, types and redaction.

The tables are literal on purpose. Whoever changes the wire has to change them too,
and sees what callers will see.
"""

import re

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from kratos_signup.v1 import account_service_pb2, errors_pb2, signup_service_pb2
from signupd.notation import METHODS

STUBS: tuple[FileDescriptor, ...] = (
    account_service_pb2.DESCRIPTOR,
    errors_pb2.DESCRIPTOR,
    signup_service_pb2.DESCRIPTOR,
)

ANSWER = ("string continuation_token = 1", "Signup signup = 2")

FIELDS = {
    "StartSignupRequest": (
        "string email = 1",
        "string request_id = 2",
        "google.protobuf.Struct traits = 3",
        "string locale = 4",
        "string client_ip = 5",
    ),
    "ResendCodeRequest": ("string continuation_token = 1", "string request_id = 2"),
    "VerifyCodeRequest": ("string continuation_token = 1", "string code = 2"),
    "CheckPasswordRequest": ("string continuation_token = 1", "string password = 2"),
    "PasswordViolation": ("string reason = 1", "string description = 2"),
    "SetPasswordRequest": ("string continuation_token = 1", "string password = 2"),
    "CancelSignupRequest": ("string continuation_token = 1",),
    "GetSignupRequest": ("string continuation_token = 1",),
    **{f"{method}Response": ANSWER for method in METHODS["SignupService"]},
    "CheckPasswordResponse": (
        "bool acceptable = 1",
        "repeated PasswordViolation violations = 2",
        "int32 strength = 3",
    ),
    "Signup": (
        "string signup_id = 1",
        "SignupState state = 2",
        "google.protobuf.Timestamp expire_time = 3",
        "google.protobuf.Timestamp resend_time = 4",
        "int32 code_attempts_remaining = 5",
        "int32 resends_remaining = 6",
        "string masked_email = 7",
        "CodeDelivery code_delivery = 8",
        "string identity_id = 9",
        "google.protobuf.Timestamp create_time = 10",
        "PasswordPolicy password_policy = 11",
        "int32 password_attempts_remaining = 12",
        "bool existing_account_verified = 13",
    ),
    "PasswordPolicy": ("int32 min_length = 1", "int32 max_bytes = 2"),
    "GetAccountRequest": (
        "oneof key: string identity_id = 1",
        "oneof key: string email = 2",
    ),
    "GetAccountResponse": ("Account account = 1",),
    "BatchGetAccountsRequest": ("repeated string identity_ids = 1",),
    "BatchGetAccountsResponse": ("repeated Account accounts = 1",),
    "Account": (
        "string identity_id = 1",
        "PasswordStatus password_status = 2",
        "AccountState state = 3",
        "bool email_verified = 4",
        "bool complete = 5",
    ),
}

# Each enum's values from 0 on, without the enum's prefix.
VALUES = {
    "SignupState": (
        "UNSPECIFIED",
        "CODE_REQUIRED",
        "PASSWORD_REQUIRED",
        "COMPLETED",
        "ALREADY_REGISTERED",
        "EXPIRED",
        "CANCELLED",
    ),
    "CodeDelivery": ("UNSPECIFIED", "QUEUED", "SENT", "FAILED"),
    "PasswordStatus": ("UNSPECIFIED", "SET", "UNSET", "UNKNOWN"),
    "AccountState": ("UNSPECIFIED", "ACTIVE", "DISABLED"),
    "ErrorReason": (
        "UNSPECIFIED",
        "REQUEST_INVALID",
        "EMAIL_INVALID",
        "TRAITS_INVALID",
        "REQUEST_ID_REUSED",
        "TOKEN_INVALID",
        "STEP_MISMATCH",
        "CODE_INCORRECT",
        "CODE_EXPIRED",
        "CODE_ATTEMPTS_EXHAUSTED",
        "RESEND_TOO_SOON",
        "SEND_LIMIT_REACHED",
        "SIGNUP_EXPIRED",
        "SIGNUP_CANCELLED",
        "PASSWORD_REJECTED",
        "PASSWORD_ATTEMPTS_EXHAUSTED",
        "PASSWORD_ALREADY_SET",
        "SIGNUP_BUSY",
        "DEADLINE_TOO_SHORT",
        "ACCOUNT_NOT_FOUND",
        "CALLER_NOT_PERMITTED",
        "OVERLOADED",
        "KRATOS_UNAVAILABLE",
        "LEDGER_UNAVAILABLE",
        "KRATOS_INCOMPATIBLE",
        "INTERNAL",
    ),
}

REDACTED = {
    "StartSignupRequest.email",
    "StartSignupRequest.traits",
    "StartSignupRequest.client_ip",
    "VerifyCodeRequest.code",
    "CheckPasswordRequest.password",
    "SetPasswordRequest.password",
    "GetAccountRequest.email",
    *(
        f"{message}.continuation_token"
        for message, fields in FIELDS.items()
        if "string continuation_token = 1" in fields
    ),
}


def as_proto(stub: FileDescriptor) -> descriptor_pb2.FileDescriptorProto:
    """Return a stub's descriptor as a message, which is easier to walk."""
    proto = descriptor_pb2.FileDescriptorProto()
    stub.CopyToProto(proto)
    return proto


FILES = tuple(as_proto(stub) for stub in STUBS)
MESSAGES = {message.name: message for file in FILES for message in file.message_type}
ENUMS = {enum.name: enum for file in FILES for enum in file.enum_type}
SERVICES = {service.name: service for file in FILES for service in file.service}


def declared(
    field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto
) -> str:
    """Write a field as the .proto file declares it, on one line."""
    kind = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)
    type_name = field.type_name or kind.removeprefix("TYPE_").lower()
    short = type_name.removeprefix(".kratos_signup.v1.").removeprefix(".")
    repeated = field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    oneof = (
        f"oneof {message.oneof_decl[field.oneof_index].name}: "
        if field.HasField("oneof_index")
        else ""
    )
    return f"{oneof}{'repeated ' * repeated}{short} {field.name} = {field.number}"


def test_everything_is_in_the_tables() -> None:
    """Nothing is on the wire that the tables do not know, nested types included."""
    imported = {name for file in FILES for name in file.dependency}

    assert {("kratos_signup.v1", "proto3")} == {
        (file.package, file.syntax) for file in FILES
    }
    assert {
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
    } == imported
    assert METHODS.keys() == SERVICES.keys()
    assert FIELDS.keys() == MESSAGES.keys()
    assert VALUES.keys() == ENUMS.keys()
    assert [] == [m.name for m in MESSAGES.values() if m.nested_type or m.enum_type]


def test_options() -> None:
    """All files make one Go package and one Java package, with a class a message."""
    go = "example.com/signupd/stubs/kratos_signup/v1;kratos_signupv1"
    java = "com.example.kratos_signup.v1"
    options = [file.options for file in FILES]

    assert {(go, java, True)} == {
        (o.go_package, o.java_package, o.java_multiple_files) for o in options
    }
    assert ["AccountServiceProto", "ErrorsProto", "SignupServiceProto"] == [
        o.java_outer_classname for o in options
    ]


@pytest.mark.parametrize("service", METHODS)
def test_methods(service: str) -> None:
    """A service has its RPCs, each unary and with messages of its own."""
    expected = [
        (name, f".kratos_signup.v1.{name}Request", f".kratos_signup.v1.{name}Response")
        for name in METHODS[service]
    ]
    methods = SERVICES[service].method

    assert expected == [(m.name, m.input_type, m.output_type) for m in methods]
    assert not any(m.client_streaming or m.server_streaming for m in methods)


@pytest.mark.parametrize("message", FIELDS)
def test_fields(message: str) -> None:
    """A message has exactly its fields, with their types and numbers."""
    found = tuple(declared(f, MESSAGES[message]) for f in MESSAGES[message].field)

    assert FIELDS[message] == found


@pytest.mark.parametrize("enum", VALUES)
def test_values(enum: str) -> None:
    """An enum has exactly its values, prefixed and numbered in order from zero."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum).upper()
    expected = [(f"{prefix}_{name}", n) for n, name in enumerate(VALUES[enum])]

    assert expected == [(value.name, value.number) for value in ENUMS[enum].value]


def test_redaction() -> None:
    """What identifies a person or opens a door is marked, and nothing else is."""
    found = {
        f"{message.name}.{field.name}"
        for message in MESSAGES.values()
        for field in message.field
        if field.options.debug_redact
    }

    assert REDACTED == found

"""Messages of the contract as values, their form checked field by field.

What people paste is normalised here, and an address in ``parse_address``. Every
function raises ``RequestInvalid``, or the error it names, with the faulty fields.
"""

import ipaddress
import re
import unicodedata
import uuid
from typing import Any, Final, Protocol

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.address import WHITE_SPACE, Address, parse_address
from signupd.errors import RequestInvalid, TokenInvalid, TraitsInvalid, Violation
from signupd.kratos.admin import MAX_ACCOUNTS
from signupd.notation import MAX_PORT
from signupd.policy.traits import MAX_BYTES
from signupd.signup.start import StartRequest

MAX_TOKEN_CHARS: Final = 1024
MAX_PASSWORD_BYTES: Final = 1024
UUID_VERSION: Final = 4
# BCP 47's form (RFC 5646, 2.1) loosely, in the length that 4.4.1 asks to allow for.
_LOCALE: Final = re.compile(
    r"(?=.{1,35}\Z)(?:[A-Za-z]{2,8}|[ixIX](?=-))(?:-[A-Za-z0-9]{1,8})*"
)
_UUID: Final = re.compile(r"(?ai)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_UUID4: Final = "is not a UUID of version 4"
_NO_UUID: Final = "is not a UUID of 36 characters"
_CODE: Final = re.compile(r"[0-9]{1,16}", re.ASCII)
_DROPPED: Final = WHITE_SPACE + "\xad"  # white space and the soft hyphen
MAX_PASTED_CHARS: Final = 64  # of a code with its spaces and hyphens
# An address with a port: IPv6 in brackets (RFC 3986, 3.2.2), or IPv4.
_WITH_PORT: Final = re.compile(r"(?a)(?:\[([^\]]*:[^\]]*)\]|([\d.]+))(?::(\d{1,5}))?")


class HasToken(Protocol):
    """A request that carries a continuation token."""

    continuation_token: str


def start_request(message: pb.StartSignupRequest, caller: str) -> StartRequest:
    """Read a StartSignupRequest; address and traits are looked at by the step."""
    faults: list[Violation] = []
    locale = message.locale.replace("_", "-")
    if locale and not _LOCALE.fullmatch(locale):
        faults.append(Violation("locale", "is not a BCP 47 language tag"))
    if (client_ip := _client_ip(message.client_ip)) is None:
        faults.append(Violation("client_ip", "is not an IP address"))
    if (request_id := _uuid4(message.request_id)) is None and message.request_id:
        faults.append(Violation("request_id", _NO_UUID4))
    if faults:
        raise RequestInvalid(violations=tuple(faults))
    return StartRequest(
        message.email,
        _traits(message.traits),
        locale,
        request_id,
        caller,
        client_ip or "",
    )


def request_id_of(message: pb.ResendCodeRequest, caller: str) -> uuid.UUID | None:
    """Read the request id of a resend, made its caller's own; None if there is none."""
    if (request_id := _uuid4(message.request_id)) is None and message.request_id:
        raise _invalid("request_id", _NO_UUID4)
    return request_id and uuid.uuid5(request_id, caller)


def token_of(message: HasToken) -> str:
    """Read a continuation token; an empty or too long one raises TokenInvalid."""
    if not 0 < len(message.continuation_token) <= MAX_TOKEN_CHARS:
        raise TokenInvalid
    return message.continuation_token


def code_of(message: pb.VerifyCodeRequest) -> str:
    """Read a code: 1 to 16 decimal digits of any script, with spaces and dashes."""
    pasted = message.code[: MAX_PASTED_CHARS + 1]
    kept = [c for c in pasted if not (c in _DROPPED or unicodedata.category(c) == "Pd")]
    code = "".join([str(unicodedata.decimal(char, char)) for char in kept])
    if len(pasted) > MAX_PASTED_CHARS or not _CODE.fullmatch(code):
        raise _invalid("code", "is not a string of 1 to 16 decimal digits")
    return code


def password_of(message: pb.SetPasswordRequest | pb.CheckPasswordRequest) -> str:
    """Read a password: not empty, and not longer than any policy could allow."""
    if not 0 < len(message.password.encode()) <= MAX_PASSWORD_BYTES:
        raise _invalid(
            "password", f"is empty or longer than {MAX_PASSWORD_BYTES} bytes"
        )
    return message.password


def account_key(message: accounts_pb.GetAccountRequest) -> uuid.UUID | Address:
    """Read an account's id or address; an address may raise EmailInvalid."""
    match message.WhichOneof("key"):
        case "email":
            return parse_address(message.email)
        case "identity_id" if identity_id := _uuid(message.identity_id):
            return identity_id
        case "identity_id":
            raise _invalid("identity_id", _NO_UUID)
        case _:
            raise _invalid("key", "is neither an identity_id nor an email")


def identity_ids_of(message: accounts_pb.BatchGetAccountsRequest) -> list[uuid.UUID]:
    """Read the ids of a batch: UUIDs, at least one and not too many."""
    if not 0 < len(message.identity_ids) <= MAX_ACCOUNTS:
        raise _invalid("identity_ids", f"are none, or more than {MAX_ACCOUNTS}")
    ids, faults = [], []
    for index, text in enumerate(message.identity_ids):
        if identity_id := _uuid(text):
            ids.append(identity_id)
        else:
            faults.append(Violation(f"identity_ids[{index}]", _NO_UUID))
    if faults:
        raise RequestInvalid(violations=tuple(faults))
    return ids


def _invalid(
    field: str, description: str, kind: type[RequestInvalid] = RequestInvalid
) -> RequestInvalid:
    return kind(violations=(Violation(field, description),))


def _uuid4(text: str) -> uuid.UUID | None:
    value = _uuid(text)
    return value if value and value.version == UUID_VERSION else None


def _uuid(text: str) -> uuid.UUID | None:
    # Python reads other spellings too; one id has one.
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


def _client_ip(text: str) -> str | None:
    """Read an IP address, which may have a port; None if it is not one.

    An IPv4 address that is mapped to IPv6 (RFC 4291, 2.5.5.2) is the IPv4 one; the
    scope behind ``%`` (RFC 4007, 11) is dropped.
    """
    if not (text := text.strip(WHITE_SPACE)):
        return text
    host, port = text, "0"
    if match := _WITH_PORT.fullmatch(text):
        host, port = match[1] or match[2], match[3] or "0"
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if int(port) > MAX_PORT:
        return None
    return str(getattr(ip, "ipv4_mapped", None) or ip).partition("%")[0]


def _traits(struct: Struct) -> dict[str, Any]:
    if struct.ByteSize() > MAX_BYTES:
        raise _invalid("traits", f"are larger than {MAX_BYTES} bytes", TraitsInvalid)
    try:
        traits: dict[str, Any] = json_format.MessageToDict(struct)
    except (json_format.Error, ValueError) as error:
        fault = "hold a number that JSON does not have"
        raise _invalid("traits", fault, TraitsInvalid) from error
    return traits

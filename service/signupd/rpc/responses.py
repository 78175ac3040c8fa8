"""Values as messages of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kratos_signup.v1 import account_service_pb2 as accounts_pb
from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.kratos.identity import AccountState, PasswordStatus
from signupd.kratos.outcomes import Delivery
from signupd.ledger.record import State

if TYPE_CHECKING:
    from signupd.accounts.account import Account
    from signupd.signup.view import View

STATES: Final = {
    State.CODE_REQUIRED: pb.SIGNUP_STATE_CODE_REQUIRED,
    State.PASSWORD_REQUIRED: pb.SIGNUP_STATE_PASSWORD_REQUIRED,
    State.COMPLETED: pb.SIGNUP_STATE_COMPLETED,
    State.ALREADY_REGISTERED: pb.SIGNUP_STATE_ALREADY_REGISTERED,
    State.EXPIRED: pb.SIGNUP_STATE_EXPIRED,
    State.CANCELLED: pb.SIGNUP_STATE_CANCELLED,
}
DELIVERIES: Final = {
    Delivery.QUEUED: pb.CODE_DELIVERY_QUEUED,
    Delivery.SENT: pb.CODE_DELIVERY_SENT,
    Delivery.FAILED: pb.CODE_DELIVERY_FAILED,
}
PASSWORD_STATUSES: Final = {
    None: accounts_pb.PASSWORD_STATUS_UNSPECIFIED,
    PasswordStatus.SET: accounts_pb.PASSWORD_STATUS_SET,
    PasswordStatus.UNSET: accounts_pb.PASSWORD_STATUS_UNSET,
    PasswordStatus.UNKNOWN: accounts_pb.PASSWORD_STATUS_UNKNOWN,
}
ACCOUNT_STATES: Final = {
    None: accounts_pb.ACCOUNT_STATE_UNSPECIFIED,
    AccountState.ACTIVE: accounts_pb.ACCOUNT_STATE_ACTIVE,
    AccountState.DISABLED: accounts_pb.ACCOUNT_STATE_DISABLED,
}


def signup_message(view: View) -> pb.Signup:
    """Convert a view to the contract's Signup."""
    message = pb.Signup(
        signup_id=str(view.signup_id),
        state=STATES[view.state],
        code_attempts_remaining=view.code_attempts_remaining,
        resends_remaining=view.resends_remaining,
        masked_email=view.masked_email,
        password_attempts_remaining=view.password_attempts_remaining,
    )
    message.create_time.FromMicroseconds(view.create_time)
    if view.expire_time is not None:
        message.expire_time.FromMicroseconds(view.expire_time)
    if view.resend_time is not None:
        message.resend_time.FromMicroseconds(view.resend_time)
    if view.delivery is not None:
        message.code_delivery = DELIVERIES[view.delivery]
    if view.identity_id is not None:
        message.identity_id = str(view.identity_id)
    if view.password_min_length is not None and view.password_max_bytes is not None:
        message.password_policy.min_length = view.password_min_length
        message.password_policy.max_bytes = view.password_max_bytes
    return message


def account_message(account: Account) -> accounts_pb.Account:
    """Convert an account to the contract's Account."""
    return accounts_pb.Account(
        identity_id=str(account.identity_id),
        password_status=PASSWORD_STATUSES[account.password],
        state=ACCOUNT_STATES[account.state],
        email_verified=account.email_verified,
        complete=account.complete,
    )

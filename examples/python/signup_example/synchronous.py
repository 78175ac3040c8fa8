"""A whole sign-up with the synchronous stub."""

import uuid
from collections.abc import Callable

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signup_example.channel import DEADLINE_SECONDS
from signup_example.failure import Failure

Ask = Callable[[str], str]


def sign_up(signups: SignupServiceStub, address: str, ask: Ask) -> pb.Signup:
    """Make one sign-up.

    Args:
        signups: The stub, on a channel with `channel_options()`.
        address: The address to sign up.
        ask: Asks the person a question and returns the answer.

    Returns:
        A sign-up that is COMPLETED or ALREADY_REGISTERED.

    Raises:
        grpc.RpcError: A call failed, and asking the person again does not help.
    """
    # One id for each press of the button, also for its retries: a retry with the same
    # id sends no second mail.
    request_id = str(uuid.uuid4())
    started = signups.StartSignup(
        pb.StartSignupRequest(email=address, request_id=request_id),
        timeout=DEADLINE_SECONDS,
    )
    verified = _verify(signups, started.continuation_token, ask)
    if verified.signup.state != pb.SIGNUP_STATE_PASSWORD_REQUIRED:
        return verified.signup
    return _set_password(signups, verified.continuation_token, ask)


def _verify(signups: SignupServiceStub, token: str, ask: Ask) -> pb.VerifyCodeResponse:
    question = "Code: "
    while True:
        request = pb.VerifyCodeRequest(continuation_token=token, code=ask(question))
        try:
            return signups.VerifyCode(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            failure = Failure.of(error)
            if failure.reason == "CODE_EXPIRED":
                _resend(signups, token)
                question = "Code of the new mail: "
            elif words := failure.words():
                left = failure.signup.code_attempts_remaining
                question = f"{words} {left} attempts left. Code: "
            else:
                raise


def _resend(signups: SignupServiceStub, token: str) -> None:
    request_id = str(uuid.uuid4())
    signups.ResendCode(
        pb.ResendCodeRequest(continuation_token=token, request_id=request_id),
        timeout=DEADLINE_SECONDS,
    )


def _set_password(signups: SignupServiceStub, token: str, ask: Ask) -> pb.Signup:
    question = "Password: "
    while True:
        request = pb.SetPasswordRequest(
            continuation_token=token, password=ask(question)
        )
        try:
            done = signups.SetPassword(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            words = Failure.of(error).words()
            if not words:
                raise
            question = f"{words} Another password: "
        else:
            return done.signup

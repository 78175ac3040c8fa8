"""The code: what it tells of an account that is there."""

from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.caller import refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address

OTHER_PASSWORD = "nine small anchors"


def test_mail_of_a_taken_address(stack: Stack) -> None:
    """The mail is that of a free address, code aside.

    The answers are integration/test_sameness.py's.
    """
    taken, free = new_address(), new_address()
    stack.registered(taken)
    mails = []
    for address, count in ((taken, 2), (free, 1)):
        stack.caller.start(address, traits={"name": "Ann"})
        mail = stack.mailbox.wait_for(address, count)
        mails.append((mail.subject, mail.text.replace(mail.code, "CODE")))

    assert mails[0] == mails[1]


def test_delivery_behind_other_mails(stack: Stack) -> None:
    """Recovery mails, which accounts alone get, do not hide the code mail."""
    taken, free = new_address(), new_address()
    stack.registered(taken)
    told = []
    for address, mails in ((taken, 2), (free, 1)):
        token = stack.caller.start(address, traits={"name": "A"}).continuation_token
        stack.mailbox.wait_for(address, mails)
        for _ in range(11):
            flow = stack.visitor.get("/self-service/recovery/api").json()["id"]
            body = {"method": "code", "email": address}
            stack.visitor.post(f"/self-service/recovery?flow={flow}", json=body)
        told.append(stack.caller.get(token).signup.code_delivery)
        if address == taken:
            stack.mailbox.wait_for(address, mails + 11)
        told.append(stack.caller.get(token).signup.code_delivery)

    assert [pb.CODE_DELIVERY_SENT] * 4 == told


def test_code_of_a_taken_address(stack: Stack, address: str) -> None:
    """The right code tells that an account is there, and leaves it as it was."""
    before = stack.admin.identity(stack.registered(address))
    token = stack.caller.start(address, traits={"name": "Eve"}).continuation_token
    code = stack.code(address, 2)
    verified = stack.caller.verify(token, code)
    refused = refusal(stack.caller.set_password, token, OTHER_PASSWORD)

    assert pb.SIGNUP_STATE_ALREADY_REGISTERED == verified.signup.state
    assert verified.signup.existing_account_verified
    assert ("", "") == (verified.continuation_token, verified.signup.identity_id)
    assert "STEP_MISMATCH" == refused.reason
    assert [before] == stack.admin.identities(address)
    assert stack.visitor.login(address, GOOD_PASSWORD)
    assert not stack.visitor.login(address, OTHER_PASSWORD)

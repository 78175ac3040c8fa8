"""What differs between installations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings.

    Attributes:
        signup_target: Where signupd serves, as gRPC names it.
        kratos_public_url: Where people sign in.
        session_secret: Signs the session cookie.
        secure: Send the cookie over https alone.
        mailbox_url: Where a test installation shows its mails; empty for none.
        recovery_url: Your page for forgotten passwords; empty for none.
    """

    signup_target: str
    kratos_public_url: str
    session_secret: str
    secure: bool = False
    mailbox_url: str = ""
    recovery_url: str = ""

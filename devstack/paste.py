"""The commands to paste into another terminal.

For bash and zsh alike: without comments, which zsh does not take at its prompt.
"""

import shutil

INSTALLING = "grpcurl is not there yet. This puts it into ~/go/bin, for your PATH:"
INSTALL = "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"

LOOK = """\
HOST={target}
SIGNUP=kratos_signup.v1.SignupService
grpcurl -plaintext $HOST list
grpcurl -plaintext $HOST describe $SIGNUP"""

# `token` shows an answer and gives the token in it, without jq. Where grpcurl learns
# the names by reflection it writes continuation_token, else continuationToken.
START = r"""EMAIL=ada@example.com
token() {
  tee /dev/stderr | sed -n 's/.*"continuation_*[Tt]oken": *"\([^"]*\)".*/\1/p'
}
TOKEN=$(grpcurl -plaintext -d '{"email": "'$EMAIL'"}' \
  $HOST $SIGNUP/StartSignup | token)"""

CODE = "CODE=123456"

# An error has no token: the one for the next attempt stays.
VERIFY = r"""NEXT=$(grpcurl -plaintext \
  -d '{"continuation_token": "'$TOKEN'", "code": "'$CODE'"}' \
  $HOST $SIGNUP/VerifyCode | token)
TOKEN=${NEXT:-$TOKEN}"""

FINISH = r"""grpcurl -plaintext \
  -d '{"continuation_token": "'$TOKEN'", "password": "seven wet pebbles"}' \
  $HOST $SIGNUP/SetPassword
grpcurl -plaintext -d '{"continuation_token": "'$TOKEN'"}' \
  $HOST $SIGNUP/GetSignup"""

ACCOUNT = 'curl -s "{admin_url}/admin/identities?credentials_identifier=$EMAIL"'


def blocks(target: str, admin_url: str) -> list[tuple[str, str]]:
    """Give what can be pasted.

    Args:
        target: Where signupd serves.
        admin_url: Kratos' admin API.

    Returns:
        In order, blocks of commands, each with a sentence on it.
    """
    missing = shutil.which("grpcurl") is None
    install = [(INSTALLING, INSTALL)]
    return [
        *(install if missing else []),
        ("What there is:", LOOK.format(target=target)),
        ("Begin a sign-up; a mail with a code follows:", START),
        ("Put in the code, which is also shown below when the mail arrives:", CODE),
        ("Prove the mailbox; after a wrong code set CODE and paste it again:", VERIFY),
        ("Set a password, look at what has become of it:", FINISH),
        ("What Kratos has made of it:", ACCOUNT.format(admin_url=admin_url)),
    ]

"""The gRPC front as the settings want it; a part of the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signupd.rpc.accounts import AccountServicer
from signupd.rpc.credentials import Credentials
from signupd.rpc.interceptor import ErrorInterceptor
from signupd.rpc.server import Server
from signupd.rpc.signups import SignupServicer

if TYPE_CHECKING:
    import structlog

    from signupd.kratos.identities import Identities
    from signupd.settings import Settings
    from signupd.signup.deps import Deps
    from signupd.signup.work import Work


def server_of(
    settings: Settings, deps: Deps, identities: Identities, work: Work
) -> Server:
    """Make the server, of both services; it listens nowhere yet."""
    return Server(
        ErrorInterceptor(deps.log, work, settings.max_concurrent_rpcs),
        SignupServicer(deps, work),
        AccountServicer(identities, work),
        reflect=settings.reflects,
    )


def credentials_of(
    settings: Settings, log: structlog.stdlib.BoundLogger
) -> Credentials | None:
    """Make what it listens with; None where it speaks plaintext."""
    files = settings.certificate_files
    return None if files is None else Credentials(files, log)

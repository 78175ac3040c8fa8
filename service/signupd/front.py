"""The gRPC front as the settings want it; a part of the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signupd.rpc.accounts import AccountServicer
from signupd.rpc.callers import Callers
from signupd.rpc.credentials import Credentials
from signupd.rpc.interceptor import ErrorInterceptor
from signupd.rpc.server import Server
from signupd.rpc.signups import SignupServicer

if TYPE_CHECKING:
    import structlog

    from signupd.kratos.admin import AdminApi
    from signupd.observer import Observer
    from signupd.settings import Settings
    from signupd.signup.deps import Deps
    from signupd.signup.work import Work


def server_of(
    settings: Settings,
    deps: Deps,
    admin: AdminApi,
    work: Work,
    observer: Observer,
) -> Server:
    """Make the server, of both services; it listens nowhere yet."""
    callers = callers_of(settings)
    most = settings.max_concurrent_rpcs
    return Server(
        ErrorInterceptor(deps.log, callers, work, most, observer),
        SignupServicer(deps, work, callers),
        AccountServicer(admin, work),
        callers,
        reflect=settings.reflects,
    )


def callers_of(settings: Settings) -> Callers:
    """Make what decides who may call what."""
    return Callers(
        local=settings.listens_locally,
        mutual=settings.tls_client_ca is not None,
        grants=settings.callers,
    )


def credentials_of(
    settings: Settings, log: structlog.typing.FilteringBoundLogger
) -> Credentials | None:
    """Make what it listens with; None where it speaks plaintext."""
    files = settings.certificate_files
    return None if files is None else Credentials(files, log)

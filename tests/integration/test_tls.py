"""TLS with real certificates: who gets in, and files that change under a server."""

import asyncio
import datetime as dt
import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from signupd.certificates import CertificateFiles, CertificatesUnusable
from signupd.service import Service

from tests.doubles.authority import LOOPBACK, Authority, Issued, uri
from tests.integration.caller import Caller, refusal
from tests.integration.world import Replica, World

AUTHORITY, OTHER = Authority(), Authority()
SPIFFE = "spiffe://example.org/web"
WEB = AUTHORITY.issue(uri(SPIFFE))
LAPSED = AUTHORITY.issue(uri(SPIFFE), lasts=-dt.timedelta(hours=1))
FOREIGN = OTHER.issue(uri(SPIFFE))


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Lay out the server's files."""
    return AUTHORITY.serve_from(tmp_path)


def tls(files: CertificateFiles, **more: Any) -> dict[str, Any]:
    """Write the settings of a server with these files."""
    return {"tls_cert": files.cert, "tls_key": files.key, **more}


@pytest.fixture
async def mutual(world: World, files: CertificateFiles) -> Replica:
    """Give a server that demands certificates of its callers."""
    return await world.serve(**tls(files, tls_client_ca=files.client_ca))


async def reason(caller: Caller) -> str:
    """Make a call; tell why it failed: by its reason, or else by its status."""
    async with caller:
        refused = await refusal(caller.get("x"))
        return refused.reason or refused.code.name


@pytest.mark.parametrize("client", [None, LAPSED, FOREIGN])
async def test_wrong_certificate(mutual: Replica, client: Issued | None) -> None:
    """Without a valid certificate of the authority, or in plaintext, nobody gets in."""
    caller = Caller(mutual.service.port, AUTHORITY.trusted_by(client))

    assert "UNAVAILABLE" == await reason(caller)
    assert "UNAVAILABLE" == await reason(mutual.caller)


@pytest.mark.parametrize("seconds", [3 * 86_400, -3 * 86_400])
async def test_certificate_that_lapses(
    world: World, mutual: Replica, seconds: int
) -> None:
    """On an open connection a certificate opens nothing out of its time.

    The handshake went by the machine's time, as that of a resumed session does not.
    """
    async with Caller(mutual.service.port, AUTHORITY.trusted_by(WEB)) as standing:
        before = await refusal(standing.get("x"))
        world.clock.move(seconds)
        late = await refusal(standing.get("x"))
        world.clock.move(-seconds)
        after = await refusal(standing.get("x"))

    assert "TOKEN_INVALID" == before.reason == after.reason
    assert "CALLER_NOT_PERMITTED" == late.reason
    why = world.log.entry("caller_not_permitted")["why"]
    assert f"the certificate of {SPIFFE} is not valid now" == why


async def test_unix_socket(world: World, files: CertificateFiles) -> None:
    """A unix socket can have TLS too."""
    path = world.directory / "s"
    settings = tls(files, tls_client_ca=files.client_ca, listen=f"unix:{path}")
    await world.serve(**settings)
    options = [("grpc.ssl_target_name_override", "localhost")]
    answers = []
    for client in (WEB, None):
        channel = grpc.aio.secure_channel(
            f"unix:{path}", AUTHORITY.trusted_by(client), options
        )
        async with channel:
            method: Any = channel.unary_unary(
                "/kratos_signup.v1.SignupService/GetSignup"
            )
            answers.append((await refusal(method(b"\xff", timeout=60))).code.name)

    assert ["INVALID_ARGUMENT", "UNAVAILABLE"] == answers


class Client:
    """A plain TLS client, which sees what the server shows."""

    def __init__(self, directory: Path) -> None:
        WEB.write(directory / "web.crt", directory / "web.key")
        self.context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        self.context.load_cert_chain(directory / "web.crt", directory / "web.key")
        self.context.set_alpn_protocols(["h2"])

    async def shake_hands(self, port: int) -> int:
        """Shake hands; tell the certificate's serial number."""
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=self.context, server_hostname="localhost"
        )
        connection = writer.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True)
        writer.transport.abort()  # the server need not say goodbye
        return x509.load_der_x509_certificate(der).serial_number

    def forward(self, listener: socket.socket, port: int) -> None:
        """Forward one connection over TLS, in a session that resumes an earlier one."""
        with self._connect(port) as first:
            first.recv(1)  # TLS 1.3 hands out sessions after the handshake
            session = first.session
        plain, _ = listener.accept()
        with plain, self._connect(port, session) as secure:
            assert secure.session_reused
            while True:
                pending = [secure] if secure.pending() else []
                for one in pending or select.select([plain, secure], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (secure if one is plain else plain).sendall(data)

    def _connect(
        self, port: int, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        return self.context.wrap_socket(
            socket.create_connection(("127.0.0.1", port)),
            server_hostname="localhost",
            session=session,
        )


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Give a plain client that has a certificate."""
    return Client(tmp_path)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_resumed_session(
    world: World, mutual: Replica, client: Client, version: str
) -> None:
    """A session that is resumed opens nothing once its certificate has lapsed.

    TLS 1.2 and 1.3 are spoken.
    """
    client.context.minimum_version = ssl.TLSVersion[version]
    client.context.maximum_version = ssl.TLSVersion[version]
    reasons = []
    for days in (0, 3):
        world.clock.move(days * 86_400)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            work = asyncio.to_thread(client.forward, listener, mutual.service.port)
            forwarding = asyncio.ensure_future(work)
            reasons.append(await reason(Caller(listener.getsockname()[1])))
            await forwarding

    assert ["TOKEN_INVALID", "CALLER_NOT_PERMITTED"] == reasons


async def test_old_version(mutual: Replica, client: Client) -> None:
    """TLS 1.1 is not, though the client would."""
    client.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        client.context.minimum_version = ssl.TLSVersion.TLSv1_1
        client.context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"\A(?!.*NO_PROTOCOLS_AVAILABLE)"):
        await client.shake_hands(mutual.service.port)


def serial(cert: bytes) -> int:
    """Tell a certificate's serial number."""
    return x509.load_pem_x509_certificate(cert).serial_number


async def test_reload(
    world: World, mutual: Replica, files: CertificateFiles, client: Client
) -> None:
    """Who connects after a change sees the new certificate; who is there stays."""
    port = mutual.service.port
    first = await client.shake_hands(port)
    async with Caller(port, AUTHORITY.trusted_by(WEB)) as standing:
        before = await refusal(standing.get("x"))
        renewed = AUTHORITY.issue(*LOOPBACK)
        renewed.write(files.cert, files.key)
        second = await client.shake_hands(port)
        after = await refusal(standing.get("x"))
    await world.log.wait_for("certificate_reloaded")

    assert first != second == serial(renewed.cert)
    assert "TOKEN_INVALID" == before.reason == after.reason
    assert 1 == world.log.events().count("certificate_reloaded")


async def test_reload_of_the_client_ca(
    mutual: Replica, files: CertificateFiles
) -> None:
    """An authority that is put in another's place is trusted from then on, alone."""
    port = mutual.service.port
    async with Caller(port, AUTHORITY.trusted_by(WEB)) as standing:
        before = await refusal(standing.get("x"))
        (files.cert.parent / "callers.crt").write_bytes(OTHER.pem + b"\n")
        dropped = await reason(Caller(port, AUTHORITY.trusted_by(WEB)))
        taken = await reason(Caller(port, AUTHORITY.trusted_by(FOREIGN)))
        after = await refusal(standing.get("x"))

    assert ("UNAVAILABLE", "TOKEN_INVALID") == (dropped, taken)
    assert "TOKEN_INVALID" == before.reason == after.reason


BREAKS: list[Callable[[CertificateFiles], object]] = [
    lambda f: f.cert.write_bytes(b"hunter2"),
    lambda f: f.key.unlink(),
    lambda f: AUTHORITY.issue().write(f.cert, f.cert.with_name("other")),
]


@pytest.mark.parametrize("spoil", BREAKS)
async def test_broken_reload(
    world: World,
    mutual: Replica,
    files: CertificateFiles,
    client: Client,
    spoil: Callable[[CertificateFiles], object],
) -> None:
    """With files that cannot be used the old certificate stays, until they can be."""
    port = mutual.service.port
    first = await client.shake_hands(port)
    spoil(files)
    kept = [await client.shake_hands(port) for _ in range(3)]
    await world.log.wait_for("certificate_not_reloaded")
    mended = AUTHORITY.issue(*LOOPBACK)
    mended.write(files.cert, files.key)
    last = await client.shake_hands(port)

    assert [first] * 3 == kept
    assert 1 == world.log.events("error").count("certificate_not_reloaded")
    assert serial(mended.cert) == last


async def test_broken_at_start(world: World, files: CertificateFiles) -> None:
    """A server whose files broke after they were looked at does not start."""
    service = Service(world.settings(**tls(files)), world.log.logger, world.clock)
    files.key.write_bytes(b"hunter2")
    with pytest.raises(CertificatesUnusable, match="TLS_KEY"):
        await service.start()
    await service.stop()


async def test_lapsed_certificate(world: World, files: CertificateFiles) -> None:
    """A certificate that is not valid now is warned of, at start and at a change."""
    LAPSED.write(files.cert, files.key)
    await world.serve(**tls(files))
    entry = world.log.entry("certificate_not_valid")

    assert ["certificate_not_valid"] == world.log.events("warning")
    assert "TLS_CERT" == entry["setting"]
    assert entry["valid_until"] < dt.datetime.now(dt.UTC).isoformat()


@pytest.mark.parametrize(
    ("mode", "warnings"), [(0o640, []), (0o604, ["tls_key_open_to_others"])]
)
async def test_open_key(
    world: World, files: CertificateFiles, mode: int, warnings: list[str]
) -> None:
    """A key that everybody on the machine can read is warned of; a group's is not."""
    files.key.chmod(mode)
    await world.serve(**tls(files))

    assert warnings == world.log.events("warning")

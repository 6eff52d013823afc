"""TLS inside the system: both sides show a certificate of the authority, or there is no connection."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import nats
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from libs.cli.nats_server import NatsServer
from libs.common.jetstream import check_configuration, create_streams
from libs.common.jetstream import connect as connect_log
from libs.common.server import Serving, serve
from libs.common.settings import Settings
from libs.common.tls import channel_credentials, client_context
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder_client import connect
from tests.common.test_rpc import FACTS, LATE, Facts, a_request
from tests.tokens import SYSTEM, TOKEN_KEYS


class Authority:
    """Signs certificates of 127.0.0.1."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.pem = certificate.public_bytes(Encoding.PEM)

    def issue(self, folder: Path) -> Settings:
        """Puts a new certificate into a folder; settings that go by it."""
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "service")])
        certificate = self._certificate(
            name, key, x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        )
        (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "ca.crt").write_bytes(self.pem)
        return Settings(
            performance_address="127.0.0.1:0",
            token_keys=TOKEN_KEYS,
            tls_certificate=str(folder / "tls.crt"),
            tls_key=str(folder / "tls.key"),
            tls_authority=str(folder / "ca.crt"),
        )

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        )
        return builder.sign(self._key, hashes.SHA256())


@dataclass(frozen=True)
class World:
    authority: Authority
    settings: Settings
    serving: Serving
    folder: Path

    async def told(self, credentials: grpc.ChannelCredentials | None) -> int:
        """How many facts a caller with these credentials gets told; raises AioRpcError."""
        async with connect(self.serving.address, retry=False, token=SYSTEM, credentials=credentials) as channel:
            return int((await FactsServiceStub(channel).RecordFacts(a_request(), timeout=10)).recorded)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    authority = Authority("ours")
    settings = authority.issue(tmp_path / "service")
    async with serve(settings, "performance", {FACTS: Facts()}, clock=lambda: LATE) as serving:
        yield World(authority, settings, serving, tmp_path)


async def test_who_shows_a_certificate_of_the_authority_is_answered(world: World) -> None:
    assert await world.told(channel_credentials(world.authority.issue(world.folder / "caller"))) == 1


async def test_others_are_not(world: World) -> None:
    """In plain text, without a certificate, or with another authority's: nothing is answered."""
    other = Authority("another").issue(world.folder / "other")
    stranger = other.model_copy(update={"tls_authority": world.settings.tls_authority})
    for credentials in (None, grpc.ssl_channel_credentials(world.authority.pem), channel_credentials(stranger)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.told(credentials)
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN}


async def test_who_is_not_of_the_authority_is_not_called(world: World) -> None:
    """A caller sends nothing to a server that another authority vouches for."""
    with pytest.raises(grpc.aio.AioRpcError):
        await world.told(channel_credentials(Authority("another").issue(world.folder / "caller")))


async def test_a_renewed_certificate_counts_at_once(world: World) -> None:
    """Without a restart; here that of a new authority, as whoever rolls it over would see."""
    renewed = Authority("next")
    renewed.issue(world.folder / "service")
    assert await world.told(channel_credentials(renewed.issue(world.folder / "caller"))) == 1


def test_tls_needs_all_three(tmp_path: Path) -> None:
    """Half of it would be no protection."""
    whole = Authority("ours").issue(tmp_path)
    with pytest.raises(ValidationError, match="all three"):
        Settings(tls_certificate=whole.tls_certificate, tls_key=whole.tls_key)


class NatsWithTls(NatsServer):
    """Takes connections only of who shows a certificate of the authority."""

    settings: Settings

    def _configuration(self, ports: Path) -> str:
        ours = self.settings
        files = f'cert_file: "{ours.tls_certificate}", key_file: "{ours.tls_key}", ca_file: "{ours.tls_authority}"'
        return f"{super()._configuration(ports)}tls {{ {files}, verify: true }}\n"


async def test_the_log_by_tls(tmp_path: Path) -> None:
    """Connections to nats-server show the same certificate; without one there is none."""
    settings = Authority("ours").issue(tmp_path / "tls")
    server = NatsWithTls(tmp_path / "nats")
    server.settings = settings
    server.start()
    try:
        server.wait_ready()
        client = await connect_log(server.url, "test", client_context(settings))
        await create_streams(client, replicas=1)
        await check_configuration(client, 1, server.monitor_url)
        await client.close()
        stranger = Authority("another").issue(tmp_path / "other")
        with pytest.raises((OSError, TimeoutError)):
            await connect_once(server.url, stranger)
    finally:
        server.stop()


async def connect_once(url: str, settings: Settings) -> None:
    """Raises what keeps the connection from coming about."""
    client = await nats.connect(url, tls=client_context(settings), allow_reconnect=False, connect_timeout=5)
    await client.close()

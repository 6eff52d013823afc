"""Authorities of tests and what they vouch for, and nats-server as an installation runs it, by TLS."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.jetstream import connect, create_streams
from libs.common.settings import Settings
from libs.common.streams import NoAnswer, NoResponders
from libs.common.tls import client_context
from tests.servers import in_a_loop_of_its_own
from tests.tokens import TOKEN_KEYS

ROOT = Path(__file__).parents[1]


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


class InstalledNats(NatsServer):
    """As an installation runs it, at ports of its own."""

    def _configuration(self, ports: Path) -> str:
        super()._configuration(ports)  # lays the accounts beside it
        installed = (ROOT / "deploy" / "nats" / "nats-server.conf").read_text()
        own = installed.replace("0.0.0.0:4222", "127.0.0.1:-1").replace("0.0.0.0:8222", "127.0.0.1:-1")
        return f'{own}ports_file_dir: "{ports}"\n'

    @property
    def monitor_url(self) -> str:
        return f"https://127.0.0.1:{self.monitor_port}"

    def _health(self, of: str = "") -> tuple[int, str]:
        return HTTPStatus.OK, ""  # whoever sets up asks until it is


@contextmanager
def running_installed_nats(folder: Path, settings: Settings) -> Iterator[InstalledNats]:
    """Such a server with the streams set up, which shows the settings' certificate."""
    files = {
        f"STEPLADDER_{name.upper()}": getattr(settings, name)
        for name in ("tls_certificate", "tls_key", "tls_authority")
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**files, "STEPLADDER_INSTANCE": "nats-0", "NATS_STORE": str(folder / "store")}.items():
            environment.setenv(name, value)
        server = InstalledNats(folder, passwords=new_passwords())
        server.start()
    try:
        server.wait_ready()
        in_a_loop_of_its_own(_set_up(server, settings))
        yield server
    finally:
        server.stop()


async def _set_up(server: NatsServer, settings: Settings) -> None:
    client = await connect(server.url_of("setup"), "setup", client_context(settings))
    async with asyncio.timeout(30):
        while True:
            try:
                await create_streams(client, replicas=1)
                break
            except (NoAnswer, NoResponders):  # its store is not open yet
                await asyncio.sleep(0.05)
    await client.close()

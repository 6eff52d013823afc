"""TLS inside the system: both sides show a certificate of the authority, or there is no connection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLError

import grpc
import nats
import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.common.background import in_background
from libs.common.database import open_database
from libs.common.jetstream import check_configuration
from libs.common.jetstream import connect as connect_log
from libs.common.server import Serving, serve
from libs.common.settings import Settings
from libs.common.streams import LOG
from libs.common.tls import channel_credentials, client_context
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder_client import connect
from tests.certificates import Authority, running_installed_nats
from tests.common.test_rpc import FACTS, LATE, Facts, a_request
from tests.servers import running_postgres
from tests.tokens import SYSTEM


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


def test_what_tls_cannot_protect_stays_on_the_machine(tmp_path: Path) -> None:
    """Between Envoy and the gateway SCIM goes in plain HTTP: with TLS, at no address that others could reach."""
    whole = Authority("ours").issue(tmp_path).model_dump(include={"tls_certificate", "tls_key", "tls_authority"})
    assert Settings(**whole, gateway_http_address="[::1]:7105").tls_authority
    with pytest.raises(ValidationError, match="GATEWAY_HTTP_ADDRESS"):
        Settings(**whole, gateway_http_address="10.0.0.7:7105")


def test_tls_needs_all_three(tmp_path: Path) -> None:
    """Half of it would be no protection."""
    whole = Authority("ours").issue(tmp_path)
    with pytest.raises(ValidationError, match="all three"):
        Settings(tls_certificate=whole.tls_certificate, tls_key=whole.tls_key)


def test_an_address_does_not_promise_tls_that_there_is_not() -> None:
    """Without certificates of its own, a process would speak plain text to a log at tls://, password and all."""
    with pytest.raises(ValidationError, match="needs TLS_CERTIFICATE"):
        Settings(nats_url="tls://coaching:secret@nats:4222")


async def test_the_log_by_tls(tmp_path: Path) -> None:
    """Connections to nats-server and its monitoring show the same certificate; without one there is none."""
    settings = Authority("ours").issue(tmp_path / "tls")
    with running_installed_nats(tmp_path / "nats", settings) as server:
        tls = client_context(settings)
        client = await connect_log(server.url_of("coaching"), "coaching", tls)
        await check_configuration(client, 1, server.monitor_url, tls, streams=(LOG,))
        await client.close()
        stranger = Authority("another").issue(tmp_path / "other")
        with pytest.raises((OSError, TimeoutError)):
            await connect_once(server.url_of("coaching"), stranger)
        with pytest.raises(OSError, match="CERTIFICATE"):
            await check_configuration(client, 1, server.monitor_url, client_context(stranger), streams=(LOG,))


async def test_who_passes_for_a_log_without_tls_is_told_no_password(tmp_path: Path) -> None:
    """A server says by itself whether it wants TLS: whoever stands in between could say that it does not."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "x", "version": "2.15.1", "max_payload": 1048576, "auth_required": true}\r\n')
        heard.put_nowait(await reader.read(4096))
        writer.close()

    tls = client_context(Authority("ours").issue(tmp_path))
    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as server:
        url = f"tls://coaching:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def connecting() -> None:
            await connect_log(url, "coaching", tls)

        async with in_background(connecting()), asyncio.timeout(20):
            first = await heard.get()
    assert b"secret" not in first
    assert first.startswith(b"\x16")  # the handshake of TLS (RFC 8446, 5.1)


async def test_postgresql_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the address says; a server of another authority, and plain text, come to nothing."""
    ours, another = (Authority(name).issue(tmp_path / name) for name in ("ours", "another"))

    async def encrypted(address: str, authority: str) -> bool:
        monkeypatch.setenv("PGSSLROOTCERT", authority)
        engine = open_database(address)
        try:
            async with engine.connect() as connection:
                own = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                return bool((await connection.execute(text(own))).scalar())
        finally:
            await engine.dispose()

    with running_postgres(tls=ours) as server:
        assert await encrypted(f"{server}/postgres?ssl=verify-full", ours.tls_authority)
        with pytest.raises(SSLError):
            await encrypted(f"{server}/postgres?ssl=verify-full", another.tls_authority)
        with pytest.raises(DBAPIError):
            await encrypted(f"{server}/postgres?ssl=disable", ours.tls_authority)
        monkeypatch.setenv("PGSSLMODE", "verify-full")  # as deploy/k8s has it
        assert await encrypted(f"{server}/postgres", ours.tls_authority)
        with pytest.raises(SSLError):
            await encrypted(f"{server}/postgres", another.tls_authority)


async def connect_once(url: str, settings: Settings) -> None:
    """Raises what keeps the connection from coming about."""
    client = await nats.connect(url, tls=client_context(settings), allow_reconnect=False, connect_timeout=5)
    await client.close()

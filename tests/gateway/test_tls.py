"""The front door by TLS: to callers, and to the services behind it, which show each other certificates."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest

from libs.cli.envoy import Envoy
from libs.common.auth import bearer
from libs.common.settings import Settings
from stepladder.performance.v1.directory_pb2 import ListTeamsRequest
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from tests.certificates import Authority, InstalledNats, running_installed_nats
from tests.gateway.test_front_door import STRANGER
from tests.gateway.world import Backend, World, running_envoy, running_world
from tests.tokens import ISSUER

TLS = {"tls_certificate", "tls_key", "tls_authority"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With the certificate that everybody inside shows."""
    return Authority("ours").issue(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def log_by_tls(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[InstalledNats]:
    with running_installed_nats(tmp_path_factory.mktemp("nats"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def envoy_by_tls(
    tmp_path_factory: pytest.TempPathFactory, log_by_tls: InstalledNats, settings: Settings
) -> Iterator[Envoy]:
    own = settings.model_dump(include=TLS)
    with running_envoy(
        tmp_path_factory.mktemp("envoy"), log_by_tls, nats_url=log_by_tls.url_of("gateway"), **own
    ) as envoy:
        yield envoy


@pytest.fixture
async def world(envoy_by_tls: Envoy) -> AsyncIterator[World]:
    async with running_world(envoy_by_tls) as running:
        yield running


async def curl(*arguments: str) -> str:
    """What it prints, or its error."""
    command = shutil.which("curl")
    if command is None:
        pytest.skip("there is no curl")
    whole = [command, "-sS", "-m", "20", *arguments]
    done = await asyncio.to_thread(subprocess.run, whole, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def test_everything_goes_by_tls(world: World) -> None:
    """REST and gRPC to a service, the gateway's own answers and SCIM; tokens are judged as ever."""
    assert (await world.http("GET", "/v1/teams")).status == 200
    await DirectoryServiceStub(world.channel).ListTeams(ListTeamsRequest(), timeout=20)
    assert world.performance.heard["ListTeams"].context.actor == "user:li"
    assert (await world.http("GET", "/docs")).status == 200
    reader = dict(bearer(ISSUER.system("bi", ["events"])))
    assert (await world.http("GET", "/v1/events", headers=reader)).status == 200
    scim = dict(bearer(ISSUER.system("entra", ["directory"])))
    answer = await world.http("GET", "/scim/v2/ServiceProviderConfig", headers=scim)
    assert answer.json["meta"]["location"].startswith("https://")
    forged = await world.http("GET", "/v1/teams", headers=dict(bearer(STRANGER.person("li"))))
    assert (forged.status, forged.reasons) == (401, ["TOKEN_INVALID"])


async def test_a_foreign_client_calls_by_https(world: World) -> None:
    """curl believes the authority that it is given, and no other; by HTTP/2, and not in plain text."""
    port, authority = world.envoy.settings.public_port, world.envoy.settings.tls_authority
    auth = ("-H", f"authorization: Bearer {ISSUER.person('li')}")
    url = f"https://127.0.0.1:{port}/v1/teams"
    assert await curl("--cacert", authority, "-w", "%{http_version}", "-o", "/dev/null", *auth, url) == "2"
    assert "certificate" in await curl(*auth, url)
    assert "curl: (" in await curl(*auth, f"http://127.0.0.1:{port}/v1/teams")


async def test_nobody_gets_past_the_front_door(world: World) -> None:
    """A service answers no caller without a certificate, and none in plain text."""
    address, authority = world.envoy.settings.performance_address, Path(world.envoy.settings.tls_authority).read_bytes()  # noqa: ASYNC240 - a test's own
    for channel in (
        aio.insecure_channel(address),
        aio.secure_channel(address, grpc.ssl_channel_credentials(authority)),
    ):
        async with channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs do not know its methods
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Check(HealthCheckRequest(), timeout=10)
            assert caught.value.code() is StatusCode.UNAVAILABLE


@asynccontextmanager
async def called_by(envoy: Envoy, service: Settings) -> AsyncIterator[Backend]:
    """A service at Envoy's address for it, with a certificate of its own."""
    backend = Backend("performance")
    await backend.start(envoy.settings.model_copy(update=service.model_dump(include=TLS)))
    async with backend.serving:
        yield backend


async def test_who_is_not_of_the_authority_is_neither_called_nor_heard(
    envoy_by_tls: Envoy, log_by_tls: InstalledNats, tmp_path: Path
) -> None:
    """Envoy calls no service of another authority, and a service hears no Envoy of another one."""
    another = Authority("another").issue(tmp_path / "another")
    world = World(envoy_by_tls, aio.insecure_channel("127.0.0.1:1"))
    async with called_by(envoy_by_tls, another) as backend:
        answer = await world.http("GET", "/v1/teams")
        assert (answer.status, answer.reasons, backend.heard) == (503, ["SERVICE_AWAY"], {})
    # A service that everybody believes, as Envoy's own trust shows; only what Envoy shows is of another authority.
    mixed = {**another.model_dump(include=TLS), "tls_authority": envoy_by_tls.settings.tls_authority}
    (tmp_path / "envoy").mkdir()
    with running_envoy(tmp_path / "envoy", log_by_tls, **mixed) as stranger:
        ours = envoy_by_tls.settings
        async with called_by(stranger, ours) as backend:
            port = stranger.settings.public_port
            auth = ("-H", f"authorization: Bearer {ISSUER.person('li')}")
            told = await curl("-k", *auth, f"https://127.0.0.1:{port}/v1/teams")
            assert "SERVICE_AWAY" in told
            assert backend.heard == {}


async def test_callers_may_be_shown_another_certificate_than_services(
    envoy_by_tls: Envoy, log_by_tls: InstalledNats, tmp_path: Path
) -> None:
    """The front door shows that of an authority which callers believe; inside, everybody stays with their own."""
    known = Authority("of the world").issue(tmp_path / "public")
    own = {
        **envoy_by_tls.settings.model_dump(include=TLS),
        "public_certificate": known.tls_certificate,
        "public_key": known.tls_key,
    }
    (tmp_path / "envoy").mkdir()
    with running_envoy(tmp_path / "envoy", log_by_tls, **own) as envoy:
        async with called_by(envoy, envoy.settings) as backend:
            auth = ("-H", f"authorization: Bearer {ISSUER.person('li')}")
            url = f"https://127.0.0.1:{envoy.settings.public_port}/v1/teams"
            assert "teams" in await curl("--cacert", known.tls_authority, *auth, url)
            assert list(backend.heard) == ["ListTeams"]
            assert "certificate" in await curl("--cacert", envoy.settings.tls_authority, *auth, url)

"""One Envoy and one log a session; the services behind it are new for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.cli.envoy import Envoy
from libs.cli.nats_server import NatsServer
from tests.gateway.world import World, running_envoy, running_world
from tests.servers import running_nats


@pytest.fixture(scope="session")
def log_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(Path(tmp_path_factory.mktemp("nats")), 1) as (server,):
        yield server


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory, log_server: NatsServer) -> Iterator[Envoy]:
    with running_envoy(Path(tmp_path_factory.mktemp("envoy")), log_server) as running:
        yield running


@pytest.fixture
async def world(envoy: Envoy) -> AsyncIterator[World]:
    async with running_world(envoy) as running:
        yield running

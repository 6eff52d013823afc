"""One Envoy and one log a session; the services behind it are new for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.cli.envoy import Envoy
from tests.gateway.world import World, running_envoy, running_world
from tests.servers import running_nats


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    folder = Path(tmp_path_factory.mktemp("envoy"))
    with running_nats(folder / "nats", 1) as (nats,), running_envoy(folder, nats) as running:
        yield running


@pytest.fixture
async def world(envoy: Envoy) -> AsyncIterator[World]:
    async with running_world(envoy) as running:
        yield running

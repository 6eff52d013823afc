"""One Envoy a session; the services behind it are new for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.cli.envoy import Envoy
from tests.gateway.world import World, running_envoy, running_world


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with running_envoy(Path(tmp_path_factory.mktemp("envoy"))) as running:
        yield running


@pytest.fixture
async def world(envoy: Envoy) -> AsyncIterator[World]:
    async with running_world(envoy) as running:
        yield running

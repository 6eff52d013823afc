"""A world for each test: on SQLite, or on both kinds of database."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from libs.cli.nats_server import NatsServer
from libs.common.database import open_database
from libs.common.migrating import migrate
from tests.servers import in_a_loop_of_its_own, new_database, running_nats
from tests.services.world import MODULES, World, open_world


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A log of the test's own."""
    with running_nats(tmp_path / "nats", 1) as servers:
        yield servers[0]


@pytest.fixture
async def world(tmp_path: Path, nats: NatsServer) -> AsyncIterator[World]:
    async with open_world(tmp_path, nats) as world:
        yield world


@pytest.fixture(scope="session")
def templates(postgres: str) -> dict[str, str]:
    """For each service, a migrated database on PostgreSQL to be copied."""

    async def make() -> dict[str, str]:
        found: dict[str, str] = {}
        for service in MODULES:
            url = await new_database(postgres)
            found[service] = url.rpartition("/")[2]
            engine = open_database(url)
            await migrate(engine, service)
            await engine.dispose()
        return found

    return in_a_loop_of_its_own(make())


@pytest.fixture(params=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path, nats: NatsServer) -> AsyncIterator[World]:
    """A world on SQLite, and one on PostgreSQL."""
    url = ""
    if request.param == "postgresql":
        address, prefix = request.getfixturevalue("postgres"), f"t{uuid4().hex}"
        for service, template in request.getfixturevalue("templates").items():
            await new_database(address, f"{prefix}_{service}", template)
        url = f"{address}/{prefix}_{{service}}"
    async with open_world(tmp_path, nats, url) as world:
        yield world

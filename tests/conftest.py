"""Fixtures every suite may use."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.cli.nats_server import NatsServer
from libs.common.database import open_database
from tests.servers import new_database, running_nats, running_postgres


@pytest.fixture(scope="session")
def nats_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A single nats-server with the streams set up."""
    with running_nats(Path(tmp_path_factory.mktemp("nats1")), 1) as servers:
        yield servers[0]


@pytest.fixture(scope="session")
def nats_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NatsServer]]:
    """A cluster of three with the streams set up, three replicas each."""
    with running_nats(Path(tmp_path_factory.mktemp("nats3")), 3) as servers:
        yield servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server."""
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty database, on each of the two kinds."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
    else:
        url = await new_database(request.getfixturevalue("postgres"))
    engine = open_database(url)
    yield engine
    await engine.dispose()


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Commands that a test runs in its own process say where logs go; the next test is not to go by it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Logging as it was before, for tests that start it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)

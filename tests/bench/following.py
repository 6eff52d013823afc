"""How fast a read model catches up with the log, and how fast it is rebuilt."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from nats.aio.client import Client
from sqlalchemy import MetaData, delete
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.background import in_background
from libs.common.database import open_database
from libs.common.jetstream import JetStreamStream
from libs.common.migrating import migrate
from libs.common.positions import FOLLOWERS
from libs.common.projecting import Follower
from libs.common.reading import Reading
from libs.common.rebuilding import rebuild
from libs.common.service import utc_now
from services.performance.results import Results
from tests.bench import bare
from tests.bench.centre import CODEC, KPIS, Writer, fact
from tests.bench.figures import Figure, Measured, Stopwatch, compare, tell
from tests.bench.running import new_folder, running_log
from tests.servers import new_database, running_postgres

EMPLOYEES = 1000
"""The facts of all of them for one day follow each other in the log, as daily imports leave them."""

Database = Callable[[], AbstractAsyncContextManager[AsyncEngine]]


async def follow(database: Database, quick: bool) -> Measured:
    """Empties the read model and lets its follower catch up, again and again."""
    async with _filled_log(4 if quick else 100) as (client, events), database() as engine:
        follower = Follower(
            Results(MetaData()), Reading(JetStreamStream(client), CODEC), engine, instance="b", now=utc_now
        )

        async def value() -> float:
            async with engine.begin() as transaction:
                for table in (FOLLOWERS, *follower.handler.tables):
                    await transaction.execute(delete(table))
            async with in_background(follower.run()):
                watch = Stopwatch()
                await follower.wait_for(events, 600)
                return events / watch.seconds

        return await compare(1 if quick else 3, value, partial(bare.fetch_rate, client, events))


async def rebuild_beside(database: Database, quick: bool) -> Measured:
    """Rebuilds the read model beside a live one that holds the same rows."""
    async with _filled_log(4 if quick else 100) as (client, events), database() as engine:
        follower = Follower(
            Results(MetaData()), Reading(JetStreamStream(client), CODEC), engine, instance="b", now=utc_now
        )

        async def value() -> float:
            watch = Stopwatch()
            async for progress in rebuild(follower):
                if progress.changed_rows:
                    raise RuntimeError(f"{progress.changed_rows} rows came out differently")
            return events / watch.seconds

        async with in_background(follower.run()):
            await follower.wait_for(events, 600)
            return await compare(1 if quick else 3, value, partial(bare.fetch_rate, client, events))


@asynccontextmanager
async def _filled_log(days: int) -> AsyncIterator[tuple[Client, int]]:
    """A log with the facts of so many days, and how many events it holds."""
    with new_folder() as folder:
        async with running_log(folder) as (_, client):
            tell(f"  writing {days * EMPLOYEES:,} events")
            writer = Writer(client)
            await writer.create_kpis()
            for day in range(days):
                await writer.record(fact(employee, day) for employee in range(EMPLOYEES))
            yield client, len(KPIS) + days * EMPLOYEES


@asynccontextmanager
async def sqlite() -> AsyncIterator[AsyncEngine]:
    """A database in a file."""
    with new_folder() as folder:
        async with _migrated(f"sqlite+aiosqlite:///{folder}/performance.db") as engine:
            yield engine


@asynccontextmanager
async def postgresql() -> AsyncIterator[AsyncEngine]:
    """A database of a server with durable settings."""
    with running_postgres(durable=True) as server:
        async with _migrated(await new_database(server)) as engine:
            yield engine


@asynccontextmanager
async def _migrated(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(url)
    await migrate(engine, "performance")
    try:
        yield engine
    finally:
        await engine.dispose()


def _figure(
    name: str, does: str, measure: Callable[[Database, bool], Coroutine[Any, Any, Measured]], database: Database
) -> Figure:
    return Figure(name, "events/s", "higher", 0.7, does, partial(measure, database))


FOLLOWS = "a real read model (KPI results) follows a filled log until it has caught up; against nats-py's bare fetch"
REBUILDS = "the same read model is rebuilt beside the live one, compared and swapped; against nats-py's bare fetch"

FIGURES = (
    _figure("follow_rate", f"{FOLLOWS}; SQLite", follow, sqlite),
    _figure("follow_rate_postgresql", f"{FOLLOWS}; PostgreSQL", follow, postgresql),
    _figure("rebuild_rate", f"{REBUILDS}; SQLite", rebuild_beside, sqlite),
    _figure("rebuild_rate_postgresql", f"{REBUILDS}; PostgreSQL", rebuild_beside, postgresql),
)

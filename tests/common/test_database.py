"""SQLite and PostgreSQL behave alike: transactions, conflicts of writers, and what errors tell."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import insert_new, open_database, upsert, writing
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Recorded
from libs.common.keys import METADATA as KEYS
from libs.common.keys import SqlDataKeys
from libs.common.memory_stream import MemoryStream
from libs.common.positions import METADATA as FOLLOWERS
from stepladder.performance.v1 import events_pb2
from tests.common.test_projecting import EPOCH, Names, running
from tests.common.test_projecting import World as Log
from tests.servers import new_database

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("number", Integer, nullable=False),
)


@pytest.fixture
async def things(engine: AsyncEngine) -> AsyncEngine:
    """A database with an empty table."""
    async with engine.begin() as transaction:
        await transaction.run_sync(METADATA.create_all)
    return engine


async def rows(engine: AsyncEngine) -> list[tuple[str, int]]:
    async with engine.connect() as connection:
        found = await connection.execute(select(THINGS).order_by(THINGS.c.key))
        return [(row.key, row.number) for row in found]


def row(key: str, number: int) -> dict[str, object]:
    return {"kind": "k", "key": key, "number": number}


async def test_a_cancelled_transaction_locks_nobody_out(things: AsyncEngine) -> None:
    """Although somebody holds on to the cancellation, and with it to the cursor that was cut off."""
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n"
    held: list[asyncio.CancelledError] = []
    counting = asyncio.Event()

    async def write_long() -> None:
        try:
            async with writing(things) as transaction:
                await transaction.execute(insert(THINGS), row("a", 1))
                counting.set()
                await transaction.execute(text(count))
        except asyncio.CancelledError as cancelled:
            held.append(cancelled)

    # given
    long = asyncio.create_task(write_long())
    await counting.wait()
    await asyncio.sleep(0.01)
    long.cancel()
    await long
    # when
    async with asyncio.timeout(5), writing(things) as transaction:
        await transaction.execute(insert(THINGS), row("a", 2))
    # then
    assert held
    assert await rows(things) == [("a", 2)]


async def test_a_transaction_that_fails_leaves_nothing_not_even_tables(things: AsyncEngine) -> None:
    """Rows and table definitions are taken back together."""

    async def fail() -> None:
        async with writing(things) as transaction:
            await transaction.execute(insert(THINGS), row("a", 1))
            await transaction.execute(text("CREATE TABLE others (id INTEGER)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with things.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == ["things"]
    assert await rows(things) == []


async def test_a_part_of_a_transaction_can_be_taken_back(things: AsyncEngine) -> None:
    """A savepoint's failure leaves what was done before it."""

    async def fail(transaction: AsyncConnection) -> None:
        async with transaction.begin_nested():
            await transaction.execute(insert(THINGS), row("b", 2))
            await transaction.execute(insert(THINGS), row("a", 3))

    async with writing(things) as transaction:
        await transaction.execute(insert(THINGS), row("a", 1))
        with pytest.raises(DBAPIError):
            await fail(transaction)
    assert await rows(things) == [("a", 1)]


async def test_writers_wait_for_each_other(things: AsyncEngine) -> None:
    """Read, then write, in one process and another at once: none fails half-way and no change is lost."""
    other = open_database(things.url.render_as_string(hide_password=False))
    async with things.begin() as transaction:
        await transaction.execute(insert(THINGS), row("a", 0))

    async def add(engine: AsyncEngine) -> None:
        async with writing(engine) as transaction:
            query = select(THINGS.c.number).where(THINGS.c.key == "a").with_for_update()
            number = await transaction.scalar(query) or 0
            await asyncio.sleep(0.005)
            await transaction.execute(upsert(THINGS, transaction), row("a", number + 1))

    await asyncio.gather(*(add(engine) for engine in (things, other) * 3))
    assert await rows(things) == [("a", 6)]
    await other.dispose()


async def test_readers_do_not_wait_for_a_writer(things: AsyncEngine) -> None:
    """What is not committed is not seen, and keeps nobody from reading."""
    async with writing(things) as transaction:
        await transaction.execute(insert(THINGS), row("a", 1))
        async with asyncio.timeout(5):
            assert await rows(things) == []
    assert await rows(things) == [("a", 1)]


async def test_an_insert_of_what_is_there_leaves_it_alone(things: AsyncEngine) -> None:
    """One row or many, new and known ones together."""
    async with things.begin() as transaction:
        await transaction.execute(insert_new(THINGS, transaction), row("a", 1))
        await transaction.execute(insert_new(THINGS, transaction), [row("a", 2), row("b", 2)])
    assert await rows(things) == [("a", 1), ("b", 2)]


async def test_an_upsert_replaces_what_is_there(things: AsyncEngine) -> None:
    """All columns but the key."""
    async with things.begin() as transaction:
        await transaction.execute(upsert(THINGS, transaction), [row("a", 1), row("b", 2)])
        await transaction.execute(upsert(THINGS, transaction), [row("b", 3), row("c", 4)])
    assert await rows(things) == [("a", 1), ("b", 3), ("c", 4)]


async def test_errors_do_not_show_what_was_written(things: AsyncEngine) -> None:
    """Parameters may be personal, and errors end up in logs; only the database's own words are left as they are."""
    secret = row("Wilhelmine Zauberhaft", 1)
    with pytest.raises(DBAPIError) as failed:
        async with things.begin() as transaction:
            await transaction.execute(insert(THINGS), [secret, secret])
    assert "Zauberhaft" not in str(failed.value).replace(str(failed.value.orig), "")


async def test_sqlite_is_set_up_as_its_contents_deserve(tmp_path: Path) -> None:
    """What can be built anew need not wait for the disk at every commit; keys must."""
    found = []
    for disposable in (False, True):
        engine = open_database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", disposable=disposable)
        async with engine.connect() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            found.append([await connection.scalar(text(f"PRAGMA {name}")) for name in names])
        await engine.dispose()
    full, normal = 2, 1
    assert found == [["wal", full, 1, 15000], ["wal", normal, 1, 15000]]


TROUBLES = {
    "a cut connection": "SELECT pg_terminate_backend(pg_backend_pid())",
    "a full disk": "DO $$ BEGIN RAISE 'no space' USING ERRCODE = '53100'; END $$",
    "too many connections": "DO $$ BEGIN RAISE 'too many' USING ERRCODE = '53300'; END $$",
    "a deadlock": "DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$",
    "a shutdown": "DO $$ BEGIN RAISE 'shutting down' USING ERRCODE = '57P01'; END $$",
}


@pytest.mark.parametrize("statement", TROUBLES.values(), ids=TROUBLES)
async def test_troubles_of_postgresql_are_waited_out(postgres: str, statement: str) -> None:
    """In the middle of a follower's transaction: nothing is parked, and the batch is applied when they are over."""
    engine = open_database(await new_database(postgres))
    Names(metadata := MetaData())
    async with engine.begin() as transaction:
        for tables in (metadata, FOLLOWERS, KEYS):
            await transaction.run_sync(tables.create_all)
    left = 2

    class Troubled(Names):
        async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
            nonlocal left
            await super().apply(rows, events)
            if left:
                left -= 1
                await rows.execute(text(statement))

    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, b"k" * 32))
    log = Log(engine, MemoryStream(EPOCH), codec)
    last = await log.write(("a", "A"), ("b", "B"))
    async with running(log.follower(model=Troubled)) as follower:
        await follower.wait_for(last, 20)
        assert await follower.parked() == []
    assert await log.rows() == [("a", "A"), ("b", "B")]
    await engine.dispose()


async def test_a_cancellation_is_not_waited_out(postgres: str) -> None:
    """It reaches whoever asked for it: otherwise a service that is stopped would go on."""
    engine = open_database(postgres + "/postgres")
    query, asked = text("SELECT pg_sleep(60)"), asyncio.Event()

    async def ask() -> None:
        async with engine.connect() as connection:
            asked.set()
            await connection.execute(query)

    task = asyncio.create_task(ask())
    await asked.wait()
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.dispose()


async def test_mistakes_are_not_waited_out(things: AsyncEngine) -> None:
    """What would fail for ever is no trouble of the moment."""
    for statement in ("INSERT INTO things VALUES ('k', 'a', NULL)", "INSERT INTO things VALUES ('k')"):
        with pytest.raises(DBAPIError) as failed:
            await _run(things, statement)
        if things.dialect.name == "postgresql":  # SQLite calls nearly everything operational
            assert not isinstance(failed.value, OperationalError)


async def _run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as transaction:
        await transaction.execute(text(statement))

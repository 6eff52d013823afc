"""SQL engines for SQLite and PostgreSQL that behave alike."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Insert, Row, Select, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

TROUBLES = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""Of the moment, not of what was asked: the database is away, busy, full or starting."""


def open_database(url: str, *, pool_size: int = 5, disposable: bool = False) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///<file>` or `postgresql+asyncpg://...`.

    Errors never show the parameters of a statement, which may be personal. Troubles of the moment are OperationalError.
    On SQLite: write-ahead log, durable commits, and transactions that also hold for table definitions. A power cut may
    take the last commits of a `disposable` database, rows and positions together: its followers apply them again.
    """
    if not url.startswith("sqlite"):
        engine = create_async_engine(url, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine.sync_engine, "handle_error", _operational, retval=True)
        return engine
    engine = create_async_engine(url, pool_size=pool_size, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not commit before DDL
        cursor = connection.cursor()
        synchronous = "synchronous = NORMAL" if disposable else "synchronous = FULL"
        # A follower's batch touches pages all over its tables: room for 16 MB of them, and a checkpoint each 32 MB.
        room = ("cache_size = -16384", "wal_autocheckpoint = 8192")
        for pragma in ("journal_mode = WAL", synchronous, "busy_timeout = 15000", "foreign_keys = ON", *room):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "invalidate")
    def _let_go(connection: DBAPIConnection, _record: ConnectionPoolEntry, _fault: BaseException | None) -> None:
        # After a cancellation, somebody may still hold its cursor: closed like this, it would keep the lock until that
        # is collected.
        with suppress(sqlite3.Error):
            connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _operational(context: ExceptionContext) -> OperationalError | None:
    """Troubles of the moment by the name that other drivers have for them; asyncpg calls them no more than an error."""
    error = context.original_exception
    if not isinstance(error, Exception):  # a cancellation, on its way to who asked for it
        return None
    state = str(getattr(error, "sqlstate", None) or "")
    # Connection, rollback (deadlock), resources (disk, memory, connections), intervention (shutdown, starting up).
    if not context.is_disconnect and state[:2] not in ("08", "40", "53", "57"):
        return None
    return OperationalError(
        context.statement, None, error, hide_parameters=True, connection_invalidated=context.is_disconnect
    )


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that writes.

    On SQLite, which has one writer at a time, it takes the write lock at once, so that it does not fail half-way. Those
    of a process queue for it; otherwise they would poll for it, in pauses of up to 100 ms.
    """
    queue = _QUEUES.setdefault(engine, asyncio.Lock()) if engine.dialect.name == "sqlite" else nullcontext()
    async with queue, engine.execution_options(sqlite_begin="IMMEDIATE").begin() as transaction:
        yield transaction


_QUEUES: WeakKeyDictionary[AsyncEngine, asyncio.Lock] = WeakKeyDictionary()


def aware(moment: datetime) -> datetime:
    """A moment out of a row. What is stored is UTC, and SQLite drops time zones."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def all_rows(engine: AsyncEngine, query: Select[Any]) -> Sequence[Row[Any]]:
    """What a query finds, read at once."""
    async with engine.connect() as connection:
        return list(await connection.execute(query))


def _insert(table: Table, connection: AsyncConnection) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def insert_new(table: Table, connection: AsyncConnection) -> Insert:
    """An INSERT that leaves existing rows alone."""
    statement: Insert = _insert(table, connection).on_conflict_do_nothing()
    return statement


def upsert(table: Table, connection: AsyncConnection) -> Insert:
    """An INSERT that replaces the other columns of a row with the same primary key."""
    statement = _insert(table, connection)
    keys = [column.name for column in table.primary_key.columns]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    result: Insert = statement.on_conflict_do_update(index_elements=keys, set_=values)
    return result


async def upsert_rows(rows: AsyncConnection, table: Table, values: Sequence[tuple[str | int, ...]]) -> None:
    """Inserts rows in bulk, or replaces those with the same primary key.

    `values` hold all columns of the table in their order, strings and whole numbers only, and no key twice.
    """
    # Few statements of many rows each, past SQLAlchemy's work on every parameter. And on SQLite a statement for each
    # row would give up the interpreter's lock and wait for it again: beside a busy event loop, milliseconds each.
    start = 0
    while start < len(values):
        size = min(512, 1 << (len(values) - start).bit_length() - 1)  # powers of two: few texts, each compiled once
        texts: dict[tuple[str, int], str] = table.info.setdefault("upserts", {})
        key = (rows.dialect.name, size)
        if key not in texts:
            statement = upsert(table, rows).values([dict.fromkeys(table.columns.keys())] * size)
            texts[key] = str(statement.compile(dialect=rows.dialect))
        some = values[start : start + size]
        await rows.exec_driver_sql(texts[key], tuple(chain.from_iterable(some)))
        start += size

"""Backup and restore: the log's streams as of one moment, and what else lies nowhere but in SQL (D1).

One moment, while everything goes on: EVENTS is made from LOG, so its end is looked up before that of LOG. LOG and
LOG_RESTRICTED name events of each other. So the end of LOG is looked up between two looks at LOG_RESTRICTED, until it
has not grown between them: then both ended there at that moment, and whatever an event in them rests on is in them too.
How far webhooks are is read before, and keys behind: no webhook is beyond its stream's end, and no event without its
key.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sqlalchemy import MetaData, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.archive import read_archive, writing_archive
from libs.common.database import aware, writing
from libs.common.envelope import chain_start, payload_hash
from libs.common.errors import NotAllowed, Unavailable
from libs.common.jetstream import JetStreamStream
from libs.common.streams import EVENTS, LOG, LOG_RESTRICTED, MAX_BATCH, STREAMS, Copied, Entry, NoAnswer, Rejected
from stepladder.common.v1.backup_pb2 import BackedUpEvent, BackupPart
from stepladder.common.v1.envelope_pb2 import Envelope

Tell = Callable[[int], None]
"""Told how many events are done so far."""
Streams = Mapping[str, JetStreamStream]
"""All three, by name."""

KIND = "the log"
KEYS_KIND = "keys"
KEYS = "data_keys"
WEBHOOKS = ("webhook_lanes", "webhook_standings", "webhook_waiting", "webhook_attempts")
"""The gateway's tables that are not made from the log."""
ROWS = "rows"
"""File of a backup with rows of SQL tables."""

PART_BYTES = 4_000_000
"""Most events of a part together, beside the number; the same at once go back into the log."""
MOMENT_SECONDS = 60.0
"""How long a moment is looked for in which LOG_RESTRICTED does not grow; a look takes a millisecond."""
DOUBTS = 10
"""So many appends without an answer one after the other are too many."""


@dataclass
class Contents:
    """What was found in a backup of the log that is whole."""

    events: dict[str, int] = field(default_factory=dict)
    """By stream; so many are the positions, too."""
    broken: list[str] = field(default_factory=list)
    """Events (`LOG at 17`) that do not follow from the one before in their aggregate: they were so in the log."""
    people: set[str] = field(default_factory=set)
    """Employees of whom something is sealed in it."""


async def one_moment(streams: Streams) -> dict[str, int]:
    """Where each stream ended at one moment, so that each holds what the events in the others rest on.

    Raises Unavailable `NO_QUIET_MOMENT`.
    """
    restricted = streams[LOG_RESTRICTED]
    try:
        async with asyncio.timeout(MOMENT_SECONDS):
            while True:
                ends = {EVENTS: (await streams[EVENTS].state()).last}
                ends[LOG_RESTRICTED] = (await restricted.state()).last
                ends[LOG] = (await streams[LOG].state()).last
                grown = (await restricted.state()).last > ends[LOG_RESTRICTED]
                if not grown and not any([await _goes_on(streams[name], end) for name, end in ends.items()]):
                    return ends
    except TimeoutError:
        message = f"{LOG_RESTRICTED} was written all the time for {MOMENT_SECONDS:.0f} s; try again when less goes on"
        raise Unavailable("NO_QUIET_MOMENT", message) from None


async def _goes_on(stream: JetStreamStream, end: int) -> bool:
    """Whether what lies at the end was written together with something behind it: half of it is not to be kept."""
    return any([one.more async for one in stream.copy(end - 1, end)]) if end else False


async def copy_stream(folder: Path, stream: JetStreamStream, end: int, tell: Tell) -> dict[str, Any]:
    """Writes a stream up to its `end` into a file of its name; answers what the manifest says of it."""
    with writing_archive(folder, stream.name) as file:
        done = 0
        async with aclosing(_parts(stream.copy(0, end))) as parts:
            async for part in parts:
                for one in part:
                    done += 1
                    if one.position != done:
                        raise NotAllowed("EVENT_MISSING", f"{stream.name} has no event at {done}: it was tampered with")
                events = [
                    BackedUpEvent(
                        position=one.position,
                        subject=one.subject,
                        event_id=one.entry.event_id,
                        type=one.entry.type,
                        written=one.entry.written,
                        payload=one.entry.payload,
                    )
                    for one in part
                ]
                file.add(BackupPart(events=events).SerializeToString())
                tell(done)
    return {"events": end, "digest": file.digest.hex()}


async def _parts(copied: AsyncGenerator[Copied]) -> AsyncGenerator[list[Copied]]:
    """As many at once as one append takes."""
    part: list[Copied] = []
    size = 0
    async for one in copied:
        if part and (len(part) == MAX_BATCH or size + len(one.entry.payload) > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.entry.payload)
    if part:
        yield part


def read_log(folder: Path, manifest: Mapping[str, Any], tell: Tell) -> Contents:
    """Reads a backup of the log from end to end. Raises NotAllowed `BACKUP_DAMAGED`."""
    contents = Contents()
    done = 0
    for name in STREAMS:
        last_hashes: dict[str, bytes] = {}
        contents.events[name] = 0
        for part in _backed_up(folder, manifest, name):
            for event in part:
                contents.events[name] += 1
                if name != EVENTS:
                    _follow_chain(name, event, last_hashes, contents)
            done += len(part)
            tell(done)
        if contents.events[name] != manifest["files"][name]["events"]:
            raise NotAllowed(
                "BACKUP_DAMAGED", f"{folder / name} holds {contents.events[name]} events, not as many as said"
            )
    return contents


def _backed_up(folder: Path, manifest: Mapping[str, Any], name: str) -> Iterator[Sequence[BackedUpEvent]]:
    for part in read_archive(folder, name, manifest["files"][name]["digest"]):
        yield BackupPart.FromString(part).events


def _follow_chain(name: str, event: BackedUpEvent, last_hashes: dict[str, bytes], contents: Contents) -> None:
    try:
        envelope = Envelope.FromString(event.payload)
    except DecodeError:
        envelope = Envelope()
    if envelope.previous_hash != last_hashes.get(event.subject, chain_start(event.subject)):
        contents.broken.append(f"{name} at {event.position}")
    last_hashes[event.subject] = payload_hash(event.payload)
    if envelope.personal.data_subject:
        contents.people.add(envelope.personal.data_subject)


async def fill_stream(folder: Path, manifest: Mapping[str, Any], stream: JetStreamStream, tell: Tell) -> None:
    """Writes what a backup holds of a stream behind what a restore before this one has written of it.

    Raises NotAllowed `WRITTEN_MEANWHILE` when somebody else writes there, and what the log raises.
    """
    last = (await stream.state()).last
    for part in _backed_up(folder, manifest, stream.name):
        doubts = 0
        while rest := [event for event in part if event.position > last]:
            if rest[0].position != last + 1:
                message = f"{stream.name} ends at {last}: somebody else writes there; stop all services, and begin anew"
                raise NotAllowed("WRITTEN_MEANWHILE", message)
            entries = [(one.subject, Entry(one.event_id, one.type, one.payload, one.written)) for one in rest]
            try:
                last = await stream.publish_behind(last, entries)
            except (NoAnswer, Rejected):  # some may have come in: the stream says
                if (found := (await stream.state()).last) == last and (doubts := doubts + 1) == DOUBTS:
                    raise
                last = found
        tell(part[-1].position)


async def compare_stream(folder: Path, manifest: Mapping[str, Any], stream: JetStreamStream, tell: Tell) -> None:
    """Raises NotAllowed `NOT_EQUAL` unless a stream holds what the backup does, byte by byte, and nothing else."""
    end = manifest["files"][stream.name]["events"]
    if (last := (await stream.state()).last) != end:
        raise NotAllowed("NOT_EQUAL", f"{stream.name} ends at {last}, the backup at {end}")
    async with aclosing(stream.copy(0, end)) as copied:
        for part in _backed_up(folder, manifest, stream.name):
            for told in part:
                one = await anext(copied)
                entry = Entry(told.event_id, told.type, told.payload, told.written)
                if (told.position, told.subject, entry) != (one.position, one.subject, one.entry):
                    message = f"the event at {told.position} of {stream.name} is not that of the backup: begin anew"
                    raise NotAllowed("NOT_EQUAL", message)
            tell(part[-1].position)


async def rows_of(engine: AsyncEngine, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some tables, each as JSON takes it, with its `table`."""
    async with engine.connect() as connection:
        return await _rows(connection, await _tables(connection, names))


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Writes rows into a backup; answers what the manifest says of them."""
    with writing_archive(folder, ROWS) as file:
        for first in range(0, len(rows), MAX_BATCH):
            file.add(json.dumps(rows[first : first + MAX_BATCH]).encode())
    return {"rows": len(rows), "digest": file.digest.hex()}


def read_rows(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a backup holds. Raises NotAllowed `BACKUP_DAMAGED`."""
    return [row for part in read_archive(folder, ROWS, manifest["files"][ROWS]["digest"]) for row in json.loads(part)]


async def restore_rows(engine: AsyncEngine, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Puts rows into tables that are empty, or leaves them where a restore before this one has put them.

    Raises NotAllowed `NOT_EMPTY`.
    """
    async with writing(engine) as transaction:
        tables = await _tables(transaction, names)
        if found := await _rows(transaction, tables):
            if _sorted(found) != _sorted(rows):
                raise NotAllowed(
                    "NOT_EMPTY", f"{' or '.join(names)} holds rows: a backup goes into an empty database only"
                )
            return
        for table in tables:
            mine = [_from_json(table, row) for row in rows if row["table"] == table.name]
            if mine:
                await transaction.execute(insert(table), mine)


def bytes_of(value: str) -> bytes:
    """Bytes of a column, out of a row as JSON takes it."""
    return base64.b64decode(value)


def erase_again(rows: Sequence[dict[str, Any]], erased: Mapping[str, str]) -> int:
    """Takes the keys out of a backup of keys that were erased after it; answers how many.

    `erased` says of whom, and when, as a backup of the log tells.
    """
    gone = [row for row in rows if row["wrapped"] is not None and row["employee_id"] in erased]
    for row in gone:
        row |= {"wrapped": None, "erased_time": erased[row["employee_id"]]}
    return len(gone)


async def _tables(connection: AsyncConnection, names: Sequence[str]) -> list[Table]:
    metadata = MetaData()
    await connection.run_sync(lambda sync: metadata.reflect(sync, only=names))
    return [metadata.tables[name] for name in names]


async def _rows(connection: AsyncConnection, tables: Sequence[Table]) -> list[dict[str, Any]]:
    return [
        {"table": table.name, **{name: _to_json(value) for name, value in row._mapping.items()}}
        for table in tables
        for row in await connection.execute(select(table))
    ]


def _to_json(value: Any) -> Any:
    match value:
        case datetime():
            return aware(value).isoformat()
        case bytes():
            return base64.b64encode(value).decode()
    return value


def _from_json(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    reading: dict[type, Callable[[str], Any]] = {datetime: datetime.fromisoformat, bytes: bytes_of}
    values: dict[str, Any] = {}
    for column in table.columns:
        read, value = reading.get(column.type.python_type), row[column.name]
        values[column.name] = read(value) if read and value is not None else value
    return values


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)

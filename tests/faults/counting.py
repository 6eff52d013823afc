"""A follower as a process of its own that counts events, so that one applied twice or never shows.

`python -m tests.faults.counting <nats url> <database file> [<instance>]` runs it as it should be. Negative controls:
with `careless` in place of the instance it acknowledges messages to the server and keeps no position, so a kill between
commit and acknowledgement counts events twice; with `unfenced` behind it, it goes on when another has taken over.
"""

import asyncio
import base64
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import nats
from nats.js.api import AckPolicy, ConsumerConfig
from sqlalchemy import Column, Integer, MetaData, String, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import keys, positions
from libs.common.database import open_database, upsert, writing
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Recorded
from libs.common.jetstream import JetStreamStream, connect
from libs.common.keys import SqlDataKeys
from libs.common.projecting import Follower, ReadModel
from libs.common.reading import Reading
from stepladder.coaching.v1 import events_pb2 as coaching
from stepladder.performance.v1 import events_pb2 as performance
from stepladder.promotion.v1 import events_pb2 as promotion


class Counting(ReadModel):
    """Rows: events of each aggregate, and those that came behind a later one. A second application is not harmless."""

    name = "counting"
    version = 1
    subjects = ("log.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.counts = Table(
            f"counts{suffix}",
            metadata,
            Column("subject", String, primary_key=True),
            Column("events", Integer),
            Column("position", Integer),
            Column("disordered", Integer),
        )
        self.tables = (self.counts,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        await self.count(rows, [(event.subject, event.position) for event in events])

    async def count(self, rows: AsyncConnection, events: Sequence[tuple[str, int]]) -> None:
        """By subject and position in the log."""
        for subject, position in events:
            known = (await rows.execute(select(self.counts).where(self.counts.c.subject == subject))).first()
            counted, last, disordered = (known.events, known.position, known.disordered) if known else (0, 0, 0)
            values = {"subject": subject, "events": counted + 1, "position": max(last, position)}
            await rows.execute(upsert(self.counts, rows), {**values, "disordered": disordered + (position <= last)})

    async def read(self, engine: AsyncEngine) -> dict[str, int]:
        async with engine.connect() as connection:
            return {row.subject: row.events for row in await connection.execute(select(self.counts))}

    async def disordered(self, engine: AsyncEngine) -> list[str]:
        """Subjects of which an event was applied behind a later one, or twice."""
        async with engine.connect() as connection:
            query = select(self.counts.c.subject).where(self.counts.c.disordered > 0)
            return list(await connection.scalars(query))

    async def total(self, engine: AsyncEngine) -> int:
        async with engine.connect() as connection:
            return await connection.scalar(select(func.sum(self.counts.c.events))) or 0


class Unfenced(Follower):
    """Moves the position whoever owns it."""

    async def move(self, transaction: AsyncConnection, position: int) -> None:
        mine = positions.FOLLOWERS.c.name == self.name
        await transaction.execute(update(positions.FOLLOWERS).where(mine).values(position=position))


def now() -> datetime:
    return datetime.now(UTC)


async def follow(nats_url: str, database: str, instance: str = "counting", kind: str = "") -> None:
    """Counts as a follower does, until killed."""
    engine = open_database(f"sqlite+aiosqlite:///{database}")
    metadata = MetaData()
    model = Counting(metadata)
    async with engine.begin() as transaction:
        for tables in (metadata, positions.METADATA, keys.METADATA):
            await transaction.run_sync(tables.create_all)
    client = await connect(nats_url, urlsplit(nats_url).username or "counting")
    types = event_types([performance.DESCRIPTOR, coaching.DESCRIPTOR, promotion.DESCRIPTOR])
    codec = Codec(types, SqlDataKeys(engine, base64.b64decode("A" * 43 + "=")))
    follower = Unfenced if kind == "unfenced" else Follower
    await follower(model, Reading(JetStreamStream(client), codec), engine, instance=instance, now=now).run()


async def follow_carelessly(nats_url: str, database: str) -> None:
    """Counts with a durable consumer, explicit acknowledgements and no position."""
    engine = open_database(f"sqlite+aiosqlite:///{database}")
    metadata = MetaData()
    model = Counting(metadata)
    async with engine.begin() as transaction:
        await transaction.run_sync(metadata.create_all)
    client = await nats.connect(nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    settings = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=0.5)
    consumer = await client.jetstream().pull_subscribe("log.>", durable="careless", stream="LOG", config=settings)
    while True:
        try:
            messages = await consumer.fetch(20, timeout=1)
        except (nats.errors.Error, TimeoutError):
            continue
        async with writing(engine) as transaction:
            await model.count(
                transaction, [(message.subject, message.metadata.sequence.stream) for message in messages]
            )
        for message in messages:
            await message.ack()


if __name__ == "__main__":
    url, file, *rest = sys.argv[1:]
    if rest == ["careless"]:
        asyncio.run(follow_carelessly(url, file))
    else:
        asyncio.run(follow(url, file, *rest))

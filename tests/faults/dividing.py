"""A replica as a process of its own whose followers fold what each employee's events are, in their order.

`python -m tests.faults.dividing <nats url> <database url> <instance> <partitions>` runs it as it should be. With words
behind that it is a negative control: `unfenced` commits whoever owns the position by then, `random` puts employees
where this process pleases. With `slow`, effects take their time.
"""

import asyncio
import base64
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import keys, positions, projecting
from libs.common.background import ended
from libs.common.database import open_database, upsert
from libs.common.dividing import DividedFollower
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Recorded
from libs.common.jetstream import JetStreamStream, connect
from libs.common.keys import SqlDataKeys
from libs.common.partitions import Sharing
from libs.common.positions import FOLLOWERS
from libs.common.projecting import Follower, ReadModel
from libs.common.reading import Reading
from libs.common.replicas import Replicas
from stepladder.performance.v1 import events_pb2

LEASE_SECONDS = 3.0
WHOLE = ("alone", "second", "third")
"""Followers that are not divided, the same otherwise."""


class Fold(ReadModel):
    """Rows: how many events each employee has, and a digest of their positions in order; and who applied each event.

    Nothing makes a second application harmless, nor another order.
    """

    version = 1
    subjects = ("log.performance.facts.*", "log.performance.employee.*")
    sharing = Sharing(by_month=("log.performance.facts.*",), by_id=("log.performance.employee.*",))

    def __init__(self, metadata: MetaData, name: str, instance: str = "") -> None:
        self.name = name
        self._instance = instance
        self.slow_seconds = 0.0
        self.folds = Table(
            f"folds_{name}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("events", Integer, nullable=False),
            Column("digest", String, nullable=False),
        )
        self.applied = Table(
            f"applied_{name}", metadata, Column("position", BigInteger), Column("instance", String, nullable=False)
        )
        self.tables = (self.folds, self.applied)

    async def act(self, events: Sequence[Recorded]) -> None:
        await asyncio.sleep(self.slow_seconds)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        if not events:
            return
        found = await rows.execute(
            select(self.folds).where(self.folds.c.employee_id.in_({whose(one) for one in events}))
        )
        folds = {row.employee_id: (row.events, row.digest) for row in found}
        for event in events:
            count, digest = folds.get(whose(event), (0, ""))
            folds[whose(event)] = (count + 1, after(digest, event.position))
        values = [{"employee_id": one, "events": count, "digest": digest} for one, (count, digest) in folds.items()]
        await rows.execute(upsert(self.folds, rows), values)
        by = [{"position": event.position, "instance": self._instance} for event in events]
        await rows.execute(insert(self.applied), by)

    async def read(self, engine: AsyncEngine) -> dict[str, tuple[int, str]]:
        """Events and digest of each employee."""
        async with engine.connect() as connection:
            return {row.employee_id: (row.events, row.digest) for row in await connection.execute(select(self.folds))}

    async def shares(self, engine: AsyncEngine) -> dict[str, int]:
        """How many events each instance has applied."""
        columns = self.applied.c
        async with engine.connect() as connection:
            query = select(columns.instance, func.count().label("events")).group_by(columns.instance)
            return {row.instance: row.events for row in await connection.execute(query)}


def whose(event: Recorded) -> str:
    """The employee that an event is about, by its subject."""
    kind, _, aggregate_id = event.subject.rpartition(".")
    return aggregate_id if kind.endswith("employee") else aggregate_id.rpartition("_")[0]


def after(digest: str, position: int) -> str:
    """The digest of one event more."""
    return sha256(f"{digest} {position}".encode()).hexdigest()


def now() -> datetime:
    return datetime.now(UTC)


async def move_unfenced(self: Follower, transaction: AsyncConnection, position: int) -> None:
    """What `Follower.move` must not be: it asks nobody who owns the position."""
    mine = FOLLOWERS.c.name == self.name
    await transaction.execute(update(FOLLOWERS).where(mine).values(position=position, beat_time=now()))


async def follow(nats_url: str, database: str, instance: str, partitions: int, flaws: Sequence[str]) -> None:
    """Follows until asked to stop."""
    projecting.LEASE_SECONDS = LEASE_SECONDS
    if "unfenced" in flaws:
        Follower.move = move_unfenced  # type: ignore[method-assign] # the flaw
    if "random" in flaws:  # another place for the same employee in each process
        Sharing.number = lambda _, subject, of: hash(subject) % of  # type: ignore[assignment,method-assign] # the flaw
    engine, client = open_database(database), await connect(nats_url, instance)
    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, base64.b64decode("A" * 43 + "=")))
    metadata, reading = MetaData(), Reading(JetStreamStream(client), codec)
    shared = Fold(metadata, "shared", instance)
    shared.slow_seconds = LEASE_SECONDS if "slow" in flaws else 0.0
    followers: list[Follower | DividedFollower] = [
        DividedFollower(shared, reading, engine, instance=instance, now=now, partitions=partitions),
        *(Follower(Fold(metadata, name, instance), reading, engine, instance=instance, now=now) for name in WHOLE),
    ]
    running = asyncio.create_task(Replicas(engine, followers, instance=instance, now=now).run())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await ended({running})
    await client.close()
    await engine.dispose()


async def make_tables(engine: AsyncEngine) -> None:
    """What every replica needs, in an empty database."""
    metadata = MetaData()
    for name in ("shared", *WHOLE):
        Fold(metadata, name)
    async with engine.begin() as transaction:
        for tables in (metadata, positions.METADATA, keys.METADATA):
            await transaction.run_sync(tables.create_all)


if __name__ == "__main__":
    url, where, name, count, *rest = sys.argv[1:]
    asyncio.run(follow(url, where, name, int(count), rest))

"""Replicas of a service share its followers out among each other, each by what the rows say and with nobody's help.

Of the followers that are whole, and of each divided one's parts, nobody runs more than ceil(all / replicas that are
alive). Whoever has more gives up what is above, at the end of a batch; whoever has less takes what is free. Replicas of
another version of the code, which may be unable to follow what these do, have no share of it: they get what is let go.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import structlog
from sqlalchemy import Column, DateTime, Row, String, Table, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import projecting
from libs.common.background import ended, in_background
from libs.common.database import aware, upsert, writing
from libs.common.dividing import DividedFollower
from libs.common.leases import Leases
from libs.common.parking import RETRY
from libs.common.positions import FOLLOWERS, METADATA
from libs.common.projecting import Follower

logger = structlog.get_logger()

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("instance", String, primary_key=True),
    Column("beat_time", DateTime(timezone=True), nullable=False),  # its last sign of life
    Column("follows", String, nullable=False),  # a digest of its followers and of the versions of their rows
)

LOOK_SECONDS = 0.5
"""How often a replica looks what is its share."""
FORGET = timedelta(hours=1)
"""How long the row of one that has died is kept."""


def share(owners: Mapping[str, str], instance: str, alive: int) -> set[str]:
    """Which of some followers an instance is to run.

    Args:
        owners: of each by name the instance that runs it; empty: nobody.
        alive: how many instances share them, this one included.
    """
    most = -(-len(owners) // alive)
    mine = sorted(name for name, owner in owners.items() if owner == instance)
    # Those who come at once begin at different ones.
    free = sorted(
        (name for name, owner in owners.items() if not owner), key=lambda name: crc32(f"{instance} {name}".encode())
    )
    return set([*mine, *free][:most])


class Replicas:
    """Runs the share of this replica, while it is asked to."""

    def __init__(
        self,
        engine: AsyncEngine,
        followers: Iterable[Follower | DividedFollower],
        *,
        instance: str,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._whole = [one for one in followers if isinstance(one, Follower)]
        self._divided = [one for one in followers if isinstance(one, DividedFollower)]
        self._instance = instance
        self._now = now
        self._leases = Leases(now)
        self._running: dict[Follower, asyncio.Task[None]] = {}
        handlers = [*(one.handler for one in self._whole), *(one.handler for one in self._divided)]
        versions = sorted((one.name, one.version) for one in handlers)
        self._follows = f"{crc32(repr(versions).encode()):08x}"

    async def run(self) -> None:
        """Runs them until cancelled; then lets go of them at once."""
        try:
            async with in_background(self._beating()):
                while True:
                    try:
                        await self._look()
                    except RETRY as trouble:
                        logger.warning("replica_retries", error=type(trouble).__name__)
                    except Exception:  # nobody would start it again
                        logger.exception("replica_failed")
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            await ended(set(self._running.values()))
            with suppress(*RETRY):
                await asyncio.shield(self._leave())

    async def _beating(self) -> None:
        """Gives signs of life, however long anything else takes."""
        while True:
            with suppress(*RETRY):
                await self._beat()
            await asyncio.sleep(projecting.LEASE_SECONDS / 4)

    async def _beat(self) -> None:
        async with writing(self._engine) as transaction:
            mine = {"instance": self._instance, "beat_time": self._now(), "follows": self._follows}
            await transaction.execute(upsert(REPLICAS, transaction), mine)
            await transaction.execute(delete(REPLICAS).where(REPLICAS.c.beat_time < self._now() - FORGET))

    async def _leave(self) -> None:
        async with writing(self._engine) as transaction:
            await transaction.execute(delete(REPLICAS).where(REPLICAS.c.instance == self._instance))

    async def _look(self) -> None:
        """Starts and ends followers, so that they are this replica's share."""
        async with self._engine.connect() as connection:
            rows = {row.name: row for row in await connection.execute(select(FOLLOWERS))}
            beats = (await connection.execute(select(REPLICAS).where(REPLICAS.c.follows == self._follows))).all()
        for divided in self._divided:
            head = rows.get(divided.name)
            if (head.partitions if head else 1) != len(divided.parts):
                await self._divide(divided)
        seen = {row.instance for row in beats if not self._is_silent(row.instance, row.beat_time)}
        alive = len({self._instance, *seen})
        mine = {one for group in self._groups() for one in self._share_of(group, rows, alive)}
        for follower in mine - self._running.keys():
            self._running[follower] = asyncio.create_task(follower.run())
        await self._end(self._running.keys() - mine)
        others = [one for group in self._groups() for one in group if one not in mine]
        idle = [one.name for one in others if not one.stepping.locked()]  # an operator's work may have taken it over
        await self._let_go([name for name in idle if name in rows and rows[name].owner == self._instance])

    async def _let_go(self, names: Sequence[str]) -> None:
        """Gives back what is not run here though it is owned: from a life before, or ended while it began."""
        if names:
            mine = FOLLOWERS.c.name.in_(names) & (FOLLOWERS.c.owner == self._instance)
            async with writing(self._engine) as transaction:
                await transaction.execute(update(FOLLOWERS).where(mine).values(owner=""))

    async def _divide(self, divided: DividedFollower) -> None:
        partitions = await divided.agree()
        if partitions != len(divided.parts):
            await self._end(self._running.keys() & set(divided.parts))
            divided.divide(partitions)

    def _groups(self) -> Sequence[Sequence[Follower]]:
        return [self._whole, *(divided.parts for divided in self._divided)]

    def _share_of(self, group: Sequence[Follower], rows: Mapping[str, Row[Any]], alive: int) -> list[Follower]:
        owners = {one.name: self._owner(one, rows.get(one.name)) for one in group}
        mine = share(owners, self._instance, alive)
        return [one for one in group if one.name in mine]

    def _owner(self, follower: Follower, row: Row[Any] | None) -> str:
        """Who runs a follower, or is about to here; empty: nobody, or somebody who has died."""
        if row is not None and row.owner not in ("", self._instance) and not self._is_silent(row.name, row.beat_time):
            return str(row.owner)
        here = follower in self._running or (row is not None and row.owner == self._instance)
        return self._instance if here else ""

    def _is_silent(self, whose: str, beat: datetime) -> bool:
        return self._leases.has_ended(whose, aware(beat), projecting.LEASE_SECONDS)

    async def _end(self, followers: Collection[Follower]) -> None:
        """Ends some, each behind the batch that it is at."""

        async def end(follower: Follower) -> None:
            task = self._running[follower]
            async with follower.stepping:
                task.cancel()
            await ended({task})
            del self._running[follower]  # not before: whoever is stopped meanwhile has to end it, too

        await asyncio.gather(*(end(one) for one in list(followers)))

"""A follower that is divided: partitions of its events, each followed by itself, in whichever replica.

Into how many is kept with the positions, and is the same for all replicas, whatever their settings say. It grows where
each new part can begin at the position of an old one: by multiples. Another number comes by a rebuild, which ends with
everything at one position.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import insert_new, writing
from libs.common.errors import Conflict, NotFound
from libs.common.eventsourcing import Recorded
from libs.common.parking import ParkedAggregate
from libs.common.partitions import Partition, name_of
from libs.common.positions import FOLLOWERS, PARKED
from libs.common.projecting import Divisible, Follower, Standing, State, fresh, wait_for
from libs.common.reading import Reading

logger = structlog.get_logger()

DIVIDED = "divided"
"""Owns the row by a divided follower's own name, for ever: replicas of before there were partitions leave it alone."""
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class DividedFollower:
    """Followers of one handler, a partition each; to reads and operators one follower. See `Follower`."""

    def __init__(
        self,
        handler: Divisible,
        reading: Reading[Recorded],
        engine: AsyncEngine,
        *,
        instance: str,
        now: Callable[[], datetime],
        partitions: int,
    ) -> None:
        self.handler = handler
        self.engine = engine
        self.stream = reading.stream
        self.wanted = partitions
        """Into how many it is to be divided, by the settings."""
        self.rebuilding = False
        self.parts: Sequence[Follower] = ()
        self._reading = reading
        self._instance = instance
        self._now = now
        self.divide(partitions)

    @property
    def name(self) -> str:
        """By which operators know it."""
        return self.handler.name

    @property
    def state(self) -> State:
        """Stopped if any part is; running if any runs here."""
        states = {part.state for part in self.parts}
        return next(one for one in (State.STOPPED, State.RUNNING, State.STANDBY) if one in states)

    def divide(self, partitions: int) -> None:
        """Follows by so many parts from now on; whoever calls has ended those of before."""
        self.parts = self._divided(partitions)

    def _divided(self, partitions: int) -> list[Follower]:
        return [
            Follower(
                self.handler,
                self._reading,
                self.engine,
                instance=self._instance,
                now=self._now,
                partition=Partition(self.handler.sharing, number, partitions) if partitions > 1 else None,
            )
            for number in range(partitions)
        ]

    async def agree(self) -> int:
        """Into how many it is divided, for all replicas: as wanted, where that can be said of the rows there are."""
        state = await self.stream.state()
        async with writing(self.engine) as transaction:
            await transaction.execute(insert_new(FOLLOWERS, transaction), fresh(self.handler, state, self._now()))
            rows = await rows_of(transaction, self.name)
            if self.wanted > len(rows) and self.wanted % len(rows) == 0:
                await self._multiply(transaction, rows)
                return self.wanted
        if self.wanted != len(rows):
            logger.warning("partitions_differ", follower=self.name, partitions=len(rows), setting=self.wanted)
        return len(rows)

    async def lay_out_anew(self, transaction: AsyncConnection, position: int) -> Sequence[Follower]:
        """Divides it as wanted, whatever it was before, with all parts at one position. Answers them."""
        rows = await rows_of(transaction, self.name)
        await lay_out(transaction, self.name, rows, [position] * self.wanted)
        return self._divided(self.wanted)

    async def _multiply(self, transaction: AsyncConnection, rows: Sequence[Row[tuple[object, ...]]]) -> None:
        """Divides each part further. What was parked goes with its aggregate."""
        positions = [rows[number % len(rows)].position for number in range(self.wanted)]
        parked = [
            row._mapping
            for part in rows
            for row in await transaction.execute(select(PARKED).where(PARKED.c.follower == part.name))
        ]
        await lay_out(transaction, self.name, rows, positions)
        await transaction.execute(delete(PARKED).where(PARKED.c.follower.in_([row.name for row in rows])))
        values = []
        for number in range(self.wanted):
            mine, before = Partition(self.handler.sharing, number, self.wanted), rows[number % len(rows)].name
            name = name_of(self.name, number, self.wanted)
            values += [
                {**row, "follower": name} for row in parked if row["follower"] == before and mine.takes(row["subject"])
            ]
        if values:
            await transaction.execute(insert(PARKED), values)
        logger.info("follower_divided", follower=self.name, partitions=self.wanted)

    async def wait_for(self, position: int, seconds: float) -> None:
        """Returns when all parts have come to a position. See `Follower.wait_for`."""
        await wait_for(self.parts, position, seconds)

    async def catch_up(self, seconds: float) -> None:
        """Returns when everything in the log that concerns it is applied or parked. Raises as `wait_for`."""
        await self.wait_for(await self.parts[0].last_relevant(), seconds)

    async def standing(self) -> Standing:
        """That of the part which is furthest behind, with what all have parked."""
        found = [await part.standing() for part in self.parts]
        last = min(found, key=lambda one: one.position)
        moved = [one.moved for one in found if one.moved]
        return Standing(
            name=self.name,
            state=self.state,
            position=last.position,
            end=last.end,
            lag=last.lag,
            lag_seconds=last.lag_seconds,
            parked=sum(one.parked for one in found),
            moved=max(moved, default=None),
            error=next((one.error for one in found if one.error), ""),
            deadlines=0,
            next_deadline=None,
        )

    async def parked(self) -> list[ParkedAggregate]:
        """Parked aggregates, the longest parked first. One whose events all parts know may be there several times."""
        found = [one for part in self.parts for one in await part.parked()]
        return sorted(found, key=lambda one: one.position)

    async def retry(self, subject: str) -> int:
        """As `Follower.retry`, in every part that has parked something of the aggregate."""
        return sum([await part.retry(subject) for part in await self._with_parked(subject)])

    async def skip(self, subject: str, position: int, reason: str, actor: str) -> int:
        """As `Follower.skip`, in every part that has parked the event."""
        return sum([await part.skip(subject, position, reason, actor) for part in await self._with_parked(subject)])

    async def _with_parked(self, subject: str) -> Sequence[Follower]:
        async with self.engine.connect() as connection:
            query = select(PARKED.c.follower).where(PARKED.c.subject == subject)
            names = set(await connection.scalars(query))
        found = [part for part in self.parts if part.name in names]
        if not found:
            raise NotFound("NOTHING_PARKED", f"nothing of {subject} is parked at {self.name}")
        return found


async def rows_of(transaction: AsyncConnection, name: str) -> Sequence[Row[tuple[object, ...]]]:
    """The rows of a follower's parts in their order, which stay as they are until the transaction ends.

    Raises Conflict when another replica has laid them out anew while they were waited for.
    """
    columns = FOLLOWERS.c
    head = (await transaction.execute(select(FOLLOWERS).where(columns.name == name).with_for_update())).one_or_none()
    if head is None:  # PostgreSQL waited for the row, which is gone, and does not look for the one in its place
        raise Conflict("DIVIDED_MEANWHILE", f"another replica has just divided {name}; try again")
    names = [name_of(name, number, head.partitions) for number in range(head.partitions)]
    found = await transaction.execute(
        select(FOLLOWERS).where(columns.name.in_(names)).order_by(columns.name).with_for_update()
    )
    by_name = {row.name: row for row in found}
    return [by_name[one] for one in names]


async def lay_out(
    transaction: AsyncConnection, name: str, rows: Sequence[Row[tuple[object, ...]]], positions: Sequence[int]
) -> None:
    """Puts a follower's parts at some positions, in the place of its `rows`. Whoever owned one of these is fenced."""
    columns, epoch = FOLLOWERS.c, 1 + max(row.epoch for row in rows)
    first = {**rows[0]._mapping, "epoch": epoch, "owner": "", "partitions": len(positions)}
    await transaction.execute(delete(FOLLOWERS).where(columns.name.in_([name, *(row.name for row in rows)])))
    laid = [
        {**first, "name": name_of(name, number, len(positions)), "position": position}
        for number, position in enumerate(positions)
    ]
    if len(positions) > 1:
        laid.append({**first, "name": name, "position": min(positions), "owner": DIVIDED, "beat_time": FOR_EVER})
    await transaction.execute(insert(FOLLOWERS), laid)

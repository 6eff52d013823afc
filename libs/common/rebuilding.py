"""Rebuild of a follower from the first event: beside the live one, which goes on, then compared and swapped.

A policy has no rows: it reacts to every event again. What it has done stays as it is, since its commands carry the same
ids; what a restored log has lost is done again.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import MetaData, Table, and_, delete, func, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import writing
from libs.common.dividing import DividedFollower
from libs.common.errors import NotAllowed, Unavailable
from libs.common.parking import RETRY, Parking, apply_each, sort
from libs.common.positions import FOLLOWERS, PARKED, SKIPPED
from libs.common.projecting import Fenced, Follower, Handler, ReadModel, State, not_owner
from libs.common.reading import BATCH, hear
from libs.common.streams import Feed

CATCH_UP_SECONDS = 60.0
"""How long the live follower may take to come to where a rebuild is."""
MARK = "__r"
"""Stands in the names of tables being built, before what makes them unique: an index keeps its name for ever."""


@dataclass(frozen=True)
class Progress:
    """How far a rebuild is; the last one is `done` and counts the rows that came out differently."""

    position: int
    end: int
    done: bool = False
    changed_rows: int = 0


async def rebuild(follower: Follower | DividedFollower) -> AsyncGenerator[Progress]:
    """Rebuilds what a follower has made of the log; a divided one has as many parts then as its settings say.

    It may run anywhere: at the end it is taken over, for as long as the tables change places. Raises NotAllowed
    `REBUILDING` while another rebuild is under way here, `NOT_OWNER` where another instance has taken it over, or keeps
    rows of another version; and what the database or the log raise. Then everything is as it was.
    """
    if follower.rebuilding:
        raise NotAllowed("REBUILDING", f"{follower.handler.name} is being rebuilt already")
    follower.rebuilding = True
    try:
        async with aclosing(_rebuild(follower)) as steps:
            async for progress in steps:
                yield progress
    except Fenced as fenced:
        raise not_owner(follower.handler.name) from fenced
    finally:
        follower.rebuilding = False


async def _rebuild(follower: Follower | DividedFollower) -> AsyncGenerator[Progress]:
    live, parts = follower.handler, follower.parts
    elsewhere = follower.state is State.STANDBY
    stopped = follower.state is State.STOPPED or (elsewhere and await parts[0].needs_rebuild())
    if stopped and not all([await part.claim(to_rebuild=True) for part in parts]):
        raise not_owner(live.name)
    state = await follower.stream.state()
    beside = live
    async with writing(follower.engine) as transaction:
        if isinstance(live, ReadModel):
            await _drop_left_overs(transaction, live)
            beside = type(live)(metadata := MetaData(), MARK + token_hex(4))
            await transaction.run_sync(metadata.create_all)
        skipped = set(await transaction.scalars(select(SKIPPED.c.position).where(SKIPPED.c.follower == live.name)))
    work = _Rebuild(follower, beside, skipped, stopped=stopped)
    async with follower.stream.feed(live.subjects, 0) as feed:
        yield Progress(0, state.last)
        while await work.step(feed, wait_seconds=1.0) and feed.pending:
            yield Progress(work.position, max(state.last, work.position))
        if not stopped:
            await follower.wait_for(work.position, CATCH_UP_SECONDS)
        async with AsyncExitStack() as standing_still:
            # Live followers wait while the last events are applied and the tables change places.
            for part in parts:
                await standing_still.enter_async_context(part.stepping if stopped else part.owned())
            end = max(part.position for part in parts)
            if stopped or len(parts) > 1:
                relevant = await parts[0].last_relevant()
                end = relevant if stopped else min(end, relevant)  # a part's position may be behind the last event
            while work.position < end:
                if not await work.step(feed, wait_seconds=5.0, end=end):
                    raise Unavailable("LOG_UNAVAILABLE", f"the log fell silent at {work.position} of {end}; try again")
            changed = await work.swap(state.created)
    yield Progress(work.position, max(state.last, work.position), done=True, changed_rows=changed)


class _Rebuild:
    """`stopped` says that the live rows are of another log or version, and that nobody keeps them up to date."""

    def __init__(
        self, follower: Follower | DividedFollower, beside: Handler, skipped: set[int], *, stopped: bool
    ) -> None:
        self._follower = follower
        self._parts = follower.parts
        self._beside = beside
        self._skipped = skipped
        self._stopped = stopped
        self._parkings: list[Parking] = []
        self._poisoned: set[str] = set()
        self.position = 0

    async def step(self, feed: Feed, wait_seconds: float, end: int | None = None) -> bool:
        """Applies the next batch, up to `end` if told so; false when there was none."""
        entries = await feed.next(BATCH, wait_seconds)
        if end is not None:
            entries = [entry for entry in entries if entry.position <= end]
        wanted = [entry for entry in entries if entry.position not in self._skipped]
        events, parkings = sort([await hear(self._parts[0].codec, entry) for entry in wanted], self._poisoned)
        try:
            await self._parts[0].act(events)
            async with self._owning() as transaction:
                await self._beside.apply(transaction, events)
        except (Fenced, *RETRY):
            raise
        except Exception:  # whichever event it is, one by one finds it
            sound, failed = await self._parts[0].act_each(events, self._poisoned)
            async with self._owning() as transaction:
                parkings += failed + await apply_each(self._beside.apply, transaction, sound, self._poisoned)
        self._parkings += parkings
        if entries:
            self.position = entries[-1].position
        return bool(entries)

    async def swap(self, stream_created: object) -> int:
        """Puts the new rows in the place of the old in one transaction; answers how many differ."""
        follower, live = self._follower, self._follower.handler
        position = self.position if self._stopped else max(self.position, *(part.position for part in self._parts))
        names = {live.name, *(part.name for part in self._parts)}
        mine = FOLLOWERS.c.name.in_(names)
        changed = 0
        async with writing(follower.engine) as transaction:
            for part in self._parts:
                await part.move(transaction, position)
            version = await transaction.scalar(select(func.max(FOLLOWERS.c.version)).where(mine))
            for old, new in zip(live.tables, self._beside.tables, strict=True):
                if old.info.get("delivery") and not self._stopped:
                    # What was delivered is not due again, and what the clock found stays.
                    await transaction.execute(text(f'DROP TABLE "{new.name}"'))
                    continue
                if version == live.version:  # others have other columns
                    changed += await _differing(transaction, old, new)
                await transaction.execute(text(f'DROP TABLE "{old.name}"'))
                await transaction.execute(text(f'ALTER TABLE "{new.name}" RENAME TO "{old.name}"'))
            fitting = update(FOLLOWERS).where(mine).values(version=live.version, stream_created=stream_created)
            await transaction.execute(fitting)
            await transaction.execute(delete(PARKED).where(PARKED.c.follower.in_(names)))
            parts = self._parts
            if isinstance(follower, DividedFollower) and follower.wanted != len(parts):
                parts = await follower.lay_out_anew(transaction, position)
            for part in parts:
                await part.park(transaction, [one for one in self._parkings if part.takes(one.subject)])
        for part in self._parts:
            part.poisoned = {one for one in self._poisoned if part.takes(one)}
            await part.moved_to(position)
        return changed

    @asynccontextmanager
    async def _owning(self) -> AsyncIterator[AsyncConnection]:
        """A transaction; of a stopped follower, which gives no signs of life itself, with one."""
        async with writing(self._follower.engine) as transaction:
            for part in self._parts if self._stopped else ():
                await part.move(transaction, part.position)
            yield transaction


async def _differing(connection: AsyncConnection, old: Table, new: Table) -> int:
    """How many rows of either have no equal in the other; found by primary key."""
    equal = and_(
        *(mine.is_not_distinct_from(new.c[mine.name]) if mine.nullable else mine == new.c[mine.name] for mine in old.c)
    )
    counts = [
        await connection.scalar(select(func.count()).select_from(rows)) or 0
        for rows in (old, new, old.join(new, equal))
    ]
    return counts[0] + counts[1] - 2 * counts[2]


async def _drop_left_overs(transaction: AsyncConnection, live: ReadModel) -> None:
    """Removes what a rebuild that was killed has left."""
    names = await transaction.run_sync(lambda connection: inspect(connection).get_table_names())
    for table in live.tables:
        for name in names:
            if name.startswith(f"{table.name}{MARK}"):
                await transaction.execute(text(f'DROP TABLE "{name}"'))

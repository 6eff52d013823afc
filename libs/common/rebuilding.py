"""Rebuild of a read model: beside the live one, which goes on answering, then compared and swapped."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from secrets import token_hex
from typing import cast

from sqlalchemy import MetaData, Table, delete, except_, func, inspect, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import writing
from libs.common.errors import NotAllowed, Unavailable
from libs.common.projecting import (
    BATCH,
    FOLLOWERS,
    PARKED,
    RETRY,
    SKIPPED,
    Fenced,
    Follower,
    Parking,
    ReadModel,
    State,
    apply_each,
    sort,
)
from libs.common.streams import Feed

MARK = "__r"
"""Stands in the names of tables being built, before what makes them unique: an index keeps its name for ever."""


@dataclass(frozen=True)
class Progress:
    """How far a rebuild is; the last one is `done` and counts the rows that came out differently."""

    position: int
    end: int
    done: bool = False
    changed_rows: int = 0


async def rebuild(follower: Follower) -> AsyncIterator[Progress]:
    """Rebuilds a follower's read model from the first event.

    Raises NotAllowed `NOT_REBUILDABLE` for a handler without rows, `NOT_OWNER` where it does not run, and what the
    database or the log raise; then the live rows are as they were.
    """
    live = follower.handler
    if not isinstance(live, ReadModel):
        raise NotAllowed("NOT_REBUILDABLE", f"{live.name} keeps no rows; there is nothing to rebuild")
    if follower.state is State.STANDBY:
        raise NotAllowed("NOT_OWNER", f"{live.name} does not run in this instance; ask the one that owns it")
    state = await follower.stream.state()
    async with writing(follower.engine).begin() as transaction:
        await _drop_left_overs(transaction, live)
        beside = type(live)(metadata := MetaData(), MARK + token_hex(4))
        await transaction.run_sync(metadata.create_all)
        skipped = set(await transaction.scalars(select(SKIPPED.c.position).where(SKIPPED.c.follower == live.name)))
    work = _Rebuild(follower, beside, skipped)
    try:
        async with follower.stream.feed(live.subjects, 0) as feed:
            yield Progress(0, state.last)
            while await work.step(feed, wait_seconds=1.0) and feed.pending:
                yield Progress(work.position, max(state.last, work.position))
            # The live follower waits while the last events are applied and the tables change places.
            async with follower.stepping:
                end = follower.position if follower.state is State.RUNNING else 0
                while work.position < end:
                    if not await work.step(feed, wait_seconds=5.0):
                        raise Unavailable(
                            "LOG_UNAVAILABLE", f"the log fell silent at {work.position} of {end}; try again"
                        )
                changed = await work.swap(state.created)
    except Fenced as fenced:
        raise NotAllowed("NOT_OWNER", f"another instance has taken {live.name} over") from fenced
    yield Progress(work.position, max(state.last, work.position), done=True, changed_rows=changed)


class _Rebuild:
    def __init__(self, follower: Follower, beside: ReadModel, skipped: set[int]) -> None:
        self._follower = follower
        self._beside = beside
        self._skipped = skipped
        self._parkings: list[Parking] = []
        self._poisoned: set[str] = set()
        self.position = 0

    async def step(self, feed: Feed, wait_seconds: float) -> bool:
        """Applies the next batch; false when there was none."""
        entries = await feed.next(BATCH, wait_seconds)
        wanted = [entry for entry in entries if entry.position not in self._skipped]
        events, parkings = await sort(self._follower.codec, wanted, self._poisoned)
        engine = writing(self._follower.engine)
        try:
            async with engine.begin() as transaction:
                await self._beside.apply(transaction, events)
        except RETRY:
            raise
        except Exception:  # whichever event it is, applying one by one finds it
            async with engine.begin() as transaction:
                parkings += await apply_each(self._beside, transaction, events, self._poisoned)
        self._parkings += parkings
        if entries:
            self.position = entries[-1].position
        return bool(entries)

    async def swap(self, stream_created: object) -> int:
        """Puts the new rows in the place of the old in one transaction; answers how many differ."""
        follower, live = self._follower, cast("ReadModel", self._follower.handler)
        position = max(self.position, follower.position) if follower.state is State.RUNNING else self.position
        changed = 0
        async with writing(follower.engine).begin() as transaction:
            if follower.state is State.RUNNING:
                await follower.move(transaction, position)
            same = live.version == await transaction.scalar(
                select(FOLLOWERS.c.version).where(FOLLOWERS.c.name == live.name)
            )
            for old, new in zip(live.tables, self._beside.tables, strict=True):
                # Rows of another version have other columns; delivery state is not a result.
                if same and not old.info.get("delivery"):
                    changed += await _differing(transaction, old, new) + await _differing(transaction, new, old)
                await transaction.execute(text(f'DROP TABLE "{old.name}"'))
                await transaction.execute(text(f'ALTER TABLE "{new.name}" RENAME TO "{old.name}"'))
            await transaction.execute(
                update(FOLLOWERS)
                .where(FOLLOWERS.c.name == live.name, FOLLOWERS.c.epoch == follower.epoch)
                .values(position=position, version=live.version, stream_created=stream_created)
            )
            await transaction.execute(delete(PARKED).where(PARKED.c.follower == live.name))
            await follower.park(transaction, self._parkings)
        follower.poisoned = self._poisoned
        await follower.moved_to(position)
        follower.rebuilt.set()
        return changed


async def _differing(connection: AsyncConnection, left: Table, right: Table) -> int:
    only_left = except_(select(left), select(right)).subquery()
    return await connection.scalar(select(func.count(literal(1))).select_from(only_left)) or 0


async def _drop_left_overs(transaction: AsyncConnection, live: ReadModel) -> None:
    """Removes what a rebuild that was killed has left."""
    names = await transaction.run_sync(lambda connection: inspect(connection).get_table_names())
    for table in live.tables:
        for name in names:
            if name.startswith(f"{table.name}{MARK}"):
                await transaction.execute(text(f'DROP TABLE "{name}"'))

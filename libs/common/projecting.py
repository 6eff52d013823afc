"""Followers: read models and policies that keep up with the log, each exactly once and in order (D7).

Rows, parked events and the position are committed in one transaction, which first moves the position by
compare-and-set: a runner that was overtaken commits nothing. Nothing is acknowledged to the server.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Protocol

import structlog
from google.protobuf.message import DecodeError
from sqlalchemy import (
    MetaData,
    Row,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.background import in_background
from libs.common.database import aware, insert_new, writing
from libs.common.errors import NotAllowed, NotFound, Unavailable
from libs.common.eventsourcing import Recorded
from libs.common.leases import Leases
from libs.common.metrics import FOLLOWED
from libs.common.parking import RETRY, ParkedAggregate, Parking, apply_each, describe, sort, try_alone
from libs.common.partitions import Partition, Sharing, name_of
from libs.common.positions import FOLLOWERS, PARKED, SKIPPED
from libs.common.reading import BATCH, Heard, Listener, Reading
from libs.common.streams import (
    NoAnswer,
    NoResponders,
    StreamState,
)
from libs.common.telemetry import batch_span
from stepladder.common.v1.envelope_pb2 import Envelope

logger = structlog.get_logger()

REST_SECONDS = 0.05
"""Pause after a few events, so that those which come meanwhile share a transaction. Whoever waits for a position ends
it, so it shows in no read that asks for one."""
LEASE_SECONDS = 10.0
"""How long an owner may be silent before another instance takes over."""
IDLE_SECONDS = 0.25
"""How long what belongs to other partitions may have passed by before a position says so."""
LONGEST_PAUSE_SECONDS = 2.0
"""Between two attempts while nothing comes of them; doubled up to this."""


class Fenced(Exception):  # noqa: N818 - states what is the case
    """Another runner has taken over; nothing of this batch was committed."""


class NeedsRebuild(Exception):  # noqa: N818 - states what is the case
    """The rows do not belong to this log or this version of the code."""


class Handler(Protocol):
    """What a follower does with events, which it leaves as they are: others are handed the same.

    `name` is stored for ever; a new `version` asks for a rebuild.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def subjects(self) -> Sequence[str]: ...

    @property
    def tables(self) -> Sequence[Table]: ...

    async def act(self, events: Sequence[Recorded]) -> None:
        """Effects outside the database, before the position moves; must be safe to repeat."""

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        """Changes to rows, in the position's own transaction."""


class Divisible(Handler, Protocol):
    """A handler whose events may be shared among several followers."""

    @property
    def sharing(self) -> Sharing: ...


class Awaited(Protocol):
    """What a read may wait for: see `Follower`."""

    async def wait_for(self, position: int, seconds: float) -> None: ...

    async def catch_up(self, seconds: float) -> None: ...


class ReadModel:
    """A handler that only keeps rows. Subclasses make their tables in `__init__(metadata, suffix)`."""

    name: str
    version: int
    subjects: Sequence[str]
    tables: Sequence[Table]

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        """Defines the tables, each name followed by `suffix`, so that a rebuild can fill others beside them."""
        raise NotImplementedError  # every read model has tables of its own

    async def act(self, events: Sequence[Recorded]) -> None:
        """Read models have no effects outside the database."""

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        """Changes to rows, in the position's own transaction."""
        raise NotImplementedError  # every read model has changes of its own


class State(Enum):
    """What a follower is doing."""

    STANDBY = "standby"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Standing:
    """How far a follower is.

    `lag` counts its events in the log that it has not applied, `lag_seconds` is the age of the oldest of them;
    `deadlines` counts what its read model holds for a clock, `next_deadline` is the first.
    """

    name: str
    state: State
    position: int
    end: int
    lag: int
    lag_seconds: float
    parked: int
    moved: datetime | None
    error: str
    deadlines: int
    next_deadline: datetime | None


class Follower:
    """Runs one handler, or a `partition` of its events: those have a position, an owner and parked events of their own.

    `instance` names the process: a restarted one takes its followers back at once.
    """

    def __init__(
        self,
        handler: Handler,
        reading: Reading[Recorded],
        engine: AsyncEngine,
        *,
        instance: str,
        now: Callable[[], datetime],
        pause: float = 0.2,
        partition: Partition | None = None,
    ) -> None:
        self.handler = handler
        self.partition = partition
        self.partitions = partition.of if partition else 1
        self.name = name_of(handler.name, partition.number if partition else 0, self.partitions)
        """By which operators know it."""
        self.stream = reading.stream
        self.codec = reading.codec
        self.engine = engine
        self.state = State.STANDBY
        self.position = 0
        self.epoch = 0
        self.error = ""
        self.poisoned: set[str] = set()
        """Subjects whose events are parked."""
        self.stepping = asyncio.Lock()
        """Held while a batch is applied; whoever else moves this follower's rows takes it too."""
        self.rebuilding = False
        """Whether a rebuild is under way here."""
        reading.add(handler.subjects)
        self._reading = reading
        self.instance = instance
        self._now = now
        self._leases = Leases(now)
        self._pause = pause
        self._beaten = now()
        self._listens: Listener[Recorded] | None = None
        """Set while nothing that was handed here is at work."""
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._hurry = asyncio.Event()

    @property
    def parts(self) -> Sequence["Follower"]:
        """All that run the handler together."""
        return [self]

    async def run(self) -> None:
        """Follows until cancelled: waits to be the owner, applies, and waits again when overtaken."""
        pause = self._pause
        try:
            while True:
                before = self.position
                try:
                    if await self.claim():
                        self.state = State.RUNNING
                        logger.info("follower_runs", follower=self.name, position=self.position, epoch=self.epoch)
                        await self._follow()
                except Fenced:
                    logger.warning("follower_fenced", follower=self.name)
                    self.state = State.STANDBY
                except RETRY as trouble:
                    logger.warning("follower_retries", follower=self.name, error=describe(trouble))
                    if self.state is State.RUNNING:
                        self.state = State.STANDBY
                    # Each attempt may leave a consumer in the log's cluster, which has enough to do.
                    moved = self.position != before
                    pause = self._pause if moved else min(2 * pause, LONGEST_PAUSE_SECONDS)
                except Exception as fault:
                    if (self.state, self.error) != (State.STOPPED, error := describe(fault)):
                        logger.exception("follower_stopped", follower=self.name)
                    self.state, self.error = State.STOPPED, error
                    await asyncio.sleep(9 * self._pause)  # a rebuild, here or elsewhere, lets it go on
                else:
                    pause = self._pause
                await asyncio.sleep(pause)
        finally:
            await asyncio.shield(self._end())

    async def wait_for(self, position: int, seconds: float) -> None:
        """Returns when every event up to `position` that concerns this follower is applied or parked.

        Raises Unavailable `NOT_YET_INCLUDED` when that takes longer than `seconds`, `STOPPED` when it cannot be.
        """
        await wait_for([self], position, seconds)

    async def catch_up(self, seconds: float) -> None:
        """Returns when everything in the log that concerns this follower is applied or parked. Raises as `wait_for`."""
        await self.wait_for(await self.last_relevant(), seconds)

    async def wait_past(self, position: int, seconds: float) -> None:
        """Returns as soon as this runner has moved past a position, and when `seconds` are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self.position > position)

    async def standing(self) -> Standing:
        """How far it is, for people."""
        end = (await self.stream.state()).last
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(FOLLOWERS).where(FOLLOWERS.c.name == self.name))).first()
            parked = await connection.scalar(
                select(func.count()).select_from(PARKED).where(PARKED.c.follower == self.name)
            )
            deadlines = 0
            next_deadline: datetime | None = None
            for table in self.handler.tables:
                if "due_time" in table.c:
                    query = select(func.count(), func.min(table.c.due_time))
                    deadlines, next_deadline = (await connection.execute(query)).one()
        position = max(row.position if row else 0, self.included)
        lag, lag_seconds = await self._behind(position)
        return Standing(
            name=self.name,
            state=self.state,
            position=position,
            end=end,
            lag=lag,
            lag_seconds=lag_seconds,
            parked=parked or 0,
            moved=row.moved_time if row else None,
            error=self.error,
            deadlines=deadlines,
            next_deadline=next_deadline,
        )

    @property
    def labels(self) -> dict[str, str]:
        """By which metrics name it."""
        return {"follower": self.handler.name, "partition": str(self.partition.number if self.partition else 0)}

    async def lag(self, position: int) -> tuple[int, float]:
        """How many of its events in the log lie behind a position, and the age of the oldest of them in seconds.

        Where it runs and nothing waits, this asks nobody. Raises as the log does.
        """
        level = self.state is State.RUNNING and self._listens is not None and self._listens.level
        return (0, 0.0) if level else await self._behind(max(position, self.included))

    async def parked(self) -> list[ParkedAggregate]:
        """Parked aggregates, the longest parked first."""
        async with self.engine.connect() as connection:
            query = select(PARKED).where(PARKED.c.follower == self.name).order_by(PARKED.c.position)
            rows = (await connection.execute(query)).all()
        first: dict[str, ParkedAggregate] = {}
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.subject] = counts.get(row.subject, 0) + 1
            if row.subject not in first:
                first[row.subject] = ParkedAggregate(
                    self.handler.name,
                    row.subject,
                    row.position,
                    row.type,
                    row.error,
                    row.attempts,
                    0,
                    row.parked_time,
                )
        return [ParkedAggregate(**{**one.__dict__, "events": counts[subject]}) for subject, one in first.items()]

    async def retry(self, subject: str) -> int:
        """Applies the parked events of an aggregate again, in order; answers how many were.

        Raises NotFound, NotAllowed `STILL_POISONED`, NotAllowed `NOT_OWNER`.
        """
        async with self.owned():
            return await self._unpark(subject, skip=None)

    async def skip(self, subject: str, position: int, reason: str, actor: str) -> int:
        """Gives up the first parked event of an aggregate, which must be at `position`, and applies the others."""
        async with self.owned():
            return await self._unpark(subject, skip=(position, reason, actor))

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Owned by this instance, and standing still; what runs elsewhere is taken over for so long.

        Raises NotAllowed `NOT_OWNER` when it cannot be had, or is taken over meanwhile.
        """
        async with self.stepping, AsyncExitStack() as taken:
            try:
                if self.state is not State.RUNNING:
                    await self._take()
                    taken.push_async_callback(self.release)
                yield
            except (Fenced, NeedsRebuild) as fenced:
                raise not_owner(self.name) from fenced

    async def _take(self) -> None:
        if self.state is State.STOPPED or not await self.claim(by_force=True):
            raise Fenced

    async def needs_rebuild(self) -> bool:
        """Whether the rows belong to another log, or to another version of the code."""
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(FOLLOWERS).where(FOLLOWERS.c.name == self.name))).first()
        state = await self.stream.state()  # after the row, whose position grows
        try:
            if row is not None:
                self._check_fits(row, state)
        except NeedsRebuild:
            return True
        return False

    async def claim(self, *, to_rebuild: bool = False, by_force: bool = False) -> bool:
        """Becomes the owner, unless another instance is; answers whether it is now. `by_force`: whoever is.

        Raises NeedsRebuild when the rows belong to another log or another version, unless it is to rebuild them.
        """
        mine = FOLLOWERS.c.name == self.name
        query = select(FOLLOWERS).where(mine)
        async with self.engine.connect() as connection:
            row = (await connection.execute(query)).first()
        state = await self.stream.state()  # after the row, whose position grows
        if row is None:
            if self.partition:
                return False  # it is divided otherwise by now
            async with writing(self.engine) as transaction:
                await transaction.execute(insert_new(FOLLOWERS, transaction), fresh(self.handler, state, self._now()))
                row = (await transaction.execute(query)).one()
        if row.partitions != self.partitions:
            return False
        if not to_rebuild:
            self._check_fits(row, state)
            self.state, self.error = State.STANDBY, ""
        silent = self._leases.has_ended(row.owner, aware(row.beat_time), LEASE_SECONDS)
        if row.owner not in ("", self.instance) and not silent and not by_force:
            return False
        async with writing(self.engine) as transaction:
            epoch = row.epoch + 1
            claimed = await transaction.execute(
                update(FOLLOWERS)
                .where(mine, FOLLOWERS.c.epoch == row.epoch)
                .values(epoch=epoch, owner=self.instance, beat_time=self._now())
            )
            if claimed.rowcount != 1:
                return False
            row = (await transaction.execute(query)).one()
            parked = await transaction.execute(select(PARKED.c.subject).where(PARKED.c.follower == row.name))
            self.poisoned = set(parked.scalars())
        self.epoch, self.position = epoch, row.position
        return True

    def _check_fits(self, row: Row[Any], state: StreamState) -> None:
        name, created = self.name, aware(row.stream_created)
        if created != state.created or row.position > state.last:
            raise NeedsRebuild(
                f"{name} stands at {row.position} of a stream made {created}, but the log ends at {state.last} and was"
                f" made {state.created}: it was restored or made anew: rebuild it"
            )
        if row.version != self.handler.version:
            raise NeedsRebuild(
                f"{name} has rows of version {row.version}, this code makes version {self.handler.version}: rebuild it"
            )

    async def _follow(self) -> None:
        wait_seconds = IDLE_SECONDS if self.partition else LEASE_SECONDS / 4
        async with self._reading.feed(self.handler.subjects, self.position, self.partition) as feed:
            while True:
                self._listens = feed
                arrived = await feed.next(BATCH, wait_seconds)
                self._listens = None
                async with self.stepping:
                    # A rebuild may have moved on in the meantime.
                    entries = [entry for entry in arrived if entry.position > self.position]
                    if entries:
                        await self._step(entries)
                    elif not arrived:
                        await self._idle(feed)
                if 0 < len(entries) < BATCH // 4:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(REST_SECONDS):
                            await self._hurry.wait()

    async def _idle(self, feed: Listener[Recorded]) -> None:
        """Gives a sign of life; of a partition also when what belongs to others has passed by."""
        passed = max(self.position, feed.passed) if self.partition else self.position
        if (
            passed == self.position
            and self.partition
            and self._now() - self._beaten < timedelta(seconds=LEASE_SECONDS / 4)
        ):
            return
        async with writing(self.engine) as transaction:
            await self.move(transaction, passed)
        if passed > self.position:
            await self.moved_to(passed)

    async def _step(self, entries: Sequence[Heard[Recorded]]) -> None:
        events, parkings = sort(entries, set(self.poisoned))
        last = entries[-1].position
        try:
            with batch_span(f"follow {self.name}", (event.envelope.traceparent for event in events)):
                await self.act(events)
                async with writing(self.engine) as transaction:
                    await self.move(transaction, last)
                    await self.handler.apply(transaction, events)
                    await self.park(transaction, parkings)
        except (Fenced, *RETRY):
            raise
        except Exception as fault:
            if isinstance(fault, DBAPIError) and fault.connection_invalidated:
                raise
            error = describe(fault, *self.handler.subjects)
            logger.warning("batch_is_poisoned", follower=self.name, error=error)
            parkings = await self._one_by_one(events, last, parkings)
        self.poisoned |= {parking.subject for parking in parkings}
        await self.moved_to(last)
        FOLLOWED.labels(**self.labels).inc(len(entries))

    async def _one_by_one(self, events: Sequence[Recorded], last: int, parkings: list[Parking]) -> list[Parking]:
        """Applies a poisoned batch event by event, parking what fails and what comes behind it."""
        poisoned = self.poisoned | {parking.subject for parking in parkings}
        sound, failed = await self.act_each(events, poisoned)
        parkings += failed
        async with writing(self.engine) as transaction:
            await self.move(transaction, last)
            parkings += await apply_each(self.handler.apply, transaction, sound, poisoned)
            await self.park(transaction, parkings)
        return parkings

    async def act(self, events: Sequence[Recorded]) -> None:
        """The handler's effects outside the database, however long they take; nobody takes over meanwhile."""
        async with in_background(self._beat()):
            await self.handler.act(events)

    async def act_each(self, events: Sequence[Recorded], poisoned: set[str]) -> tuple[list[Recorded], list[Parking]]:
        """The same one by one; answers the events that went well, and those to be parked."""
        sound: list[Recorded] = []
        parkings: list[Parking] = []
        async with in_background(self._beat()):
            for event in events:
                if parking := await try_alone(event, poisoned, lambda event: self.handler.act([event])):
                    parkings.append(parking)
                else:
                    sound.append(event)
        return sound, parkings

    async def _beat(self) -> None:
        mine = (FOLLOWERS.c.name == self.name) & (FOLLOWERS.c.epoch == self.epoch)
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(*RETRY):
                async with writing(self.engine) as transaction:
                    await transaction.execute(update(FOLLOWERS).where(mine).values(beat_time=self._now()))

    async def _unpark(self, subject: str, skip: tuple[int, str, str] | None) -> int:
        """Skips the first parked event if told so, then applies the others, each in a transaction of its own."""
        name = self.name
        mine = (PARKED.c.follower == name) & (PARKED.c.subject == subject)
        async with self.engine.connect() as connection:
            rows = (await connection.execute(select(PARKED).where(mine).order_by(PARKED.c.position))).all()
        if not rows:
            raise NotFound("NOTHING_PARKED", f"nothing of {subject} is parked at {name}")
        if skip is not None:
            if self.rebuilding:
                raise NotAllowed("REBUILDING", f"{name} is being rebuilt; skip it when that is done")
            if rows[0].position != skip[0]:
                raise NotAllowed("NOT_THE_FIRST", f"the first parked event of {subject} is at {rows[0].position}")
            await self._skip(rows[0], reason=skip[1], actor=skip[2])
            rows = rows[1:]
        stored = {s.position: s for s in await self.stream.read(subject, rows[0].position - 1)} if rows else {}
        for applied, row in enumerate(rows):
            this = mine & (PARKED.c.position == row.position)
            error = ""
            try:
                event = await self.codec.decode(stored[row.position])
                await self.act([event])
                async with writing(self.engine) as transaction:
                    await self.move(transaction, self.position)
                    await self.handler.apply(transaction, [event])
                    await transaction.execute(delete(PARKED).where(this))
            except (Fenced, *RETRY):
                raise
            except Exception as fault:
                error = describe(fault, subject)
            if error:
                async with writing(self.engine) as transaction:
                    attempts = PARKED.c.attempts + 1
                    await transaction.execute(update(PARKED).where(this).values(error=error, attempts=attempts))
                raise NotAllowed("STILL_POISONED", f"{applied} applied; the event at {row.position} fails: {error}")
        self.poisoned.discard(subject)
        return len(rows)

    async def _skip(self, row: Row[Any], reason: str, actor: str) -> None:
        key = (PARKED.c.follower == row.follower) & (PARKED.c.position == row.position)
        values = {name: getattr(row, name) for name in ("position", "subject", "type", "error")}
        async with writing(self.engine) as transaction:
            await self.move(transaction, self.position)
            values |= {"follower": self.handler.name, "reason": reason, "actor": actor, "skipped_time": self._now()}
            await transaction.execute(insert_new(SKIPPED, transaction), values)
            await transaction.execute(delete(PARKED).where(key))

    async def move(self, transaction: AsyncConnection, position: int) -> None:
        """Moves the position by compare-and-set. Raises Fenced unless this runner is still the owner."""
        self._beaten = self._now()
        values = {"position": position, "beat_time": self._beaten}
        if position != self.position:
            values["moved_time"] = self._beaten
        moved = await transaction.execute(
            update(FOLLOWERS)
            .where(
                FOLLOWERS.c.name == self.name,
                FOLLOWERS.c.position == self.position,
                FOLLOWERS.c.epoch == self.epoch,
            )
            .values(values)
        )
        if moved.rowcount != 1:
            raise Fenced

    async def park(self, transaction: AsyncConnection, parkings: Sequence[Parking]) -> None:
        """Keeps events that could not be applied."""
        if parkings:
            now = self._now()
            rows = [
                {
                    "follower": self.name,
                    "position": parking.position,
                    "subject": parking.subject,
                    "type": parking.type,
                    "error": parking.error,
                    "attempts": 1 if parking.error else 0,
                    "parked_time": now,
                }
                for parking in parkings
            ]
            await transaction.execute(insert(PARKED), rows)

    async def moved_to(self, position: int) -> None:
        """Tells those who wait that a position was committed."""
        async with self._moved:
            self.position = position
            self._moved.notify_all()

    @property
    def included(self) -> int:
        """Up to where all that concerns it is applied or parked, as is known here; 0 where it does not run."""
        if self.state is not State.RUNNING:
            return 0
        return max(self.position, self._listens.passed) if self.partition and self._listens else self.position

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """While somebody waits, it does not rest."""
        self._waiting += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._hurry.clear()

    async def last_relevant(self) -> int:
        """The position of the last event in the log that concerns this follower."""
        return max([await self.stream.last_position(subject) for subject in self.handler.subjects])

    async def _behind(self, position: int) -> tuple[int, float]:
        if await self.last_relevant() <= position:  # a feed would wait for more
            return 0, 0.0
        async with self.stream.feed(self.handler.subjects, position) as feed:
            first = await feed.next(1, wait_seconds=0.5)
            oldest = None
            with suppress(DecodeError):  # bytes that are no event have no time
                oldest = Envelope.FromString(first[0].payload).time.ToDatetime(UTC) if first else None
            age = max(0.0, (self._now() - oldest).total_seconds()) if oldest else 0.0
            return len(first) + feed.pending, age

    def takes(self, subject: str) -> bool:
        """Whether a subject that the handler follows belongs to it."""
        return self.partition is None or self.partition.takes(subject)

    async def release(self) -> None:
        """Lets another instance take over at once."""
        mine = (FOLLOWERS.c.name == self.name) & (FOLLOWERS.c.epoch == self.epoch)
        with suppress(*RETRY):
            async with writing(self.engine) as transaction:
                await transaction.execute(update(FOLLOWERS).where(mine).values(owner=""))

    async def _end(self) -> None:
        if self.state is State.RUNNING:
            await self.release()
        self.state = State.STANDBY


async def wait_for(parts: Sequence[Follower], position: int, seconds: float) -> None:
    """Returns when every event up to `position` that concerns the parts of a handler is applied or parked. Raises as
    `Follower.wait_for`."""
    if all(position <= part.position and part.state is State.RUNNING for part in parts) or position == 0:
        return
    one = parts[0]
    name = one.handler.name
    if any(part.state is State.STOPPED for part in parts):
        raise Unavailable("STOPPED", f"{name} has stopped; an operator has to look at it")
    current = min(part.position for part in parts)
    with ExitStack() as hurrying:
        for part in parts:
            hurrying.enter_context(part.hurried())
        try:
            async with asyncio.timeout(seconds):
                needed = min(position, await one.last_relevant())
                while needed > (current := await included(parts, needed)):
                    alone = len(parts) == 1 and one.state is State.RUNNING
                    await one.wait_past(one.position, 1.0 if alone else 0.05)
        except (TimeoutError, NoAnswer, NoResponders) as error:
            raise Unavailable(
                "NOT_YET_INCLUDED", f"{name} is at {current} of {position}; ask again in a moment"
            ) from error


async def included(parts: Sequence[Follower], needed: int) -> int:
    """Up to where all parts are: those that run here as is known here, the others by what is committed."""
    here = min((part.included for part in parts if part.state is State.RUNNING), default=needed)
    away = [part for part in parts if part.state is not State.RUNNING]
    if not away or here < needed:
        return here
    columns = FOLLOWERS.c
    theirs = columns.name.in_([part.name for part in away]) & (columns.partitions == len(parts))
    async with away[0].engine.connect() as connection:
        query = select(func.count(), func.min(columns.position)).where(theirs)
        rows, there = (await connection.execute(query)).one()
    return min(here, there) if rows == len(away) else 0


def fresh(handler: Handler, state: StreamState, now: datetime) -> dict[str, object]:
    """The row of a handler that has followed nothing yet."""
    return {
        "name": handler.name,
        "position": 0,
        "version": handler.version,
        "stream_created": state.created,
        "epoch": 0,
        "owner": "",
        "beat_time": now,
    }


def not_owner(name: str) -> NotAllowed:
    """The refusal of what only its owner can do to the follower `name`."""
    return NotAllowed("NOT_OWNER", f"{name} has stopped, or another instance has taken it over; try again")

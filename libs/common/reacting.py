"""Policies: events in, commands out (D8), and the clock that turns what is due into commands (D9)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import structlog
from sqlalchemy import BigInteger, Column, DateTime, MetaData, String, Table, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import aware, writing
from libs.common.errors import NotKnown, Refused
from libs.common.eventsourcing import Context, Recorded
from libs.common.metrics import DEADLINES
from libs.common.parking import RETRY
from libs.common.projecting import Follower, State
from libs.common.telemetry import continuing

logger = structlog.get_logger()

POLL_SECONDS = 0.25
"""How often a clock looks for what has come due by time alone, and how long it waits after a failure."""
REST_SECONDS = 0.005
"""Shortest pause between two looks, however often the follower moves."""
POSTPONE_SECONDS = 60.0
"""When a deadline is looked at again whose command has failed for no reason that is known here."""


class Policy:
    """A handler that answers events with commands. Subclasses implement `react`.

    A policy may see an event again after a crash: the commands it gives carry an id made of its name and the event,
    so the second one changes nothing.
    """

    name: str
    version = 1
    subjects: Sequence[str]
    tables: Sequence[Table] = ()

    async def react(self, event: Recorded) -> None:
        """Gives the commands that follow from one event."""
        raise NotImplementedError  # every policy has commands of its own

    async def act(self, events: Sequence[Recorded]) -> None:
        """Reacts to each event in turn."""
        for event in events:
            await self.react(event)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        """Policies keep no rows."""


def reaction(policy: str, event: Recorded, now: datetime, today: date) -> Context:
    """The context of the command with which a policy answers an event."""
    envelope = event.envelope
    return Context(
        now=now,
        today=today,
        actor=f"policy:{policy}",
        request_id=f"{policy}:{envelope.event_id}",
        cause=envelope.event_id,
        traceparent=continuing(envelope.traceparent),
    )


def deadlines(name: str, metadata: MetaData) -> Table:
    """A table of what is due when, kept by a read model and emptied by a clock."""
    return Table(
        name,
        metadata,
        Column("kind", String, primary_key=True),
        Column("key", String, primary_key=True),
        Column("due_time", DateTime(timezone=True), nullable=False, index=True),
        Column("position", BigInteger, nullable=False),  # of the event that set it
        info={"delivery": True},
    )


def day_over(day: date) -> datetime:
    """The moment at which a day has ended in every time zone: noon UTC of the day after."""
    return datetime.combine(day + timedelta(days=1), time(12), UTC)


class Clock:
    """Calls `commands[kind](key)` for every deadline of a kind of its own that has come, where the follower runs.

    Of those that have come, kinds named earlier go first. For all those of a kind at once `together[kind](keys)`,
    behind the others; if that fails, for each alone. A deadline is removed when its command has been accepted or
    refused, unless it was set anew meanwhile; after a crash the command is given again, so it must be safe to repeat.
    One whose command fails is put off, so that it does not keep the others waiting.
    """

    def __init__(
        self,
        follower: Follower,
        table: Table,
        engine: AsyncEngine,
        now: Callable[[], datetime],
        commands: Mapping[str, Callable[[str], Awaitable[None]]],
        together: Mapping[str, Callable[[Sequence[str]], Awaitable[None]]] | None = None,
    ) -> None:
        self.follower = follower
        self._table = table
        self._engine = engine
        self._now = now
        self._commands = commands
        self._together = together or {}
        self._kinds = [*commands, *self._together]
        for kind in self._kinds:
            DEADLINES.labels(kind, "failed")  # there from the beginning, so that the first one shows as a change
        # Made once: making it costs more than running it.
        come = (table.c.due_time <= bindparam("now")) & table.c.kind.in_(self._kinds)
        self._come = select(table).where(come).order_by(table.c.due_time).limit(100)
        self._overdue = (
            select(table.c.kind, func.count(), func.min(table.c.due_time)).where(come).group_by(table.c.kind)
        )

    async def run(self) -> None:
        """Ticks until cancelled: now and then, and as soon as the follower has moved, which may have set deadlines."""
        while True:
            seen = self.follower.position  # before the tick, which may miss what comes meanwhile
            try:
                while self.follower.state is State.RUNNING and await self.tick():
                    pass
                await asyncio.sleep(REST_SECONDS)
                await self.follower.wait_past(seen, POLL_SECONDS)
            except RETRY as trouble:
                logger.warning("clock_retries", clock=self._table.name, error=type(trouble).__name__)
                await asyncio.sleep(POLL_SECONDS)
            except Exception:  # nobody would start it again
                logger.exception("clock_failed", clock=self._table.name)
                await asyncio.sleep(POLL_SECONDS)

    async def overdue(self) -> dict[str, tuple[int, float]]:
        """How many deadlines of each kind have come and are not done, and by how many seconds the oldest is late.

        One whose command has failed is due again when it is tried again.
        """
        now = self._now().astimezone(UTC)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(self._overdue, {"now": now})).all()
        late = {kind: (count, (now - aware(first)).total_seconds()) for kind, count, first in rows}
        return {kind: late.get(kind, (0, 0.0)) for kind in self._kinds}

    async def tick(self) -> int:
        """Gives the commands that are due now, at most a hundred; answers how many were."""
        table = self._table
        async with self._engine.connect() as connection:
            due = (await connection.execute(self._come, {"now": self._now().astimezone(UTC)})).all()
        portions: dict[tuple[str, str], list[str]] = {}  # what is given together
        for row in sorted(due, key=lambda row: self._kinds.index(row.kind)):
            portions.setdefault((row.kind, "" if row.kind in self._together else row.key), []).append(row.key)
        failed = {(kind, key) for (kind, _), keys in portions.items() for key in await self._give(kind, keys)}
        if due:
            later = self._now().astimezone(UTC) + timedelta(seconds=POSTPONE_SECONDS)
            async with writing(self._engine) as transaction:
                for row in due:
                    same = (table.c.kind == row.kind) & (table.c.key == row.key) & (table.c.position == row.position)
                    put_off = update(table).where(same).values(due_time=later)
                    done = delete(table).where(same)
                    await transaction.execute(put_off if (row.kind, row.key) in failed else done)
        return len(due)

    async def _give(self, kind: str, keys: Sequence[str]) -> Sequence[str]:
        """Gives the command for deadlines of a kind; answers those of which it fails."""
        try:
            if kind in self._together:
                await self._together[kind](keys)
            else:
                await self._commands[kind](*keys)
        except RETRY:
            raise
        except Exception as fault:  # one deadline's failure must not keep the others waiting
            if len(keys) > 1:
                return [failed for key in keys for failed in await self._give(kind, [key])]
            if not isinstance(fault, Refused):
                logger.exception("deadline_failed", kind=kind)
                DEADLINES.labels(kind, "failed").inc()
                return keys
            logger.warning("deadline_refused", kind=kind, reason=fault.reason, message=fault.message)
            DEADLINES.labels(kind, "refused").inc()
            return keys if isinstance(fault, NotKnown) else []
        DEADLINES.labels(kind, "done").inc(len(keys))
        return []

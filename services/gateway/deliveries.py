"""How far webhooks are. This is in SQL only (D1): where it is lost, a webhook begins where it was made to begin."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, aware, insert_new, upsert, writing
from libs.common.days import timestamp
from libs.common.paging import page_size, page_start
from libs.common.projecting import Fenced
from services.gateway.retrying import Standing, Verdict
from stepladder.common.v1.operations_pb2 import WebhookBacklog
from stepladder.gateway.v1.webhook_pb2 import Attempt, ListAttemptsRequest, Webhook

LIVE = 0
"""The lane of what is new; redeliveries have lanes of their own, by their numbers."""
KEPT_ATTEMPTS = 1000
"""Of each webhook."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is to be sent again, or that waits behind such a one of the same key (`tries` 0)."""

    position: int
    tries: int
    first_time: datetime | None


class Deliveries:
    """The tables, and what is done to them."""

    def __init__(self, metadata: MetaData, engine: AsyncEngine) -> None:
        self._engine = engine
        self.lanes = Table(
            "webhook_lanes",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("lane", Integer, primary_key=True),
            Column("position", BigInteger, nullable=False),
        )
        self.standings = Table(
            "webhook_standings",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("attempts", BigInteger, nullable=False),
            Column("revision", BigInteger, nullable=False),
            Column("starts", Integer, nullable=False),
            Column("failures", Integer, nullable=False),
            Column("failing_since", DateTime(timezone=True)),
            Column("taken_time", DateTime(timezone=True)),
            Column("held_until", DateTime(timezone=True)),
            Column("given_up", BigInteger, nullable=False),
        )
        self.waiting = Table(
            "webhook_waiting",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("position", BigInteger, primary_key=True),
            Column("key", String, nullable=False),
            Column("tries", Integer, nullable=False),
            Column("first_time", DateTime(timezone=True)),  # of the first attempt
            Column("due_time", DateTime(timezone=True), nullable=False),
        )
        self.attempts = Table(
            "webhook_attempts",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("number", BigInteger, primary_key=True),
            Column("position", BigInteger, nullable=False),
            Column("event_id", String, nullable=False),
            Column("event_type", String, nullable=False),
            Column("tries", Integer, nullable=False),
            Column("sent_time", DateTime(timezone=True), nullable=False),
            Column("milliseconds", BigInteger, nullable=False),
            Column("status_code", Integer, nullable=False),
            Column("error", String, nullable=False),
            Column("excerpt", String, nullable=False),
            Column("outcome", Integer, nullable=False),
            Column("next_time", DateTime(timezone=True)),
        )

    async def standing(self, webhook_id: str) -> Standing:
        """How a webhook is; nothing yet for one to which nothing was sent."""
        (row,) = await self._rows(self.standings, webhook_id) or (None,)
        if row is None:
            return Standing(webhook_id)
        kept: dict[str, Any] = {
            name: aware(value) if isinstance(value, datetime) else value for name, value in row._mapping.items()
        }
        del kept["attempts"]
        return Standing(**kept)

    async def positions(self, webhook_id: str) -> Mapping[int, int]:
        """Up to where each lane is done, by lane."""
        return {row.lane: row.position for row in await self._rows(self.lanes, webhook_id)}

    async def count_waiting(self, webhook_id: str) -> int:
        """How many events wait."""
        mine = self.waiting.c.webhook_id == webhook_id
        (row,) = await all_rows(self._engine, select(func.count()).select_from(self.waiting).where(mine))
        return int(row[0])

    async def first_waiting(self, webhook_id: str) -> int:
        """The position of the first event that waits; 0: none does."""
        query = select(func.min(self.waiting.c.position)).where(self.waiting.c.webhook_id == webhook_id)
        (row,) = await all_rows(self._engine, query)
        return int(row[0] or 0)

    async def waiting_keys(self, webhook_id: str, keys: Collection[str]) -> frozenset[str]:
        """Those of these keys of which something waits."""
        columns = self.waiting.c
        query = select(columns.key).where(columns.webhook_id == webhook_id, columns.key.in_(keys)).distinct()
        return frozenset(row.key for row in await all_rows(self._engine, query))

    async def due(self, webhook_id: str, now: datetime, most: int) -> list[Waiting]:
        """What is to be sent now, the longest due first: of each key, only the first that waits."""
        firsts = (
            select(func.min(self.waiting.c.position)).where(self.waiting.c.webhook_id == webhook_id).group_by("key")
        )
        columns = self.waiting.c
        query = select(self.waiting).where(columns.webhook_id == webhook_id, columns.position.in_(firsts))
        query = query.where(columns.due_time <= now).order_by(columns.due_time, columns.position)
        found = await all_rows(self._engine, query.limit(most))
        return [Waiting(row.position, row.tries, row.first_time and aware(row.first_time)) for row in found]

    async def begin_anew(self, standing: Standing, starts: int, position: int, now: datetime) -> Standing:
        """Everything that waits up to a position is due, with all its attempts before it; what is new begins there.

        Raises Fenced as `record`.
        """
        anew = standing.anew(starts)
        async with self._moving(standing, anew) as rows:
            mine = self.waiting.c.webhook_id == standing.webhook_id
            await rows.execute(delete(self.waiting).where(mine, self.waiting.c.position > position))
            await rows.execute(update(self.waiting).where(mine).values(tries=0, first_time=None, due_time=now))
            await self._set_lanes(rows, standing.webhook_id, {LIVE: position})
        return anew

    async def record(
        self, before: Standing, after: Standing, verdicts: Sequence[Verdict], lanes: Mapping[int, int], now: datetime
    ) -> None:
        """Keeps what came of some events, and up to where lanes are done.

        Raises Fenced, and keeps nothing, when another process has moved the webhook.
        """
        columns, webhook_id = self.waiting.c, before.webhook_id
        done = [one.item.position for one in verdicts if one.due_time is None]
        waiting = [
            {
                "webhook_id": webhook_id,
                "position": one.item.position,
                "key": one.item.key,
                "tries": one.item.tries,
                "first_time": one.item.first_time,
                "due_time": one.due_time,
            }
            for one in verdicts
            if one.due_time is not None
        ]
        async with self._moving(before, after) as rows:
            mine = columns.webhook_id == webhook_id
            if done:
                await rows.execute(delete(self.waiting).where(mine, columns.position.in_(done)))
            if waiting:
                await rows.execute(upsert(self.waiting, rows), waiting)
            if before.down and not after.down:  # the receiver is back: nothing waits any longer
                await rows.execute(update(self.waiting).where(mine).values(due_time=now))
            await self._set_lanes(rows, webhook_id, lanes)
            await self._log(rows, webhook_id, [one for one in verdicts if one.answer is not None])

    async def log_test(self, webhook_id: str, verdict: Verdict) -> Attempt:
        """Keeps an attempt that counts for nothing else."""
        async with writing(self._engine) as rows:
            await rows.execute(insert_new(self.standings, rows), self._row(Standing(webhook_id)))
            (row,) = await self._log(rows, webhook_id, [verdict])
        return _attempt(row)

    async def list_attempts(self, request: ListAttemptsRequest) -> list[Attempt]:
        """A page of attempts, the latest first, one more than asked for when there are more."""
        columns = self.attempts.c
        query = select(self.attempts).where(columns.webhook_id == request.webhook_id).order_by(columns.number.desc())
        if request.position:
            query = query.where(columns.position == request.position)
        if request.outcome:
            query = query.where(columns.outcome == int(request.outcome))
        if (start := page_start(request)) is not None:
            query = query.where(columns.number < start[0])
        found = await all_rows(self._engine, query.limit(page_size(request) + 1))
        return [_attempt(row._mapping) for row in found]

    async def backlog(self, webhooks: Table) -> WebhookBacklog:
        """What waits for all webhooks; `webhooks` are the read model's rows of them."""
        state, same = webhooks.c.state, webhooks.c.webhook_id
        states = select(state, func.count(), func.count(self.standings.c.failing_since)).group_by(state)
        states = states.outerjoin_from(webhooks, self.standings, self.standings.c.webhook_id == same)
        waits = select(func.count(), func.min(self.waiting.c.first_time)).where(state == int(Webhook.STATE_ACTIVE))
        waits = waits.join_from(self.waiting, webhooks, self.waiting.c.webhook_id == same)
        async with self._engine.connect() as rows:
            found = {of: (count, failing) for of, count, failing in await rows.execute(states)}
            waiting, oldest = (await rows.execute(waits)).one()
        active, failing = found.get(int(Webhook.STATE_ACTIVE), (0, 0))
        paused, _ = found.get(int(Webhook.STATE_PAUSED), (0, 0))
        return WebhookBacklog(
            active=active, failing=failing, paused=paused, waiting=waiting, oldest_time=oldest and timestamp(oldest)
        )

    async def forget(self, webhook_id: str) -> None:
        """Removes everything of a webhook that is deleted."""
        async with writing(self._engine) as rows:
            for table in (self.lanes, self.waiting, self.attempts, self.standings):
                await rows.execute(delete(table).where(table.c.webhook_id == webhook_id))

    @asynccontextmanager
    async def _moving(self, before: Standing, after: Standing) -> AsyncIterator[AsyncConnection]:
        """A transaction that moves a webhook from one standing to the next, unless another process has moved it.

        Not by the rows and epochs of followers (libs/common/projecting.py): their positions pass what has failed only
        by parking it, and one row that moves for all webhooks would make each wait for the commits of the others.
        """
        columns = self.standings.c
        async with writing(self._engine) as rows:
            await rows.execute(insert_new(self.standings, rows), self._row(Standing(before.webhook_id)))
            mine = (columns.webhook_id == before.webhook_id) & (columns.revision == before.revision)
            values = self._row(after)
            del values["attempts"]
            moved = await rows.execute(update(self.standings).where(mine).values(values))
            if moved.rowcount != 1:
                raise Fenced
            yield rows

    @staticmethod
    def _row(standing: Standing) -> dict[str, Any]:
        return {**asdict(standing), "attempts": 0}

    async def _set_lanes(self, rows: AsyncConnection, webhook_id: str, lanes: Mapping[int, int]) -> None:
        for lane, position in lanes.items():
            values = {"webhook_id": webhook_id, "lane": lane, "position": position}
            await rows.execute(upsert(self.lanes, rows), values)

    async def _log(
        self, rows: AsyncConnection, webhook_id: str, verdicts: Sequence[Verdict]
    ) -> Sequence[dict[str, Any]]:
        """Numbers attempts and keeps them, and lets go of the oldest."""
        mine = self.standings.c.webhook_id == webhook_id
        counted = update(self.standings).where(mine).values(attempts=self.standings.c.attempts + len(verdicts))
        last = int(await rows.scalar(counted.returning(self.standings.c.attempts)) or 0)
        numbered = [
            _attempt_row(webhook_id, last - len(verdicts) + number, one) for number, one in enumerate(verdicts, 1)
        ]
        if numbered:
            await rows.execute(insert(self.attempts), numbered)
        old = (self.attempts.c.webhook_id == webhook_id) & (self.attempts.c.number <= last - KEPT_ATTEMPTS)
        await rows.execute(delete(self.attempts).where(old))
        return numbered

    async def _rows(self, table: Table, webhook_id: str) -> Sequence[Row[Any]]:
        return await all_rows(self._engine, select(table).where(table.c.webhook_id == webhook_id))


def _attempt_row(webhook_id: str, number: int, verdict: Verdict) -> dict[str, Any]:
    item, answer = verdict.item, verdict.answer
    assert answer is not None  # noqa: S101 - only attempts are logged
    return {
        "webhook_id": webhook_id,
        "number": number,
        "position": item.position,
        "event_id": item.event_id,
        "event_type": item.event_type,
        "tries": item.tries,
        "sent_time": answer.time,
        "milliseconds": answer.milliseconds,
        "status_code": answer.status,
        "error": answer.error,
        "excerpt": answer.excerpt,
        "outcome": int(verdict.outcome),
        "next_time": verdict.due_time,
    }


def _attempt(row: Mapping[Any, Any]) -> Attempt:
    """A row as it is shown."""
    names = ("number", "position", "event_id", "event_type", "tries", "status_code", "error", "excerpt", "outcome")
    shown = Attempt(**{name: row[name] for name in names}, duration_milliseconds=row["milliseconds"])
    shown.time.CopyFrom(timestamp(row["sent_time"]))
    if row["next_time"] is not None:
        shown.next_time.CopyFrom(timestamp(row["next_time"]))
    return shown

"""Read model: which cycles there are, and when the next is to be opened and the last ones closed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.days import months_later
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import deadlines
from libs.facts.catalogue import Rules
from stepladder.performance.v1.events_pb2 import PolicySet
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1.cycle_pb2 import Cycle, ListCyclesRequest
from stepladder.promotion.v1.events_pb2 import CycleClosed, CycleOpened

OPEN = "open"
"""The kind of deadline at which a regular cycle is to be opened; its key is made of the rules' id and the month."""

CLOSE = "close"
"""The kind of deadline at which a cycle's last day is over; its key is the cycle's id."""


class Cycles(ReadModel):
    """Rows: one for each cycle, at the position of its opening; every version of rules; and what falls due.

    Deadlines are days that begin by the clock on the wall of the site.
    """

    name = "cycles"
    version = 1
    subjects = ("log.promotion.cycle.*", "log.performance.policy.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.cycles = Table(
            f"cycles{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("cycle_id", String, nullable=False, unique=True),
            Column("policy_id", String, nullable=False),  # empty, as the month, of one that is not regular
            Column("month", String(7), nullable=False),
            Column("state", Integer, nullable=False),
        )
        self.rules = Table(
            f"cycle_rules{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("policy_id", String, nullable=False, index=True),
            Column("content", LargeBinary, nullable=False),
        )
        self.deadlines = deadlines(f"cycle_deadlines{suffix}", metadata)
        self.tables = (self.cycles, self.rules, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case PolicySet(policy=policy) if policy.HasField("cycles"):
                    row = {"position": recorded.position, "policy_id": policy.policy_id}
                    await rows.execute(insert(self.rules).values(**row, content=policy.SerializeToString()))
                    await self._expect_next(rows, policy.policy_id, recorded.position)
                case CycleOpened(cycle_id=cycle_id, policy_id=policy_id, month=month) as opened:
                    row = {"position": recorded.position, "cycle_id": cycle_id, "policy_id": policy_id, "month": month}
                    await rows.execute(insert(self.cycles).values(**row, state=int(Cycle.STATE_OPEN)))
                    over = date.fromisoformat(opened.end_date) + timedelta(days=1)
                    await self._wait_for(rows, CLOSE, cycle_id, over, recorded.position)
                    if policy_id:
                        await self._expect_next(rows, policy_id, recorded.position)
                case CycleClosed(cycle_id=cycle_id):
                    mine = self.cycles.c.cycle_id == cycle_id
                    await rows.execute(update(self.cycles).where(mine).values(state=int(Cycle.STATE_CLOSED)))
                    waiting = (self.deadlines.c.kind == CLOSE) & (self.deadlines.c.key == cycle_id)
                    await rows.execute(delete(self.deadlines).where(waiting))

    async def _expect_next(self, rows: AsyncConnection, policy_id: str, position: int) -> None:
        """Waits for the next month of some rules, and for no other."""
        stored = select(self.rules).where(self.rules.c.policy_id == policy_id).order_by(self.rules.c.position)
        versions = []
        for row in await rows.execute(stored):
            policy = Policy.FromString(row.content)
            policy.log_position = row.position
            versions.append(policy)
        opened = select(self.cycles.c.month).where(self.cycles.c.policy_id == policy_id)
        month = next_month(versions, frozenset(await rows.scalars(opened)))
        waiting = self.deadlines.c.key.startswith(f"{policy_id}/", autoescape=True)
        await rows.execute(delete(self.deadlines).where(self.deadlines.c.kind == OPEN, waiting))
        await self._wait_for(rows, OPEN, f"{policy_id}/{month:%Y-%m}", month, position)

    async def _wait_for(self, rows: AsyncConnection, kind: str, key: str, day: date, position: int) -> None:
        due_time = datetime.combine(day, time(), UTC)
        row = {"kind": kind, "key": key, "due_time": due_time, "position": position}
        await rows.execute(upsert(self.deadlines, rows), row)

    async def list_cycles(self, engine: AsyncEngine, request: ListCyclesRequest) -> list[tuple[str, int]]:
        """Ids and positions of a page of cycles, the latest first, one more than asked for when there are more."""
        columns = self.cycles.c
        query = select(columns.cycle_id, columns.position).order_by(columns.position.desc())
        if request.state:
            query = query.where(columns.state == int(request.state))
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.cycle_id, row.position) for row in found]


def rules_of_month(rules: Rules, policy_id: str, first: date) -> Policy | None:
    """The version of cycle rules in force, and known, on the first day of a month; None unless it names the month."""
    policy = rules.known_on(first).policy_on(policy_id, first)
    return policy if policy and first.month in policy.cycles.months else None


def next_month(versions: Sequence[Policy], opened: frozenset[str]) -> date:
    """The first day of the earliest month of some rules, given by all versions, that was not opened (YYYY-MM)."""
    rules = Rules(0, {}, {}, versions)
    month = min(date.fromisoformat(one.recorded_date) for one in versions).replace(day=1)
    while f"{month:%Y-%m}" in opened or rules_of_month(rules, versions[0].policy_id, month) is None:
        month = months_later(month, 1)
    return month

"""Read model: which competitions there are, in what state, and when their applications end."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from google.protobuf.message import Message
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import deadlines
from stepladder.promotion.v1.competition_pb2 import Competition, ListCompetitionsRequest
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CompetitionClosed,
    CompetitionOpened,
    CompetitionRanked,
    ListPublished,
)

CLOSE_APPLICATIONS = "close_applications"
"""The kind of deadline at which the last day for applications is over; its key is the competition's id."""

ENTERED: Mapping[type[Message], Competition.State.ValueType] = {
    ApplicationsClosed: Competition.STATE_APPLICATIONS_CLOSED,
    CompetitionRanked: Competition.STATE_RANKED,
    ListPublished: Competition.STATE_LISTED,
}
"""The state that an event leads to, whatever it says."""


class Competitions(ReadModel):
    """Rows: one for each competition, at the position of its opening; and when its applications end.

    Deadlines are days that begin by the clock on the wall of the site.
    """

    name = "competitions"
    version = 1
    subjects = ("log.promotion.competition.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.competitions = Table(
            f"competitions{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("competition_id", String, nullable=False, unique=True),
            Column("cycle_id", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
        )
        self.deadlines = deadlines(f"competition_deadlines{suffix}", metadata)
        self.tables = (self.competitions, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case CompetitionOpened(competition_id=competition_id, applications_until=until) as opened:
                    row = {"position": recorded.position, "competition_id": competition_id, "cycle_id": opened.cycle_id}
                    await rows.execute(insert(self.competitions).values(**row, state=int(Competition.STATE_OPEN)))
                    over = datetime.combine(date.fromisoformat(until) + timedelta(days=1), time(), UTC)
                    due = {"kind": CLOSE_APPLICATIONS, "key": competition_id, "due_time": over}
                    await rows.execute(insert(self.deadlines).values(**due, position=recorded.position))
                case CompetitionClosed(competition_id=competition_id, cancelled=cancelled):
                    state = Competition.STATE_CANCELLED if cancelled else Competition.STATE_CLOSED
                    await self._enter(rows, competition_id, state)
                case ApplicationsClosed() | CompetitionRanked() | ListPublished():
                    await self._enter(rows, recorded.event.competition_id, ENTERED[type(recorded.event)])

    async def _enter(self, rows: AsyncConnection, competition_id: str, state: Competition.State.ValueType) -> None:
        """A state in which nobody applies any more."""
        mine = self.competitions.c.competition_id == competition_id
        await rows.execute(update(self.competitions).where(mine).values(state=int(state)))
        await rows.execute(delete(self.deadlines).where(self.deadlines.c.key == competition_id))

    async def list_competitions(self, engine: AsyncEngine, request: ListCompetitionsRequest) -> list[tuple[str, int]]:
        """Ids and positions of a page, the latest competition first, one more than asked for when there are more."""
        columns = self.competitions.c
        query = select(columns.competition_id, columns.position).order_by(columns.position.desc())
        if request.cycle_id:
            query = query.where(columns.cycle_id == request.cycle_id)
        if request.state:
            query = query.where(columns.state == int(request.state))
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.competition_id, row.position) for row in found]

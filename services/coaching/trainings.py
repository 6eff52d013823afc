"""Read model: which trainings were asked for, for which team, of whom, in what state."""

from collections.abc import Collection, Sequence

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.reaching import Reach
from stepladder.coaching.v1.events_pb2 import (
    TrainingAccepted,
    TrainingCancelled,
    TrainingClosed,
    TrainingHeld,
    TrainingRequested,
    TrainingScheduled,
)
from stepladder.coaching.v1.training_pb2 import ListTrainingsRequest, Training


class Trainings(ReadModel):
    """Rows: one for each training, at the position of its request."""

    name = "trainings"
    version = 1
    subjects = ("log.coaching.trainingrequest.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.trainings = Table(
            f"trainings{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("training_id", String, nullable=False, unique=True),
            Column("team_id", String, nullable=False, index=True),
            Column("trainer_id", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
        )
        self.tables = (self.trainings,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case TrainingRequested() as requested:
                    row = {
                        "position": recorded.position,
                        "training_id": requested.training_id,
                        "team_id": requested.team_id,
                        "trainer_id": requested.trainer_id,
                        "state": int(Training.STATE_REQUESTED),
                    }
                    await rows.execute(insert(self.trainings).values(row))
                case TrainingAccepted(training_id=training_id):
                    await self._enter(rows, training_id, Training.STATE_ACCEPTED)
                case TrainingScheduled(training_id=training_id):
                    await self._enter(rows, training_id, Training.STATE_SCHEDULED)
                case TrainingHeld(training_id=training_id):
                    await self._enter(rows, training_id, Training.STATE_HELD)
                case TrainingClosed(training_id=training_id):
                    await self._enter(rows, training_id, Training.STATE_CLOSED)
                case TrainingCancelled(training_id=training_id):
                    await self._enter(rows, training_id, Training.STATE_CANCELLED)

    async def _enter(self, rows: AsyncConnection, training_id: str, state: Training.State.ValueType) -> None:
        mine = self.trainings.c.training_id == training_id
        await rows.execute(update(self.trainings).where(mine).values(state=int(state)))

    async def open_trainings(
        self, engine: AsyncEngine, team_ids: Collection[str], trainer_id: str, most: int
    ) -> list[str]:
        """Ids of trainings of teams, or of a trainer, that are neither closed nor cancelled, the earliest first."""
        columns = self.trainings.c
        over = (int(Training.STATE_CLOSED), int(Training.STATE_CANCELLED))
        theirs = columns.team_id.in_(team_ids) | (columns.trainer_id == trainer_id)
        query = select(columns.training_id).where(columns.state.not_in(over), theirs)
        async with engine.connect() as connection:
            return list(await connection.scalars(query.order_by(columns.position).limit(most)))

    async def list_trainings(
        self, engine: AsyncEngine, request: ListTrainingsRequest, reach: Reach
    ) -> list[tuple[str, int]]:
        """Ids and positions of a page of trainings, the latest first, one more than asked for when there are more.

        Of those that somebody sees: of teams that they care for, of their own, and those that they give.
        """
        columns = self.trainings.c
        query = select(columns.training_id, columns.position).order_by(columns.position.desc())
        if not reach.everybody:
            theirs = columns.team_id.in_({*reach.teams, reach.own_team})
            query = query.where(theirs | (columns.trainer_id == reach.caller.employee_id))
        filters = ((columns.team_id, request.team_id), (columns.trainer_id, request.trainer_id))
        for column, wanted in (*filters, (columns.state, request.state)):
            if wanted:
                query = query.where(column == wanted)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.training_id, row.position) for row in found]

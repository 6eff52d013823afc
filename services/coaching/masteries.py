"""Read model: of whom there are repetitions of a lead's tasks."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.reaching import Reach
from stepladder.coaching.v1.events_pb2 import RepetitionRecorded
from stepladder.coaching.v1.mastery_pb2 import ListMasteriesRequest


class Masteries(ReadModel):
    """Rows: one for each lead, with the position of the latest repetition."""

    name = "masteries"
    version = 1
    subjects = ("log.coaching.mastery.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.masteries = Table(
            f"masteries{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("position", BigInteger, nullable=False),
        )
        self.tables = (self.masteries,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case RepetitionRecorded(employee_id=employee_id):
                    await rows.execute(
                        upsert(self.masteries, rows), {"employee_id": employee_id, "position": recorded.position}
                    )

    async def list_masteries(self, engine: AsyncEngine, request: ListMasteriesRequest, reach: Reach) -> list[str]:
        """Ids of a page of leads whom somebody sees, one more than asked for when there are more."""
        employee_id = self.masteries.c.employee_id
        query = select(employee_id).where(reach.of(employee_id)).order_by(employee_id).limit(page_size(request) + 1)
        if (start := page_start(request)) is not None:
            query = query.where(employee_id > start[0])
        async with engine.connect() as connection:
            return list(await connection.scalars(query))

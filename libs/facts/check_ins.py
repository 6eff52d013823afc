"""Read model: whose check-ins there are, of which days. What they say stays in the restricted stream."""

from collections.abc import Collection, Sequence

from sqlalchemy import Column, MetaData, String, Table, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.performance.v1.check_in_pb2 import ListCheckInsRequest
from stepladder.performance.v1.events_pb2 import CheckInCorrected, CheckInCreated, CheckInRetracted


class CheckIns(ReadModel):
    """Rows: one for each check-in that stands."""

    name = "check_ins"
    version = 1
    subjects = ("restricted.performance.checkin.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.check_ins = Table(
            f"check_ins{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("check_in_id", String, primary_key=True),
            Column("date", String(10), nullable=False),
        )
        self.tables = (self.check_ins,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        columns = self.check_ins.c
        for recorded in events:
            match recorded.event:
                case CheckInCreated(check_in=check_in) | CheckInCorrected(check_in=check_in):
                    row = {
                        "employee_id": check_in.employee_id,
                        "check_in_id": check_in.check_in_id,
                        "date": check_in.date,
                    }
                    await rows.execute(upsert(self.check_ins, rows), row)
                case CheckInRetracted(employee_id=employee_id, check_in_id=check_in_id):
                    mine = (columns.employee_id == employee_id) & (columns.check_in_id == check_in_id)
                    await rows.execute(delete(self.check_ins).where(mine))

    async def list_check_ins(self, engine: AsyncEngine, request: ListCheckInsRequest) -> list[tuple[str, str]]:
        """Days and ids of a page of an employee's check-ins, one more than asked for when there are more."""
        columns = self.check_ins.c
        key = (columns.date, columns.check_in_id)
        query = select(*key).where(columns.employee_id == request.employee_id)
        if request.start_date:
            query = query.where(columns.date >= request.start_date)
        if request.end_date:
            query = query.where(columns.date <= request.end_date)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            found = await connection.execute(query.order_by(*key).limit(page_size(request) + 1))
            return [(row.date, row.check_in_id) for row in found]

    async def ids_of(
        self, engine: AsyncEngine, employee_ids: Collection[str], *, last: int, since: str, until: str
    ) -> list[tuple[str, str]]:
        """Employees and ids of their check-ins up to a day: the last so many of each, and all since another day."""
        columns = self.check_ins.c
        latest_first = (columns.date.desc(), columns.check_in_id.desc())
        rank = func.row_number().over(partition_by=columns.employee_id, order_by=latest_first).label("rank")
        mine = (
            select(columns.employee_id, columns.check_in_id, columns.date, rank)
            .where(columns.employee_id.in_(employee_ids), columns.date <= until)
            .subquery()
        )
        query = select(mine.c.employee_id, mine.c.check_in_id).where((mine.c.rank <= last) | (mine.c.date >= since))
        async with engine.connect() as connection:
            return [(row.employee_id, row.check_in_id) for row in await connection.execute(query)]

    async def last_dates(self, engine: AsyncEngine, employee_ids: Collection[str]) -> dict[str, str]:
        """The day of the last check-in of each employee who has one."""
        columns = self.check_ins.c
        query = select(columns.employee_id, func.max(columns.date).label("last"))
        query = query.where(columns.employee_id.in_(employee_ids)).group_by(columns.employee_id)
        async with engine.connect() as connection:
            return {row.employee_id: row.last for row in await connection.execute(query)}

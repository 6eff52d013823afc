"""Read model: which records there are, whose, of what kind, at which day."""

from collections.abc import Collection, Sequence

from sqlalchemy import Column, MetaData, String, Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.partitions import Sharing
from libs.common.projecting import ReadModel
from stepladder.performance.v1.events_pb2 import RecordCorrected, RecordCreated
from stepladder.performance.v1.record_pb2 import ListRecordsRequest


class Records(ReadModel):
    """Rows: one for each record, at its day; retracted ones, too."""

    name = "records"
    version = 1
    subjects = ("log.performance.record.*",)
    sharing = Sharing(by_id=subjects)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.records = Table(
            f"records{suffix}",
            metadata,
            Column("record_id", String, primary_key=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("kind", String, nullable=False),
            Column("date", String(10), nullable=False, index=True),
        )
        self.tables = (self.records,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        found: dict[str, dict[str, str]] = {}
        for recorded in events:
            match recorded.event:
                case RecordCreated(record=record) | RecordCorrected(record=record):
                    found[record.record_id] = {
                        "record_id": record.record_id,
                        "employee_id": record.employee_id,
                        "kind": record.WhichOneof("content") or "",
                        "date": record.date,
                    }
        if found:
            await rows.execute(upsert(self.records, rows), list(found.values()))

    async def list_records(
        self, engine: AsyncEngine, request: ListRecordsRequest, among: Collection[str] | None = None
    ) -> list[tuple[str, str]]:
        """Days and ids of a page of records, one more than asked for when there are more.

        `among`: of these employees only; None: of all.
        """
        columns = self.records.c
        key = (columns.date, columns.record_id)
        query = select(*key).order_by(*key).limit(page_size(request) + 1)
        for column, wanted in ((columns.employee_id, request.employee_id), (columns.kind, request.kind)):
            if wanted:
                query = query.where(column == wanted)
        if among is not None:
            query = query.where(columns.employee_id.in_(among))
        if request.start_date:
            query = query.where(columns.date >= request.start_date)
        if request.end_date:
            query = query.where(columns.date <= request.end_date)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            return [(row.date, row.record_id) for row in await connection.execute(query)]

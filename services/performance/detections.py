"""Read model: which detections there are, the latest first."""

from collections.abc import Collection, Sequence

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.performance.v1.detection_pb2 import ListDetectionsRequest
from stepladder.performance.v1.events_pb2 import UnderperformanceDetected


class Detections(ReadModel):
    """Rows: one for each detection."""

    name = "detections"
    version = 1
    subjects = ("log.performance.detection.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.detections = Table(
            f"detections{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("detection_id", String, nullable=False),
            Column("employee_id", String, nullable=False, index=True),
            Column("policy_id", String, nullable=False),
        )
        self.tables = (self.detections,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        values = [
            {
                "position": recorded.position,
                "detection_id": recorded.event.detection.detection_id,
                "employee_id": recorded.event.detection.employee_id,
                "policy_id": recorded.event.detection.policy_id,
            }
            for recorded in events
            if isinstance(recorded.event, UnderperformanceDetected)
        ]
        if values:
            await rows.execute(insert(self.detections), values)

    async def ids_of(self, engine: AsyncEngine, employee_ids: Collection[str], policy_id: str = "") -> list[str]:
        """The detections of employees under a policy, or any."""
        columns = self.detections.c
        query = select(columns.detection_id).where(columns.employee_id.in_(employee_ids))
        if policy_id:
            query = query.where(columns.policy_id == policy_id)
        async with engine.connect() as connection:
            return list(await connection.scalars(query))

    async def list_detections(
        self, engine: AsyncEngine, request: ListDetectionsRequest, among: Collection[str] | None = None
    ) -> list[tuple[str, int]]:
        """Ids and positions of a page of detections, one more than asked for when there are more.

        `among`: of these employees only; None: of all.
        """
        columns = self.detections.c
        query = select(columns.detection_id, columns.position).order_by(columns.position.desc())
        if request.employee_id:
            query = query.where(columns.employee_id == request.employee_id)
        if among is not None:
            query = query.where(columns.employee_id.in_(among))
        if request.policy_id:
            query = query.where(columns.policy_id == request.policy_id)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.detection_id, row.position) for row in found]

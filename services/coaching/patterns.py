"""Read model: what was found of whom on which days, and whether it still stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Boolean, Column, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from stepladder.performance.v1.events_pb2 import DetectionDrifted, UnderperformanceDetected


@dataclass(frozen=True, slots=True)
class Found:
    """A detection that stands: of whom, in which team by then, on which days, both inclusive."""

    detection_id: str
    employee_id: str
    team_id: str
    start_date: str
    end_date: str


class Patterns(ReadModel):
    """Rows: one for each detection."""

    name = "patterns"
    version = 1
    subjects = ("log.performance.detection.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.patterns = Table(
            f"patterns{suffix}",
            metadata,
            Column("detection_id", String, primary_key=True),
            Column("employee_id", String, nullable=False),
            Column("policy_id", String, nullable=False, index=True),
            Column("kpi_id", String, nullable=False, index=True),  # empty where it is about several, or ratings
            Column("team_id", String, nullable=False),
            Column("start_date", String(10), nullable=False),
            Column("end_date", String(10), nullable=False),
            Column("stands", Boolean, nullable=False),
        )
        self.tables = (self.patterns,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case UnderperformanceDetected(detection=found):
                    await rows.execute(
                        insert(self.patterns).values(
                            detection_id=found.detection_id,
                            employee_id=found.employee_id,
                            policy_id=found.policy_id,
                            kpi_id=found.kpi_id,
                            team_id=found.team_id,
                            start_date=min(period.start_date for period in found.periods),
                            end_date=max(period.end_date for period in found.periods),
                            stands=True,
                        )
                    )
                case DetectionDrifted(detection_id=detection_id, drift=drift):
                    mine = self.patterns.c.detection_id == detection_id
                    await rows.execute(update(self.patterns).where(mine).values(stands=drift.stands))

    async def standing(
        self, engine: AsyncEngine, start_date: str, end_date: str, *, policy_id: str, kpi_id: str
    ) -> list[Found]:
        """The latest detection of each employee that stands and shares a day, by a policy, or without one of a KPI."""
        columns = self.patterns.c
        same = columns.policy_id == policy_id if policy_id else columns.kpi_id == kpi_id
        query = (
            select(columns.detection_id, columns.employee_id, columns.team_id, columns.start_date, columns.end_date)
            .where(same, columns.stands, columns.start_date <= end_date, columns.end_date >= start_date)
            .order_by(columns.end_date, columns.detection_id)
        )
        async with engine.connect() as connection:
            latest = {row.employee_id: Found(*row) for row in await connection.execute(query)}
        return [latest[employee_id] for employee_id in sorted(latest)]

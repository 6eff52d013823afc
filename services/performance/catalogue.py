"""Read model: which KPIs, targets and detection policies there are."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, MetaData, Row, String, Table, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.performance.v1.detection_pb2 import ListDetectionPoliciesRequest
from stepladder.performance.v1.events_pb2 import DetectionPolicyCreated, KpiCreated, TargetSet
from stepladder.performance.v1.kpi_pb2 import ListKpisRequest, ListTargetsRequest, Target


class Catalogue(ReadModel):
    """Rows: ids of KPIs and policies, and every target by KPI, team (empty: the centre) and first day."""

    name = "catalogue"
    version = 1
    subjects = ("log.performance.kpi.*", "log.performance.target.*", "log.performance.detectionpolicy.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.kpis = Table(f"kpis{suffix}", metadata, Column("kpi_id", String, primary_key=True))
        self.policies = Table(f"detection_policies{suffix}", metadata, Column("policy_id", String, primary_key=True))
        self.targets = Table(
            f"targets{suffix}",
            metadata,
            Column("kpi_id", String, primary_key=True),
            Column("team_id", String, primary_key=True),
            Column("effective_date", String(10), primary_key=True),
            Column("minimum", String, nullable=False),
            Column("maximum", String, nullable=False),
            Column("position", BigInteger, nullable=False),
        )
        self.tables = (self.kpis, self.policies, self.targets)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case KpiCreated(kpi=kpi):
                    await rows.execute(insert(self.kpis).values(kpi_id=kpi.kpi_id))
                case DetectionPolicyCreated(policy=policy):
                    await rows.execute(insert(self.policies).values(policy_id=policy.policy_id))
                case TargetSet(target=target):
                    row = {
                        "kpi_id": target.kpi_id,
                        "team_id": target.team_id,
                        "effective_date": target.effective_date,
                        "minimum": target.minimum,
                        "maximum": target.maximum,
                        "position": recorded.position,
                    }
                    await rows.execute(upsert(self.targets, rows), row)

    async def list_ids(self, engine: AsyncEngine, request: ListKpisRequest | ListDetectionPoliciesRequest) -> list[str]:
        """Ids of a page of KPIs or policies, one more than asked for when there are more."""
        key = self.kpis.c.kpi_id if isinstance(request, ListKpisRequest) else self.policies.c.policy_id
        query = select(key).order_by(key).limit(page_size(request) + 1)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(key) > tuple_(*start))
        async with engine.connect() as connection:
            return list(await connection.scalars(query))

    async def list_targets(self, engine: AsyncEngine, request: ListTargetsRequest) -> list[Target]:
        """A page of targets by KPI, team and day, one more than asked for when there are more."""
        columns = self.targets.c
        key = (columns.kpi_id, columns.team_id, columns.effective_date)
        query = select(self.targets).order_by(*key).limit(page_size(request) + 1)
        if request.kpi_id:
            query = query.where(columns.kpi_id == request.kpi_id)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            return [_target(row) for row in await connection.execute(query)]

    async def targets_of(self, engine: AsyncEngine, kpi_id: str) -> list[Target]:
        """Every target of a KPI."""
        async with engine.connect() as connection:
            rows = await connection.execute(select(self.targets).where(self.targets.c.kpi_id == kpi_id))
            return [_target(row) for row in rows]


def _target(row: Row[tuple[str, str, str, str, str, int]]) -> Target:
    return Target(
        kpi_id=row.kpi_id,
        team_id=row.team_id,
        effective_date=row.effective_date,
        minimum=row.minimum,
        maximum=row.maximum,
        log_position=row.position,
    )

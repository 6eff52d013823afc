"""Read model: what was recorded of employees' days, as far as coaching rests on it."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.eventsourcing import Recorded
from libs.common.partitions import Sharing
from libs.common.projecting import ReadModel
from libs.facts.recorded_facts import RecordedFacts


class Facts(ReadModel):
    """Recorded facts, in this service's own database."""

    name = "facts"
    version = 1
    subjects = (
        "log.performance.facts.*",
        "log.performance.record.*",
        "log.performance.kpi.*",
        "log.performance.employee.*",
    )

    # Facts know their KPI, so each share has to. Records of somebody count by each other, and name nobody.
    sharing = Sharing(
        by_month=("log.performance.facts.*",),
        by_id=("log.performance.employee.*",),
        everywhere=("log.performance.kpi.*",),
    )

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.recorded = RecordedFacts(metadata, suffix)
        self.tables = self.recorded.tables

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        await self.recorded.take(rows, events)

"""Read model: what employees' days add up to, in what detail, and what follows from it; all committed together."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from libs.facts.details import Details, DetailsBatch
from libs.facts.readings import Changed, Readings, ReadingsBatch
from libs.facts.violations import RecordEvent, Violations
from services.performance.judgements import Judgements, JudgementsBatch


class Results(ReadModel):
    """Readings with violations and details, and the judgements that are planned by them, all at one position."""

    name = "results"
    version = 3
    subjects = ("log.performance.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.readings = Readings(metadata, suffix)
        self.violations = Violations(self.readings, metadata, suffix)
        self.judgements = Judgements(self.readings, metadata, suffix)
        self.details = Details(metadata, suffix)
        self.tables = (
            *self.readings.tables,
            self.violations.violations,
            *self.judgements.tables,
            *self.details.tables,
        )

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        readings, changes = ReadingsBatch(self.readings, rows), list[Changed | None]()
        details = DetailsBatch(self.details, rows)
        for recorded in events:
            await details.take(recorded)
            if isinstance(recorded.event, RecordEvent):
                changes.append(await self.violations.take(recorded.event, recorded.position, readings, rows))
            else:
                changes.append(await readings.take(recorded))
        await readings.flush()
        await details.flush()
        judgements = JudgementsBatch(self.judgements, rows)
        for recorded, changed in zip(events, changes, strict=True):
            await judgements.take(recorded, changed)
        await judgements.write()

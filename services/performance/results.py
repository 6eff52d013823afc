"""Read model: what employees' days add up to, and what follows from it; the rows of both are committed together."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from services.performance.judgements import Judgements, JudgementsBatch
from services.performance.readings import Changed, Readings, ReadingsBatch
from services.performance.violations import RecordEvent, Violations


class Results(ReadModel):
    """Readings with violations, and the judgements that are planned by them: one follower has them at one position."""

    name = "results"
    version = 3
    subjects = ("log.performance.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.readings = Readings(metadata, suffix)
        self.violations = Violations(self.readings, metadata, suffix)
        self.judgements = Judgements(self.readings, metadata, suffix)
        self.tables = (*self.readings.tables, self.violations.violations, *self.judgements.tables)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        readings, changes = ReadingsBatch(self.readings, rows), list[Changed | None]()
        for recorded in events:
            if isinstance(recorded.event, RecordEvent):
                changes.append(await self.violations.take(recorded.event, recorded.position, readings, rows))
            else:
                changes.append(await readings.take(recorded))
        await readings.flush()
        judgements = JudgementsBatch(self.judgements, rows)
        for recorded, changed in zip(events, changes, strict=True):
            await judgements.take(recorded, changed)
        await judgements.write()

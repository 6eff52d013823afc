"""Read model: what employees' days add up to, in what detail, and what follows from it; all committed together."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from libs.facts.recorded_facts import RecordedFacts
from services.performance.details import Details, DetailsBatch
from services.performance.judgements import Judgements, JudgementsBatch


class Results(ReadModel):
    """Recorded facts and their details, and the judgements that are planned by them, all at one position."""

    name = "results"
    version = 3
    subjects = ("log.performance.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.facts = RecordedFacts(metadata, suffix)
        self.judgements = Judgements(self.facts.readings, metadata, suffix)
        self.details = Details(metadata, suffix)
        self.tables = (*self.facts.tables, *self.judgements.tables, *self.details.tables)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        changes = await self.facts.take(rows, events)
        details = DetailsBatch(self.details, rows)
        for recorded in events:
            await details.take(recorded)
        await details.flush()
        judgements = JudgementsBatch(self.judgements, rows)
        for recorded, changed in zip(events, changes, strict=True):
            await judgements.take(recorded, changed)
        await judgements.write()

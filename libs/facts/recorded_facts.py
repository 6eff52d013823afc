"""Rows of what was recorded of employees' days: readings, violations, answers; all written together."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.eventsourcing import Recorded
from libs.facts.answers import Answers, AnswersBatch
from libs.facts.readings import Changed, Readings, ReadingsBatch
from libs.facts.violations import RecordEvent, Violations


class RecordedFacts:
    """The tables of a read model that follows facts, records, KPIs and employees."""

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.readings = Readings(metadata, suffix)
        self.violations = Violations(self.readings, metadata, suffix)
        self.answers = Answers(metadata, suffix)
        self.tables = (*self.readings.tables, self.violations.violations, self.answers.answers)

    async def take(self, rows: AsyncConnection, events: Sequence[Recorded]) -> list[Changed | None]:
        """Does what events do; answers what each of them changed."""
        readings, answers = ReadingsBatch(self.readings, rows), AnswersBatch(self.answers, rows)
        changes = list[Changed | None]()
        for recorded in events:
            await answers.take(recorded)
            if isinstance(recorded.event, RecordEvent):
                changes.append(await self.violations.take(recorded.event, recorded.position, readings, rows))
            else:
                changes.append(await readings.take(recorded))
        await readings.flush()
        await answers.flush()
        return changes

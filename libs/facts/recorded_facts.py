"""Rows of what was recorded of employees' days: readings, violations, and with them answers; written together."""

from collections.abc import Sequence

from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.facts.adding import Counted
from libs.facts.answers import Answers, AnswersBatch
from libs.facts.readings import Changed, Readings, ReadingsBatch
from libs.facts.violations import RecordEvent, Violations, record_source


class RecordedDays:
    """The tables of a read model that follows facts, records, KPIs and employees."""

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.readings = Readings(metadata, suffix)
        self.violations = Violations(self.readings, metadata, suffix)
        self.tables: tuple[Table, ...] = (*self.readings.tables, self.violations.violations)

    async def take(self, rows: AsyncConnection, events: Sequence[Recorded]) -> list[Changed | None]:
        """Does what events do; answers what each of them changed."""
        readings, changes = ReadingsBatch(self.readings, rows), list[Changed | None]()
        for recorded in events:
            if isinstance(recorded.event, RecordEvent):
                changes.append(await self.violations.take(recorded.event, recorded.position, readings, rows))
            else:
                changes.append(await readings.take(recorded))
        await readings.flush()
        return changes


class RecordedFacts(RecordedDays):
    """The same with what was answered on evaluation forms."""

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        super().__init__(metadata, suffix)
        self.answers = Answers(metadata, suffix)
        self.tables = (*self.tables, self.answers.answers)

    async def take(self, rows: AsyncConnection, events: Sequence[Recorded]) -> list[Changed | None]:
        """Does what events do; answers what each of them changed."""
        answers = AnswersBatch(self.answers, rows)
        for recorded in events:
            await answers.take(recorded)
        await answers.flush()
        return await super().take(rows, events)

    async def done(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        form_id: str,
        item_id: str,
        start: str,
        end: str,
        known_at: int = 0,
    ) -> list[Counted]:
        """Evaluations in which an item of a form applied, and whether it was done: as readings of a ratio."""
        answers = await self.answers.answers_of(engine, employee_ids, form_id, item_id, start, end, known_at=known_at)
        sources = [record_source(one.record_id) for one in answers]
        disputed = await self.readings.disputed_sources(engine, employee_ids, sources, known_at=known_at)
        return [
            Counted(one.employee_id, one.date, source, "", 1 - one.missed, 1, one.position, source in disputed)
            for one, source in zip(answers, sources, strict=True)
        ]

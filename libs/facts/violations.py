"""Read model: what employees' records count as: measures of days, and violations, each of which counts by others."""

from collections.abc import Collection
from datetime import date
from typing import TypeAlias, assert_never

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.facts.conduct import Offending, counted
from libs.facts.knowing import knowledge_columns, known, supersede
from libs.facts.readings import Changed, Readings, ReadingsBatch, key_of
from stepladder.performance.v1.events_pb2 import (
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)
from stepladder.performance.v1.policy_pb2 import Offence
from stepladder.performance.v1.record_pb2 import Outcome, Record

POINTS = "conduct.points"
"""The measure that violations have."""
RecordEvent: TypeAlias = RecordCreated | RecordCorrected | RecordRetracted | RecordDisputed | RecordDisputeSettled


class Violations:
    """Rows: one for each violation. What records measure, points included, is kept among the readings."""

    def __init__(self, readings: Readings, metadata: MetaData, suffix: str) -> None:
        self._readings = readings
        self.violations = Table(
            f"violations{suffix}",
            metadata,
            Column("record_id", String, primary_key=True),
            *knowledge_columns(),
            Column("employee_id", String, nullable=False, index=True),
            Column("date", String(10), nullable=False),
            Column("rule_book_id", String, nullable=False),
            Column("offence", LargeBinary, nullable=False),
        )

    async def take(self, event: RecordEvent, position: int, batch: ReadingsBatch, rows: AsyncConnection) -> Changed:
        """Does what an event of a record does."""
        record_id = event.record.record_id if isinstance(event, RecordCreated | RecordCorrected) else event.record_id
        employee_id, source = event.employee_id, record_source(record_id)
        readings, disputes = self._readings.readings, self._readings.disputes
        match event:
            case RecordCreated(outcome=outcome) if not outcome.HasField("offence"):
                for one in outcome.measures:
                    batch.add(employee_id, one.date, source, one.name, one.value, position)
                return Changed(employee_id, [(one.date, one.name) for one in outcome.measures], first=True)
            case RecordCreated(record=record, outcome=outcome) | RecordCorrected(record=record, outcome=outcome):
                await batch.flush()
                days = await self._recount(rows, employee_id, record_id, record, outcome, position)
                return Changed(employee_id, days, first=isinstance(event, RecordCreated))
            case RecordRetracted():
                await batch.flush()
                days = await self._recount(rows, employee_id, record_id, Record(), Outcome(), position)
                return Changed(employee_id, days)
            case RecordDisputed():
                await batch.flush()
                of_it = (readings.c.employee_id == employee_id) & (readings.c.source == source)
                query = select(readings.c.date, readings.c.measure).where(of_it, known(readings))
                contested = {(day, measure) for day, measure in await rows.execute(query)}
                # A warning has no points, and others have theirs by it.
                violations = self.violations
                offence = select(violations.c.date).where(violations.c.record_id == record_id, known(violations))
                contested |= {(day, POINTS) for day in await rows.scalars(offence)}
                await batch.dispute([key_of(employee_id, day, source, one) for day, one in contested], position)
                return Changed(employee_id, contested)
            case RecordDisputeSettled():
                mine = (disputes.c.employee_id == employee_id) & (disputes.c.source == source)
                return Changed(employee_id, await batch.settle(mine, position))
            case unknown:
                assert_never(unknown)

    async def violations_of(self, rows: AsyncConnection, employee_id: str, known_at: int = 0) -> list[Offending]:
        """The violations of an employee that stand."""
        return (await self.violations_of_all(rows, [employee_id], known_at))[employee_id]

    async def violations_of_all(
        self, rows: AsyncConnection, employee_ids: Collection[str], known_at: int = 0
    ) -> dict[str, list[Offending]]:
        """The violations of each of several employees that stand."""
        disputes = self._readings.disputes
        query = select(self.violations).where(
            self.violations.c.employee_id.in_(employee_ids), known(self.violations, known_at)
        )
        contested = select(disputes.c.source).where(disputes.c.employee_id.in_(employee_ids), known(disputes, known_at))
        disputed = set(await rows.scalars(contested))
        found: dict[str, list[Offending]] = {employee_id: [] for employee_id in employee_ids}
        for row in await rows.execute(query):
            offending = Offending(
                record_id=row.record_id,
                date=row.date,
                rule_book_id=row.rule_book_id,
                offence=Offence.FromString(row.offence),
                position=row.position,
                disputed=record_source(row.record_id) in disputed,
            )
            found[row.employee_id].append(offending)
        return found

    async def _recount(
        self, rows: AsyncConnection, employee_id: str, record_id: str, record: Record, outcome: Outcome, position: int
    ) -> list[tuple[str, str]]:
        """Puts what a record counts as now in the place of what it did; answers day and measure of what changed.

        All violations of the employee are counted anew, for one may be a warning or not by another.
        """
        source = record_source(record_id)
        offence = {
            "record_id": record_id,
            "employee_id": employee_id,
            "date": record.date,
            "rule_book_id": record.violation.rule_book_id,
            "offence": outcome.offence.SerializeToString(),
        }
        offences = [offence] if outcome.HasField("offence") else []
        await supersede(rows, self.violations, self.violations.c.record_id == record_id, offences, position)
        measures = [(source, one.date, one.name, one.value) for one in outcome.measures]
        violations = counted(await self.violations_of(rows, employee_id), date.max)
        measures += [
            (record_source(one.record_id), one.date, POINTS, one.points) for one in violations if not one.warning
        ]
        wanted = [
            {**key_of(employee_id, on, of, name), "numerator": value, "denominator": 0}
            for of, on, name, value in measures
        ]
        columns = self._readings.readings.c
        theirs = (columns.source == source) | (columns.measure == POINTS)
        changed = await supersede(
            rows, self._readings.readings, (columns.employee_id == employee_id) & theirs, wanted, position
        )
        return [(str(row["date"]), str(row["measure"])) for row in changed]


def record_source(record_id: str) -> str:
    """The source of the readings that a record counts as. No id of a source has a colon."""
    return f"record:{record_id}"

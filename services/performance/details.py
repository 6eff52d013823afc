"""Rows of what reports need beside the sums of days: hours, offences, disputes, findings."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert_rows
from libs.common.days import Span
from libs.common.eventsourcing import Recorded
from libs.facts.knowing import NEVER, content_of, knowledge_columns, known, supersede
from libs.facts.violations import record_source
from stepladder.performance.v1.events_pb2 import (
    DetectionDrifted,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
    UnderperformanceDetected,
)
from stepladder.performance.v1.facts_pb2 import Fact, Reading, ReadingsOfDay


class Details:
    """Rows, with what they were before: the sums of each hour of a reading that has starts; each violation's offence;
    each dispute, whether open or settled; each detection.
    """

    def __init__(self, metadata: MetaData, suffix: str) -> None:
        def of_day() -> list[Column[str]]:
            return [
                Column("employee_id", String, primary_key=True),
                Column("date", String(10), primary_key=True),
            ]

        self.hours = Table(
            f"hours{suffix}",
            metadata,
            *of_day(),
            Column("source", String, primary_key=True),
            Column("kpi_id", String, primary_key=True),
            Column("hour", Integer, primary_key=True, autoincrement=False),
            *knowledge_columns(),
            # Their sum, the smallest and the largest: which of them is asked for is for the KPI to say.
            Column("numerator", BigInteger, nullable=False),
            Column("least", BigInteger, nullable=False),
            Column("most", BigInteger, nullable=False),
            Column("denominator", BigInteger, nullable=False),
            sqlite_with_rowid=False,
        )
        self.offences = Table(
            f"offences{suffix}",
            metadata,
            *of_day(),
            Column("record_id", String, primary_key=True),
            *knowledge_columns(),
            Column("rule_book_id", String, nullable=False),
            # Of the rule book's version.
            Column("policy_position", BigInteger, nullable=False),
            Column("offence_id", String, nullable=False),
        )
        self.contested = Table(
            f"contested{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            # A reading, or a record by its source.
            Column("what", String, primary_key=True),
            *knowledge_columns(),
            Column("reviewer_id", String, nullable=False),
            # Seconds since 1970; 0: it is open.
            Column("opened", BigInteger, nullable=False),
            Column("settled", BigInteger, nullable=False),
        )
        self.findings = Table(
            f"findings{suffix}",
            metadata,
            Column("detection_id", String, primary_key=True),
            *knowledge_columns(),
            Column("date", String(10), nullable=False, index=True),
            Column("employee_id", String, nullable=False),
            Column("team_id", String, nullable=False),
            Column("policy_id", String, nullable=False),
            Column("policy_position", BigInteger, nullable=False),
            Column("stands", Boolean, nullable=False),
        )
        self.tables = (self.hours, self.offences, self.contested, self.findings)

    async def findings_in(
        self, engine: AsyncEngine, span: Span, team_id: str, known_at: int = 0
    ) -> Sequence[Row[tuple[object, ...]]]:
        """Detections whose last period ended in a span, of a team (empty: all), the latest first."""
        columns = self.findings.c
        query = select(self.findings).where(
            columns.date >= span.start.isoformat(), columns.date <= span.end.isoformat(), known(self.findings, known_at)
        )
        if team_id:
            query = query.where(columns.team_id == team_id)
        async with engine.connect() as connection:
            return (await connection.execute(query.order_by(columns.date.desc(), columns.detection_id))).all()

    async def contested_in(
        self, engine: AsyncEngine, start: int, end: int, known_at: int = 0
    ) -> Sequence[Row[tuple[object, ...]]]:
        """Disputes opened before an end (seconds since 1970), and still open or settled since a start."""
        columns = self.contested.c
        query = select(self.contested).where(
            columns.opened < end,
            (columns.settled == 0) | (columns.settled >= start),
            known(self.contested, known_at),
        )
        async with engine.connect() as connection:
            return (await connection.execute(query)).all()


class DetailsBatch:
    """What a batch of events makes of the rows: hours are gathered and written together, the rest at once."""

    def __init__(self, model: Details, rows: AsyncConnection) -> None:
        self._model = model
        self._rows = rows
        self._hours: list[tuple[str | int, ...]] = []

    async def take(self, recorded: Recorded) -> None:
        model, at = self._model, recorded.position
        match recorded.event:
            case FactRecorded(fact=fact):
                self._record(fact, at)
            case FactCorrected(fact=fact):
                await self._supersede_hours(fact, [one.kpi_id for one in fact.readings], at)
                self._record(fact, at)
            case FactRetracted(readings=named):
                await self._supersede_hours(named, named.kpi_ids, at)
            case FactDisputed(readings=named, reviewer_id=reviewer_id):
                await self._open(named.employee_id, _named(named), reviewer_id, recorded)
            case FactDisputeSettled(readings=named):
                await self._settle(named.employee_id, _named(named), recorded)
            case RecordCreated(record=record) as event:
                if record.HasField("violation"):
                    row = {**_offence(event), "position": at, "superseded": NEVER}
                    await self._rows.execute(insert(model.offences), row)
            case RecordCorrected(record=record, employee_id=employee_id) as event:
                offences = [_offence(event)] if record.HasField("violation") else []
                await self._replace(employee_id, record.record_id, offences, at)
            case RecordRetracted(record_id=record_id, employee_id=employee_id):
                await self._replace(employee_id, record_id, [], at)
            case RecordDisputed(record_id=record_id, employee_id=employee_id, reviewer_id=reviewer_id):
                await self._open(employee_id, [record_source(record_id)], reviewer_id, recorded)
            case RecordDisputeSettled(record_id=record_id, employee_id=employee_id):
                await self._settle(employee_id, [record_source(record_id)], recorded)
            case UnderperformanceDetected(detection=found):
                row = {
                    "detection_id": found.detection_id,
                    "position": at,
                    "superseded": NEVER,
                    "date": found.periods[-1].end_date,
                    "employee_id": found.employee_id,
                    "team_id": found.team_id,
                    "policy_id": found.policy_id,
                    "policy_position": found.policy_position,
                    "stands": True,
                }
                await self._rows.execute(insert(model.findings), row)
            case DetectionDrifted(detection_id=detection_id, drift=drift):
                mine = model.findings.c.detection_id == detection_id
                current = (await self._rows.execute(select(model.findings).where(mine, known(model.findings)))).one()
                wanted = {**content_of(current), "stands": drift.stands}
                await supersede(self._rows, model.findings, mine, [wanted], at)

    async def flush(self) -> None:
        """Writes what was gathered."""
        if self._hours:
            await upsert_rows(self._rows, self._model.hours, self._hours)
        self._hours = []

    def _record(self, fact: Fact, position: int) -> None:
        for reading in fact.readings:
            if reading.starts:
                key = (fact.employee_id, fact.date, fact.source, reading.kpi_id)
                self._hours += [(*key, hour, position, NEVER, *sums) for hour, sums in hours_of(reading).items()]

    async def _supersede_hours(self, named: Fact | ReadingsOfDay, kpi_ids: Iterable[str], position: int) -> None:
        await self.flush()
        hours = self._model.hours
        mine = (
            (hours.c.employee_id == named.employee_id)
            & (hours.c.date == named.date)
            & (hours.c.source == named.source)
            & hours.c.kpi_id.in_(list(kpi_ids))
        )
        await self._rows.execute(update(hours).where(mine, known(hours)).values(superseded=position))

    async def _replace(
        self, employee_id: str, record_id: str, wanted: Sequence[Mapping[str, object]], position: int
    ) -> None:
        """Puts what a violation is now in the place of what it was."""
        table = self._model.offences
        mine = (table.c.employee_id == employee_id) & (table.c.record_id == record_id)
        await supersede(self._rows, table, mine, wanted, position)

    async def _open(self, employee_id: str, disputed: Sequence[str], reviewer_id: str, by: Recorded) -> None:
        row = {"employee_id": employee_id, "reviewer_id": reviewer_id, "opened": by.envelope.time.seconds, "settled": 0}
        known_from = {"position": by.position, "superseded": NEVER}
        rows = [{**row, "what": what, **known_from} for what in disputed]
        await self._rows.execute(insert(self._model.contested), rows)

    async def _settle(self, employee_id: str, disputed: Sequence[str], by: Recorded) -> None:
        table = self._model.contested
        for what in disputed:
            mine = (table.c.employee_id == employee_id) & (table.c.what == what) & (table.c.settled == 0)
            row = (await self._rows.execute(select(table).where(mine, known(table)))).one()
            settled = {**content_of(row), "settled": by.envelope.time.seconds}
            await supersede(self._rows, table, mine, [settled], by.position)


def hours_of(reading: Reading) -> dict[int, tuple[int, int, int, int]]:
    """By hour in which samples began: the sum of their numerators, the smallest, the largest, the denominators' sum."""
    hours: dict[int, tuple[int, int, int, int]] = {}
    numerators, starts = reading.numerators[:], reading.starts[:]  # lists: faster to go through
    denominators = reading.denominators[:] or [0] * len(numerators)
    for start, above, below in zip(starts, numerators, denominators, strict=True):
        total, least, most, denominator = hours.get(start // 60, (0, above, above, 0))
        hours[start // 60] = (total + above, min(least, above), max(most, above), denominator + below)
    return hours


def _named(named: ReadingsOfDay) -> list[str]:
    return [f"{named.date} {named.source} {kpi_id}" for kpi_id in named.kpi_ids]


def _offence(event: RecordCreated | RecordCorrected) -> dict[str, str | int]:
    record = event.record
    return {
        "employee_id": record.employee_id,
        "date": record.date,
        "record_id": record.record_id,
        "rule_book_id": record.violation.rule_book_id,
        "policy_position": event.outcome.policy_position,
        "offence_id": record.violation.offence_id,
    }

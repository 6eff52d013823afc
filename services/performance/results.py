"""Read model: what employees' days add up to, for any period; and which periods are to be judged, when."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert, upsert_rows
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import day_over, deadlines
from services.performance.detectionpolicy import period_of
from services.performance.people import People
from stepladder.performance.v1.detection_pb2 import DetectionPolicy
from stepladder.performance.v1.events_pb2 import DetectionPolicyCreated, FactCorrected, FactRecorded, KpiCreated
from stepladder.performance.v1.facts_pb2 import (
    Fact,
    KpiResult,
    ListFactsRequest,
    ListKpiResultsRequest,
    Reading,
    RecordedReading,
)
from stepladder.performance.v1.kpi_pb2 import Kpi

JUDGE = "judge"
"""The kind of deadline at which an employee's period is judged; its key is `judgement_key`."""


CONCERNED = (FactRecorded, FactCorrected, KpiCreated, DetectionPolicyCreated)


class Results(ReadModel):
    """Rows: one for each employee, day, source and KPI; KPIs' aggregations; policies; periods to be judged."""

    name = "results"
    version = 1
    subjects = ("log.performance.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.readings = Table(
            f"readings{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("date", String(10), primary_key=True),
            Column("source", String, primary_key=True),
            Column("kpi_id", String, primary_key=True),
            Column("numerator", BigInteger, nullable=False),
            Column("denominator", BigInteger, nullable=False),
            Column("position", BigInteger, nullable=False),
            sqlite_with_rowid=False,  # one tree in place of a table beside its key's index
        )
        self.aggregations = Table(
            f"aggregations{suffix}",
            metadata,
            Column("kpi_id", String, primary_key=True),
            Column("aggregation", Integer, nullable=False),
        )
        self.judged = Table(
            f"judged_kpis{suffix}",
            metadata,
            Column("policy_id", String, primary_key=True),
            Column("kpi_id", String, nullable=False),
            Column("period", Integer, nullable=False),
            Column("settle_seconds", Integer, nullable=False),
        )
        self.deadlines = deadlines(f"judgements{suffix}", metadata)
        self.tables = (self.readings, self.aggregations, self.judged, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        if not any(isinstance(recorded.event, CONCERNED) for recorded in events):
            return
        aggregations: dict[str, int] = {
            row.kpi_id: row.aggregation for row in await rows.execute(select(self.aggregations))
        }
        policies: dict[str, list[DetectionPolicy]] = {}
        for row in await rows.execute(select(self.judged)):
            policies.setdefault(row.kpi_id, []).append(DetectionPolicy(**row._mapping))
        readings: dict[tuple[str, ...], tuple[str | int, ...]] = {}
        due: dict[str, datetime] = {}
        for recorded in events:
            match recorded.event:
                case FactRecorded(fact=fact) | FactCorrected(fact=fact):
                    day = (fact.employee_id, fact.date, fact.source)
                    for reading in fact.readings:
                        kpi_id = reading.kpi_id
                        key = (*day, kpi_id)
                        readings[key] = (*key, *day_totals(reading, aggregations[kpi_id]), recorded.position)
                        for policy in policies.get(kpi_id, ()):
                            _plan_judgement(due, policy, fact, recorded.envelope.time.ToDatetime(UTC))
                case KpiCreated(kpi=kpi):
                    aggregations[kpi.kpi_id] = kpi.aggregation
                    known = {"kpi_id": kpi.kpi_id, "aggregation": int(kpi.aggregation)}
                    await rows.execute(upsert(self.aggregations, rows), known)
                case DetectionPolicyCreated(policy=policy):
                    policies.setdefault(policy.kpi_id, []).append(policy)
                    await rows.execute(
                        upsert(self.judged, rows),
                        {
                            "policy_id": policy.policy_id,
                            "kpi_id": policy.kpi_id,
                            "period": int(policy.period),
                            "settle_seconds": policy.settle_seconds,
                        },
                    )
        if readings:
            await upsert_rows(rows, self.readings, list(readings.values()))
        if due:
            await rows.execute(
                upsert(self.deadlines, rows),
                [{"kind": JUDGE, "key": key, "due_time": moment} for key, moment in due.items()],
            )

    async def list_facts(self, engine: AsyncEngine, request: ListFactsRequest) -> list[RecordedReading]:
        """A page of an employee's readings by day, source and KPI, one more than asked for when there are more."""
        columns = self.readings.c
        key = (columns.date, columns.source, columns.kpi_id)
        query = (
            select(self.readings)
            .where(
                columns.employee_id == request.employee_id,
                columns.date >= request.start_date,
                columns.date <= request.end_date,
            )
            .order_by(*key)
            .limit(page_size(request) + 1)
        )
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            return [_recorded_reading(row._mapping) for row in await connection.execute(query)]

    async def readings_of(self, engine: AsyncEngine, employee_id: str, kpi_id: str) -> list[RecordedReading]:
        """Every reading of one KPI of an employee, by day and source."""
        columns = self.readings.c
        query = select(self.readings).where(columns.employee_id == employee_id, columns.kpi_id == kpi_id)
        async with engine.connect() as connection:
            rows = await connection.execute(query.order_by(columns.date, columns.source))
            return [_recorded_reading(row._mapping) for row in rows]

    async def list_results(
        self, engine: AsyncEngine, request: ListKpiResultsRequest, people: People
    ) -> list[KpiResult]:
        """A page of results, without values, by group and KPI; one more than asked for when there are more."""
        readings, spans = self.readings.c, people.memberships.c
        groups = {
            ListKpiResultsRequest.GROUP_BY_EMPLOYEE: [readings.employee_id],
            ListKpiResultsRequest.GROUP_BY_TEAM: [spans.team_id],
            ListKpiResultsRequest.GROUP_BY_CENTRE: [],
        }[request.group_by]
        key = [*groups, readings.kpi_id]
        source = self.readings.join(self.aggregations, self.aggregations.c.kpi_id == readings.kpi_id)
        if request.team_id or request.group_by == ListKpiResultsRequest.GROUP_BY_TEAM:
            member = (spans.employee_id == readings.employee_id) & (spans.from_date <= readings.date)
            source = source.join(people.memberships, member & (readings.date < spans.until_date))
        query = (
            select(
                *key,
                self.aggregations.c.aggregation,
                func.sum(readings.numerator).label("total"),
                func.min(readings.numerator).label("least"),
                func.max(readings.numerator).label("most"),
                func.sum(readings.denominator).label("denominator"),
                func.count(readings.date.distinct()).label("days"),
                func.max(readings.position).label("position"),
            )
            .select_from(source)
            .where(readings.date >= request.start_date, readings.date <= request.end_date)
            .group_by(*key, self.aggregations.c.aggregation)
            .order_by(*key)
            .limit(page_size(request) + 1)
        )
        filters = ((request.employee_id, readings.employee_id), (request.team_id, spans.team_id))
        for wanted, column in (*filters, (request.kpi_id, readings.kpi_id)):
            if wanted:
                query = query.where(column == wanted)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            found = [row._mapping for row in await connection.execute(query)]
        numerators = {Kpi.AGGREGATION_MINIMUM: "least", Kpi.AGGREGATION_MAXIMUM: "most"}
        return [
            KpiResult(
                employee_id=row.get("employee_id", ""),
                team_id=row.get("team_id", ""),
                kpi_id=row["kpi_id"],
                numerator=int(row[numerators.get(row["aggregation"], "total")]),
                denominator=int(row["denominator"]),
                days=row["days"],
                log_position=row["position"],
            )
            for row in found
        ]


def day_totals(reading: Reading, aggregation: int) -> tuple[int, int]:
    """Numerator and denominator that the samples of a day add up to under a KPI's aggregation."""
    numerators = reading.numerators[:]  # a list: twice as fast to go through
    match aggregation:
        case Kpi.AGGREGATION_MINIMUM:
            return min(numerators), 0
        case Kpi.AGGREGATION_MAXIMUM:
            return max(numerators), 0
        case _:
            return sum(numerators), sum(reading.denominators[:])


def judgement_key(policy_id: str, employee_id: str, period_start: date) -> str:
    """What a judgement is about."""
    return f"{policy_id} {employee_id} {period_start.isoformat()}"


def _plan_judgement(due: dict[str, datetime], policy: DetectionPolicy, fact: Fact, recorded: datetime) -> None:
    """Judges the fact's period once it has ended everywhere and no fact has come for the policy's time to settle."""
    period = period_of(policy, date.fromisoformat(fact.date))
    settled = recorded + timedelta(seconds=policy.settle_seconds)
    due[judgement_key(policy.policy_id, fact.employee_id, period.start)] = max(day_over(period.end), settled)


def _recorded_reading(row: object) -> RecordedReading:
    fields = dict(row)  # type: ignore[call-overload] # a row's mapping, whose type SQLAlchemy keeps to itself
    fields["log_position"] = fields.pop("position")
    return RecordedReading(**fields)

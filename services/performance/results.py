"""Read model: what employees' days add up to, for any period; and what is to be judged or looked at again, when."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import TypeAlias, assert_never

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    case,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import insert_new, upsert, upsert_rows, writing
from libs.common.days import months_between
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import day_over, deadlines
from services.performance.conduct import Offending, counted
from services.performance.knowing import NEVER, knowledge_columns, known, supersede
from services.performance.people import People
from services.performance.policy import kpis_of, policy_in
from services.performance.scoring import Counted
from services.performance.trigger import period_of
from stepladder.performance.v1.events_pb2 import (
    DetectionDrifted,
    DetectionPolicyCreated,
    EmployeeHired,
    EmployeeTransferred,
    EmploymentStatusChanged,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    KpiCreated,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PolicySet,
    PositionChanged,
    RatingDecided,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
    TeamLeadAppointed,
    UnderperformanceDetected,
)
from stepladder.performance.v1.facts_pb2 import (
    Fact,
    KpiResult,
    ListFactsRequest,
    ListKpiResultsRequest,
    Reading,
    ReadingsOfDay,
    RecordedReading,
)
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import DetectionRule, Offence, Policy
from stepladder.performance.v1.record_pb2 import Outcome

JUDGE = "judge"
"""The kind of deadline at which an employee's period is judged; its key is `judgement_key`."""
RECONSIDER = "reconsider"
"""The kind of deadline, due at once, at which what rests on an employee's month is looked at again; see `month_key`."""
REVISE = "revise"
"""The same for a lead's own month only, which rests on what others did: many changes of theirs come to one look."""

POINTS = "conduct.points"
OWN, NUMERATOR, DENOMINATOR = range(3)
"""What a measure is to a KPI: its own readings, or one side of a ratio of sums."""
RATED = "rated"
"""Stands for a measure where it is a rating that changed."""
RecordEvent: TypeAlias = RecordCreated | RecordCorrected | RecordRetracted | RecordDisputed | RecordDisputeSettled

Key: TypeAlias = tuple[str, str, str, str]
"""Employee, day, source and measure."""
_Reading: TypeAlias = tuple[str | int, ...]
"""A row of readings: the key, position, superseded, numerator, denominator."""


class Results(ReadModel):
    """Rows of readings, by employee, day, source and measure, with what they were before; and what is to be done when.

    A measure is a KPI's own, by its id, or one that records have. Beside readings: disputes; violations, of which each
    counts by those before it; what KPIs are made of, and policies, to know what to do; the months of employees on which
    something rests; when the directory last changed for an employee; every lead that a team has had.
    """

    name = "results"
    version = 2
    subjects = ("log.performance.>",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        def key() -> list[Column[str]]:
            return [
                Column("employee_id", String, primary_key=True),
                Column("date", String(10), primary_key=True),
                Column("source", String, primary_key=True),
                Column("measure", String, primary_key=True),
            ]

        self.readings = Table(
            f"readings{suffix}",
            metadata,
            *key(),
            *knowledge_columns(),
            Column("numerator", BigInteger, nullable=False),
            Column("denominator", BigInteger, nullable=False),
            sqlite_with_rowid=False,  # one tree in place of a table beside its key's index
        )
        self.disputes = Table(f"disputes{suffix}", metadata, *key(), *knowledge_columns())
        self.parts = Table(
            f"parts{suffix}",
            metadata,
            Column("kpi_id", String, primary_key=True),
            Column("measure", String, primary_key=True, index=True),
            Column("role", Integer, nullable=False),
            Column("aggregation", Integer, nullable=False),
        )
        self.violations = Table(
            f"violations{suffix}",
            metadata,
            Column("record_id", String, primary_key=True),
            *knowledge_columns(),
            Column("employee_id", String, nullable=False, index=True),
            Column("date", String(10), nullable=False),
            Column("offence", LargeBinary, nullable=False),
        )
        self.judged = Table(
            f"judged_by{suffix}",
            metadata,
            Column("policy_id", String, primary_key=True),
            Column("effective_date", String(10), primary_key=True),
            Column("rule", LargeBinary, nullable=False),
        )
        self.resting = Table(
            f"resting{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("month", String(7), primary_key=True),
        )
        self.moves = Table(
            f"moves{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("position", BigInteger, nullable=False),
        )
        self.leads = Table(
            f"leads_ever{suffix}",
            metadata,
            Column("team_id", String, primary_key=True),
            Column("lead_id", String, primary_key=True),
        )
        self.deadlines = deadlines(f"judgements{suffix}", metadata)
        self.tables = (
            self.readings,
            self.disputes,
            self.parts,
            self.violations,
            self.judged,
            self.resting,
            self.moves,
            self.leads,
            self.deadlines,
        )

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        batch = _Batch(self, rows)
        for recorded in events:
            await batch.take(recorded)
        await batch.write()

    async def plan_revisions(self, engine: AsyncEngine, keys: Sequence[str], now: datetime, position: int) -> None:
        """Has months (see `month_key`) looked at again by themselves."""
        if keys:
            due = [{"kind": REVISE, "key": key, "due_time": now, "position": position} for key in keys]
            async with writing(engine) as transaction:
                await transaction.execute(upsert(self.deadlines, transaction), due)

    async def list_facts(self, engine: AsyncEngine, request: ListFactsRequest) -> list[RecordedReading]:
        """A page of an employee's readings by day, source and measure, one more than asked for when there are more."""
        columns = self.readings.c
        key = (columns.date, columns.source, columns.measure)
        mine = self._of([request.employee_id], request.start_date, request.end_date, request.known_at)
        query = select(self.readings).where(*mine(self.readings)).order_by(*key).limit(page_size(request) + 1)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            rows = (await connection.execute(query)).all()
            disputed = await self._disputed(connection, mine)
        return [
            RecordedReading(
                employee_id=row.employee_id,
                date=row.date,
                source=row.source,
                kpi_id=row.measure,
                numerator=row.numerator,
                denominator=row.denominator,
                log_position=row.position,
                disputed=(row.employee_id, row.date, row.source, row.measure) in disputed,
            )
            for row in rows
        ]

    async def readings_of(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        kpi_ids: Sequence[str],
        start: str,
        end: str,
        *,
        known_at: int = 0,
    ) -> list[Counted]:
        """What KPIs are made of: readings of employees from one day to another, both inclusive, by employee and day.

        Of a KPI derived from measures, some readings have a numerator only, and some a denominator.
        """
        columns, parts = self.readings.c, self.parts.c
        mine = self._of(employee_ids, start, end, known_at)
        query = (
            select(
                columns.employee_id,
                columns.date,
                columns.source,
                columns.measure,
                columns.position,
                columns.numerator,
                columns.denominator,
                parts.kpi_id,
                parts.role,
            )
            .join(self.parts, parts.measure == columns.measure)
            .where(*mine(self.readings), parts.kpi_id.in_(kpi_ids))
            .order_by(columns.employee_id, columns.date, columns.source)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(query)).all()
            disputed = await self._disputed(connection, mine)
        found: list[Counted] = []
        for employee_id, day, source, measure, position, numerator, denominator, kpi_id, role in rows:
            above = 0 if role == DENOMINATOR else numerator
            below = numerator if role == DENOMINATOR else denominator if role == OWN else 0
            contested = bool(disputed) and (employee_id, day, source, measure) in disputed
            found.append(Counted(employee_id, day, source, kpi_id, above, below, position, contested))
        return found

    @staticmethod
    def _of(
        employee_ids: Sequence[str], start: str, end: str, known_at: int
    ) -> Callable[[Table], Sequence[ColumnElement[bool]]]:
        """Chooses rows of employees and days, out of readings or disputes."""
        return lambda table: (
            table.c.employee_id.in_(employee_ids),
            table.c.date >= start,
            table.c.date <= end,
            known(table, known_at),
        )

    async def _disputed(
        self, connection: AsyncConnection, mine: Callable[[Table], Sequence[ColumnElement[bool]]]
    ) -> set[Key]:
        rows = await connection.execute(select(self.disputes).where(*mine(self.disputes)))
        return {(row.employee_id, row.date, row.source, row.measure) for row in rows}

    async def violations_of(self, rows: AsyncConnection, employee_id: str, known_at: int = 0) -> list[Offending]:
        """The violations of an employee that stand."""
        query = select(self.violations).where(
            self.violations.c.employee_id == employee_id, known(self.violations, known_at)
        )
        contested = select(self.disputes.c.source).where(
            self.disputes.c.employee_id == employee_id, known(self.disputes, known_at)
        )
        disputed = set(await rows.scalars(contested))
        return [
            Offending(
                record_id=row.record_id,
                date=row.date,
                offence=Offence.FromString(row.offence),
                position=row.position,
                disputed=record_source(row.record_id) in disputed,
            )
            for row in await rows.execute(query)
        ]

    async def changes(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        kpi_ids: Sequence[str],
        start: str,
        end: str,
        since: int,
        measures: Sequence[str] = (),
    ) -> list[int]:
        """Positions of what became known behind one about KPIs and measures on days of a span, ascending."""
        parts = select(self.parts.c.measure).where(self.parts.c.kpi_id.in_(kpi_ids))
        found: set[int] = set()
        async with engine.connect() as connection:
            for table, edge in product((self.readings, self.disputes), ("position", "superseded")):
                query = select(table.c[edge]).where(
                    table.c.employee_id.in_(employee_ids),
                    table.c.measure.in_(parts) | table.c.measure.in_(measures),
                    table.c.date >= start,
                    table.c.date <= end,
                    table.c[edge] > since,
                    table.c[edge] < NEVER,
                )
                found |= set(await connection.scalars(query.distinct()))
        return sorted(found)

    async def list_results(
        self, engine: AsyncEngine, request: ListKpiResultsRequest, people: People
    ) -> list[KpiResult]:
        """A page of results, without values, by group and KPI; one more than asked for when there are more."""
        readings, spans = self.readings.c, people.memberships.c
        now = request.known_at
        groups = {
            ListKpiResultsRequest.GROUP_BY_EMPLOYEE: [readings.employee_id],
            ListKpiResultsRequest.GROUP_BY_TEAM: [spans.team_id],
            ListKpiResultsRequest.GROUP_BY_CENTRE: [],
        }[request.group_by]
        parts = self.parts.c
        key = [*groups, parts.kpi_id]
        source = self.readings.join(self.parts, parts.measure == readings.measure)
        if request.team_id or request.group_by == ListKpiResultsRequest.GROUP_BY_TEAM:
            member = (spans.employee_id == readings.employee_id) & known(people.memberships, now)
            during = (spans.from_date <= readings.date) & (readings.date < spans.until_date)
            source = source.join(people.memberships, member & during)
        query = (
            select(
                *key,
                parts.aggregation,
                func.sum(case((parts.role == DENOMINATOR, 0), else_=readings.numerator)).label("total"),
                func.min(readings.numerator).label("least"),
                func.max(readings.numerator).label("most"),
                func.sum(
                    case(
                        (parts.role == DENOMINATOR, readings.numerator),
                        (parts.role == OWN, readings.denominator),
                        else_=0,
                    )
                ).label("denominator"),
                func.count(readings.date.distinct()).label("days"),
                func.max(readings.position).label("position"),
            )
            .select_from(source)
            .where(readings.date >= request.start_date, readings.date <= request.end_date, known(self.readings, now))
            .group_by(*key, parts.aggregation)
            .order_by(*key)
            .limit(page_size(request) + 1)
        )
        filters = ((request.employee_id, readings.employee_id), (request.team_id, spans.team_id))
        for wanted, column in (*filters, (request.kpi_id, parts.kpi_id)):
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


class _Batch:
    """What a batch of events makes of the rows: readings gathered and written together, the seldom rest at once."""

    def __init__(self, model: Results, rows: AsyncConnection) -> None:
        self._model = model
        self._rows = rows
        self._aggregations: dict[str, int] | None = None  # of KPIs with readings of their own
        self._policies: dict[str, dict[str, list[tuple[str, DetectionRule]]]] = {}
        """By measure and id, the versions of policies that judge by it, the earliest first."""
        self._current: dict[Key, _Reading] = {}
        self._past: list[_Reading] = []
        self._superseded: list[dict[str, str | int]] = []
        self._position = 0  # of the last event taken
        self._late: dict[tuple[str, str], datetime] = {}
        self._due: dict[tuple[str, str], datetime] = {}

    async def take(self, recorded: Recorded) -> None:
        self._position = position = recorded.position
        now = recorded.envelope.time.ToDatetime(UTC)
        match recorded.event:
            case FactRecorded(fact=fact):
                await self._record(fact, position)
                self._late[fact.employee_id, fact.date[:7]] = now
                self._judge(fact.employee_id, fact.date, [one.kpi_id for one in fact.readings], now, settle=True)
            case FactCorrected(fact=fact):
                self._supersede(fact, [one.kpi_id for one in fact.readings], position)
                await self._record(fact, position)
                self._changed(fact, [one.kpi_id for one in fact.readings], now)
            case FactRetracted(readings=named):
                await self._know_rules()
                self._supersede(named, named.kpi_ids, position)
                self._changed(named, named.kpi_ids, now)
            case FactDisputed(readings=named):
                await self._know_rules()
                await self._dispute(_keys(named), position)
                self._changed(named, named.kpi_ids, now)
            case FactDisputeSettled(readings=named):
                await self._know_rules()
                columns = self._model.disputes.c
                day = (columns.employee_id == named.employee_id) & (columns.date == named.date)
                await self._settle(
                    day & (columns.source == named.source) & columns.measure.in_(named.kpi_ids), position
                )
                self._changed(named, named.kpi_ids, now)
            case KpiCreated() | PolicySet() | DetectionPolicyCreated() as rule:
                await self._know_rule(rule, now)
            case (
                RecordCreated() | RecordCorrected() | RecordRetracted() | RecordDisputed() | RecordDisputeSettled()
            ) as event:
                await self._know_record(event, position, now)
            case _:
                await self._look_again(recorded.event, position, now)

    async def write(self) -> None:
        """Writes what was gathered."""
        await self._flush()
        if self._late:
            await self._plan_late()
        if self._due:
            await self._rows.execute(
                upsert(self._model.deadlines, self._rows),
                [
                    {"kind": kind, "key": key, "due_time": moment, "position": self._position}
                    for (kind, key), moment in self._due.items()
                ],
            )

    async def _flush(self) -> None:
        if self._superseded:
            table = self._model.readings
            mine = [table.c[name] == bindparam(f"its_{name}") for name in ("employee_id", "date", "source", "measure")]
            statement = update(table).where(*mine, known(table)).values(superseded=bindparam("by"))
            await self._rows.execute(statement, self._superseded)
        if readings := [*self._past, *self._current.values()]:
            await upsert_rows(self._rows, self._model.readings, readings)
        self._superseded, self._past, self._current = [], [], {}

    async def _know_rules(self) -> dict[str, int]:
        if self._aggregations is None:
            model = self._model
            parts = (await self._rows.execute(select(model.parts))).all()
            self._aggregations = {row.kpi_id: row.aggregation for row in parts if row.role == OWN}
            self._policies = {}
            rules = await self._rows.execute(select(model.judged).order_by(model.judged.c.effective_date))
            for row in rules:
                policy = Policy(detection=DetectionRule.FromString(row.rule))
                named = [kpi_id for _, kpi_id in kpis_of(policy)]
                measures = {part.measure for part in parts if part.kpi_id in named}
                measures |= {RATED} if policy.detection.HasField("ratings") else set()
                measures |= {POINTS} if policy.detection.HasField("points") else set()
                for measure in measures:
                    versions = self._policies.setdefault(measure, {}).setdefault(row.policy_id, [])
                    versions.append((row.effective_date, policy.detection))
        return self._aggregations

    async def _know_rule(self, rule: KpiCreated | PolicySet | DetectionPolicyCreated, now: datetime) -> None:
        match rule:
            case KpiCreated(kpi=kpi):
                derived = {kpi.derived.numerator: NUMERATOR, kpi.derived.denominator: DENOMINATOR}
                roles = derived if kpi.HasField("derived") else {kpi.kpi_id: OWN}
                parts = [
                    {"kpi_id": kpi.kpi_id, "measure": measure, "role": role, "aggregation": int(kpi.aggregation)}
                    for measure, role in roles.items()
                    if measure
                ]
                await self._rows.execute(upsert(self._model.parts, self._rows), parts)
            case PolicySet() | DetectionPolicyCreated():
                policy = policy_in(rule)
                if policy.WhichOneof("content") != "detection":
                    return
                row = {
                    "policy_id": policy.policy_id,
                    "effective_date": policy.effective_date,
                    "rule": policy.detection.SerializeToString(),
                }
                await self._rows.execute(upsert(self._model.judged, self._rows), row)
                self._aggregations = None
                await self._judge_past(policy, now)
        self._aggregations = None

    async def _judge_past(self, policy: Policy, now: datetime) -> None:
        """Judges what is there already by a policy that is in force from an earlier day on."""
        await self._flush()
        await self._know_rules()
        readings, since = self._model.readings.c, policy.effective_date
        measures = [measure for measure, ids in self._policies.items() if policy.policy_id in ids and measure != RATED]
        query = select(readings.employee_id, readings.date, readings.measure).where(
            readings.measure.in_(measures), readings.date >= since, known(self._model.readings)
        )
        for employee_id, day, measure in await self._rows.execute(query.distinct()):
            self._judge(employee_id, day, [measure], now, settle=True)
        if policy.detection.HasField("ratings"):
            resting = self._model.resting.c
            rated = select(resting.employee_id, resting.month).where(resting.month >= since[:7])
            for employee_id, month in await self._rows.execute(rated):
                self._judge(employee_id, f"{month}-01", [RATED], now, settle=True)

    async def _know_record(self, event: RecordEvent, position: int, now: datetime) -> None:
        """Keeps what a record counts as, and plans what follows from it."""
        await self._know_rules()
        record_id = event.record.record_id if isinstance(event, RecordCreated | RecordCorrected) else event.record_id
        employee_id, source = event.employee_id, record_source(record_id)
        readings, disputes = self._model.readings, self._model.disputes
        of_it = (readings.c.employee_id == employee_id) & (readings.c.source == source)
        match event:
            case RecordCreated(outcome=outcome) if not outcome.HasField("offence"):
                for one in outcome.measures:
                    key = (employee_id, one.date, source, one.name)
                    self._current[key] = (*key, position, NEVER, one.value, 0)
                    self._late[employee_id, one.date[:7]] = now
                    self._judge(employee_id, one.date, [one.name], now, settle=True)
            case RecordCreated(record=record, outcome=outcome) | RecordCorrected(record=record, outcome=outcome):
                changed = await self._recount(employee_id, record_id, record.date, outcome, position)
                self._again(employee_id, changed, now)
            case RecordRetracted():
                self._again(employee_id, await self._recount(employee_id, record_id, "", Outcome(), position), now)
            case RecordDisputed():
                await self._flush()
                query = select(readings.c.date, readings.c.measure).where(of_it, known(readings))
                contested = {(day, measure) for day, measure in await self._rows.execute(query)}
                # A warning has no points, and others have theirs by it.
                violations = self._model.violations
                offence = select(violations.c.date).where(violations.c.record_id == record_id, known(violations))
                contested |= {(day, POINTS) for day in await self._rows.scalars(offence)}
                await self._dispute([_key(employee_id, day, source, one) for day, one in contested], position)
                self._again(employee_id, contested, now)
            case RecordDisputeSettled():
                mine = (disputes.c.employee_id == employee_id) & (disputes.c.source == source)
                self._again(employee_id, await self._settle(mine, position), now)
            case unknown:
                assert_never(unknown)

    async def _recount(
        self, employee_id: str, record_id: str, day: str, outcome: Outcome, position: int
    ) -> list[tuple[str, str]]:
        """Puts what a record counts as now in the place of what it did; answers day and measure of what changed.

        All violations of the employee are counted anew, for one may be a warning or not by another.
        """
        await self._flush()
        model, source = self._model, record_source(record_id)
        offence = {
            "record_id": record_id,
            "employee_id": employee_id,
            "date": day,
            "offence": outcome.offence.SerializeToString(),
        }
        offences = [offence] if outcome.HasField("offence") else []
        mine = model.violations.c.record_id == record_id
        await supersede(self._rows, model.violations, mine, offences, position)
        measures = [(source, one.date, one.name, one.value) for one in outcome.measures]
        violations = counted(await model.violations_of(self._rows, employee_id), date.max)
        measures += [(record_source(one.record_id), one.date, POINTS, one.points) for one in violations if one.points]
        wanted = [
            {**_key(employee_id, on, of, name), "numerator": value, "denominator": 0}
            for of, on, name, value in measures
        ]
        columns = model.readings.c
        theirs = (columns.source == source) | (columns.measure == POINTS)
        changed = await supersede(
            self._rows, model.readings, (columns.employee_id == employee_id) & theirs, wanted, position
        )
        return [(str(row["date"]), str(row["measure"])) for row in changed]

    async def _dispute(self, keys: Sequence[Mapping[str, str]], position: int) -> None:
        if keys:
            rows = [{**key, "position": position, "superseded": NEVER} for key in keys]
            await self._rows.execute(insert(self._model.disputes), rows)

    async def _settle(self, mine: ColumnElement[bool], position: int) -> list[tuple[str, str]]:
        """Ends disputes; answers the day and measure of each."""
        table = self._model.disputes
        query = select(table.c.date, table.c.measure).where(mine, known(table))
        ended = [(day, measure) for day, measure in await self._rows.execute(query)]
        await self._rows.execute(update(table).where(mine, known(table)).values(superseded=position))
        return ended

    async def _look_again(self, event: Message, position: int, now: datetime) -> None:
        """Notes what rests on which months, and plans to look at it again when that changes."""
        match event:
            case MonthClosed(employee_id=employee_id, month=month, scorecard=card, known_at=known_at):
                await self._rests([employee_id, *card.member_ids], month, month, known_at, now)
                await self._rated(employee_id, month, now)
            case MonthRevised(employee_id=employee_id, month=month, after=card, known_at=known_at):
                await self._rests([employee_id, *card.member_ids], month, month, known_at, now)
                await self._rated(employee_id, month, now)
            case MonthRated(employee_id=employee_id, month=month) | RatingDecided(employee_id=employee_id, month=month):
                rested = {"employee_id": employee_id, "month": month}
                await self._rows.execute(insert_new(self._model.resting, self._rows), rested)
                await self._rated(employee_id, month, now)
            case UnderperformanceDetected(detection=found):
                first = (found.evidence_start or found.periods[0].start_date)[:7]
                last = found.periods[-1].end_date[:7]
                # One of an earlier version does not say up to where it looked.
                await self._rests([found.employee_id], first, last, found.known_at or position, now)
            case DetectionDrifted(employee_id=employee_id, drift=drift):
                first = (drift.evidence_start or drift.periods[0].start_date)[:7]
                last = drift.periods[-1].end_date[:7]
                await self._rests([employee_id], first, last, drift.known_at, now)
            case EmployeeHired(employee_id=employee_id, hire_date=day):
                await self._moved([employee_id], day, position, now)
            case (
                EmployeeTransferred(employee_id=employee_id, effective_date=day)
                | PositionChanged(employee_id=employee_id, effective_date=day)
                | EmploymentStatusChanged(employee_id=employee_id, effective_date=day)
            ):
                await self._moved([employee_id], day, position, now)
            case TeamLeadAppointed(team_id=team_id, lead_id=lead_id, effective_date=day):
                leads = self._model.leads
                await self._rows.execute(insert_new(leads, self._rows), {"team_id": team_id, "lead_id": lead_id})
                ever = await self._rows.scalars(select(leads.c.lead_id).where(leads.c.team_id == team_id))
                await self._moved(list(ever), day, position, now)

    async def _record(self, fact: Fact, position: int) -> None:
        aggregations = await self._know_rules()
        for reading in fact.readings:
            kpi_id = reading.kpi_id
            key = (fact.employee_id, fact.date, fact.source, kpi_id)
            self._current[key] = (*key, position, NEVER, *day_totals(reading, aggregations[kpi_id]))

    def _supersede(self, named: Fact | ReadingsOfDay, kpi_ids: Iterable[str], position: int) -> None:
        for kpi_id in kpi_ids:
            key = (named.employee_id, named.date, named.source, kpi_id)
            if (reading := self._current.pop(key, None)) is not None:  # of this batch
                self._past.append((*reading[:5], position, *reading[6:]))
                continue
            names = ("its_employee_id", "its_date", "its_source", "its_measure")
            self._superseded.append({**dict(zip(names, key, strict=True)), "by": position})

    def _changed(self, named: Fact | ReadingsOfDay, kpi_ids: Iterable[str], now: datetime) -> None:
        self._again(named.employee_id, [(named.date, kpi_id) for kpi_id in kpi_ids], now)

    def _again(self, employee_id: str, changed: Iterable[tuple[str, str]], now: datetime) -> None:
        """Plans what follows from a change of days' measures: at once, since nothing more is waited for."""
        for day, measure in changed:
            self._due[RECONSIDER, month_key(employee_id, day[:7])] = now
            self._judge(employee_id, day, [measure], now, settle=False)

    def _judge(self, employee_id: str, text: str, measures: Iterable[str], now: datetime, *, settle: bool) -> None:
        """Judges a day's periods once they have ended everywhere, and no fact has come for the policy's settle time."""
        for measure in measures:
            for policy_id, versions in self._policies.get(measure, {}).items():
                day = date.fromisoformat(text)
                for index, (since, rule) in enumerate(versions):
                    until = versions[index + 1][0] if index + 1 < len(versions) else "9999"
                    period = period_of(rule, day)
                    if not since <= period.start.isoformat() < until:
                        continue  # another version judges that period
                    settled = now + timedelta(seconds=rule.settle_seconds if settle else 0)
                    key = judgement_key(policy_id, employee_id, period.start)
                    self._due[JUDGE, key] = max(day_over(period.end), settled)

    async def _plan_late(self) -> None:
        """Facts of a month on which something rests already."""
        resting = self._model.resting.c
        employees, months = {employee_id for employee_id, _ in self._late}, {month for _, month in self._late}
        query = select(resting.employee_id, resting.month).where(
            resting.employee_id.in_(employees), resting.month.in_(months)
        )
        for employee_id, month in await self._rows.execute(query):
            if (employee_id, month) in self._late:
                self._due[RECONSIDER, month_key(employee_id, month)] = self._late[employee_id, month]

    async def _rated(self, employee_id: str, month: str, now: datetime) -> None:
        """A month has another rating: where policies look at ratings, what they found is looked at again, too."""
        await self._know_rules()
        if RATED in self._policies:
            self._again(employee_id, [(f"{month}-01", RATED)], now)

    async def _rests(self, employee_ids: Sequence[str], first: str, last: str, known_at: int, now: datetime) -> None:
        """Notes that something rests on months; what became known while it was computed has it looked at again."""
        await self._flush()
        moves = self._model.moves.c
        months = months_between(first, last)
        await self._rows.execute(
            insert_new(self._model.resting, self._rows),
            [{"employee_id": one, "month": month} for one in employee_ids for month in months],
        )
        for table in (self._model.readings, self._model.disputes):
            columns = table.c
            since = (columns.position > known_at) | ((columns.superseded > known_at) & (columns.superseded < NEVER))
            changed = select(columns.employee_id, func.substr(columns.date, 1, 7)).where(
                columns.employee_id.in_(employee_ids), columns.date >= first, columns.date < f"{last}-99", since
            )
            for employee_id, month in await self._rows.execute(changed.distinct()):
                self._due[RECONSIDER, month_key(employee_id, month)] = now
        moved = select(moves.employee_id).where(moves.position > known_at)  # whoever it was: they may have joined
        if (await self._rows.execute(moved.limit(1))).first():
            self._due |= {(RECONSIDER, month_key(employee_ids[0], month)): now for month in months}

    async def _moved(self, employee_ids: Sequence[str], day: str, position: int, now: datetime) -> None:
        """The directory changed from a day on: for months on which anything rests, of whomever.

        They had perhaps no month of their own there; what they did counts for whoever leads them now.
        """
        moves, resting = self._model.moves, self._model.resting
        await self._rows.execute(
            upsert(moves, self._rows), [{"employee_id": one, "position": position} for one in employee_ids]
        )
        months = await self._rows.scalars(select(resting.c.month).where(resting.c.month >= day[:7]).distinct())
        found = [{"employee_id": one, "month": month} for month in months for one in employee_ids]
        if found:
            await self._rows.execute(insert_new(resting, self._rows), found)
        for one in found:
            self._due[RECONSIDER, month_key(one["employee_id"], one["month"])] = now
        await self._know_rules()
        if self._policies:  # other targets may hold
            readings = self._model.readings.c
            theirs = select(readings.employee_id, readings.date, readings.measure).where(
                readings.employee_id.in_(employee_ids), readings.date >= day, known(self._model.readings)
            )
            await self._flush()
            for employee_id, text, measure in await self._rows.execute(theirs.distinct()):
                self._judge(employee_id, text, [measure], now, settle=False)


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


def month_key(employee_id: str, month: str) -> str:
    """What is to be looked at again."""
    return f"{employee_id} {month}"


def judgement_key(policy_id: str, employee_id: str, period_start: date) -> str:
    """What a judgement is about."""
    return f"{policy_id} {employee_id} {period_start.isoformat()}"


def record_source(record_id: str) -> str:
    """The source of the readings that a record counts as. No id of a source has a colon."""
    return f"record:{record_id}"


def _key(employee_id: str, day: str, source: str, measure: str) -> dict[str, str]:
    return {"employee_id": employee_id, "date": day, "source": source, "measure": measure}


def _keys(named: ReadingsOfDay) -> list[dict[str, str]]:
    return [_key(named.employee_id, named.date, named.source, kpi_id) for kpi_id in named.kpi_ids]

"""Read model: what employees' days add up to, for any period, with what they were held to be before."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from itertools import product
from typing import NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    RowMapping,
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

from libs.common.database import upsert, upsert_rows
from libs.common.days import ONE_DAY
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.facts.adding import Counted
from libs.facts.employee import LEFT
from libs.facts.knowing import NEVER, knowledge_columns, known, supersede
from libs.facts.people import People
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import (
    EmploymentStatusChanged,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    KpiCreated,
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

OWN, NUMERATOR, DENOMINATOR = range(3)
"""What a measure is to a KPI: its own readings, or one side of a ratio of sums."""

DIRECTORY = "directory:employment"
"""The source of what the directory says. No id of a source has a colon."""

Key: TypeAlias = tuple[str, str, str, str]
"""Employee, day, source and measure."""
_Reading: TypeAlias = tuple[str | int, ...]
"""A row of readings: the key, position, superseded, numerator, denominator."""


class Changed(NamedTuple):
    """What an event changes: measures of an employee's days. `first`: it is not about what was said before."""

    employee_id: str
    days: Iterable[tuple[str, str]]
    """Day and measure of each."""
    first: bool = False


class OfMonth(NamedTuple):
    """What an employee's readings of a KPI add up to in a month (YYYY-MM), on so many days."""

    employee_id: str
    kpi_id: str
    month: str
    numerator: int
    denominator: int
    days: int


class Readings:
    """Rows of readings and of disputes, by employee, day, source and measure; and what KPIs are made of.

    A measure is a KPI's own, by its id, or one that records or the directory have.
    """

    def __init__(self, metadata: MetaData, suffix: str) -> None:
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
        self.tables = (self.readings, self.disputes, self.parts)

    async def list_facts(
        self, engine: AsyncEngine, request: ListFactsRequest, only: Collection[tuple[str, str, str]] | None = None
    ) -> list[RecordedReading]:
        """A page of an employee's readings by day, source and measure, one more than asked for when there are more.

        `only`: those of a day, source and measure that are named.
        """
        columns = self.readings.c
        key = (columns.date, columns.source, columns.measure)
        mine = self._of([request.employee_id], request.start_date, request.end_date, request.known_at)
        query = select(self.readings).where(*mine(self.readings)).order_by(*key).limit(page_size(request) + 1)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        if only is not None:
            query = query.where(tuple_(*key).in_(only))
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

    async def disputed_sources(
        self, engine: AsyncEngine, employee_ids: Sequence[str], sources: Sequence[str], *, known_at: int = 0
    ) -> set[str]:
        """Those of some sources of which anything that they say of employees is disputed."""
        columns = self.disputes.c
        query = select(columns.source).where(
            columns.employee_id.in_(employee_ids), columns.source.in_(sources), known(self.disputes, known_at)
        )
        async with engine.connect() as connection:
            return set(await connection.scalars(query))

    async def known_at(
        self, engine: AsyncEngine, employee_id: str, positions: Collection[int]
    ) -> dict[int, set[tuple[str, str]]]:
        """Those of some positions in the log at which readings of an employee became known.

        Each with the KPIs that are made of what stands of it, and their days: none where all is superseded.
        """
        columns, parts = self.readings.c, self.parts.c
        query = (
            select(columns.position, columns.superseded, parts.kpi_id, columns.date)
            .join(self.parts, parts.measure == columns.measure, isouter=True)
            .where(columns.employee_id == employee_id, columns.position.in_(positions))
        )
        found: dict[int, set[tuple[str, str]]] = {}
        async with engine.connect() as connection:
            for position, superseded, kpi_id, day in await connection.execute(query):
                at = found.setdefault(position, set())
                if kpi_id and superseded == NEVER:
                    at.add((kpi_id, day))
        return found

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
        self,
        engine: AsyncEngine,
        request: ListKpiResultsRequest,
        people: People,
        *,
        among: Collection[str] | None = None,
        in_teams: Collection[str] | None = None,
    ) -> list[KpiResult]:
        """A page of results, without values, by group and KPI; one more than asked for when there are more.

        `among`: of these employees only. `in_teams`: by team, and of these only. None: of all.
        """
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
                *self._sums(),
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
        for ids, column in ((among, readings.employee_id), (in_teams, spans.team_id)):
            if ids is not None:
                query = query.where(column.in_(ids))
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            found = [row._mapping for row in await connection.execute(query)]
        return [
            KpiResult(
                employee_id=row.get("employee_id", ""),
                team_id=row.get("team_id", ""),
                kpi_id=row["kpi_id"],
                numerator=_numerator(row),
                denominator=int(row["denominator"]),
                days=row["days"],
                log_position=row["position"],
            )
            for row in found
        ]

    async def months_of(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        kpi_ids: Sequence[str],
        start: str,
        end: str,
        *,
        known_at: int = 0,
    ) -> list[OfMonth]:
        """What employees' readings of KPIs add up to in each month of days from one to another, both inclusive."""
        columns, parts = self.readings.c, self.parts.c
        month = func.substr(columns.date, 1, 7).label("month")
        key = (columns.employee_id, parts.kpi_id, month, parts.aggregation)
        query = (
            select(*key, *self._sums())
            .join(self.parts, parts.measure == columns.measure)
            .where(*self._of(employee_ids, start, end, known_at)(self.readings), parts.kpi_id.in_(kpi_ids))
            .group_by(*key)
        )
        async with engine.connect() as connection:
            rows = [row._mapping for row in await connection.execute(query)]
        return [
            OfMonth(
                row["employee_id"], row["kpi_id"], row["month"], _numerator(row), int(row["denominator"]), row["days"]
            )
            for row in rows
        ]

    def _sums(self) -> list[ColumnElement[int]]:
        """What grouped rows of readings beside their parts add up to; which numerator counts, `_numerator` says."""
        readings, parts = self.readings.c, self.parts.c
        return [
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
        ]


class ReadingsBatch:
    """What a batch of events makes of the rows: readings are gathered and written together, the seldom rest at once."""

    def __init__(self, model: Readings, rows: AsyncConnection) -> None:
        self._model = model
        self._rows = rows
        self._aggregations: dict[str, int] | None = None  # of KPIs with readings of their own
        self._current: dict[Key, _Reading] = {}
        self._past: list[_Reading] = []
        self._superseded: list[dict[str, str | int]] = []

    async def take(self, recorded: Recorded) -> Changed | None:
        """Does what an event of facts, KPIs or employments does."""
        position = recorded.position
        match recorded.event:
            case FactRecorded(fact=fact):
                await self._record(fact, position)
                return Changed(fact.employee_id, [(fact.date, one.kpi_id) for one in fact.readings], first=True)
            case FactCorrected(fact=fact):
                kpi_ids = [one.kpi_id for one in fact.readings]
                self._supersede(fact, kpi_ids, position)
                await self._record(fact, position)
                return _of_day(fact, kpi_ids)
            case FactRetracted(readings=named):
                self._supersede(named, named.kpi_ids, position)
                return _of_day(named, named.kpi_ids)
            case FactDisputed(readings=named):
                keys = [key_of(named.employee_id, named.date, named.source, kpi_id) for kpi_id in named.kpi_ids]
                await self.dispute(keys, position)
                return _of_day(named, named.kpi_ids)
            case FactDisputeSettled(readings=named):
                columns = self._model.disputes.c
                day = (columns.employee_id == named.employee_id) & (columns.date == named.date)
                await self.settle(day & (columns.source == named.source) & columns.measure.in_(named.kpi_ids), position)
                return _of_day(named, named.kpi_ids)
            case KpiCreated(kpi=kpi):
                await self._know(kpi)
            case EmploymentStatusChanged(employee_id=employee_id, status=status, effective_date=day):
                last = [_day_before(day)] if status == EMPLOYMENT_STATUS_LEFT else []
                if last or await self._leaves(employee_id, _day_before(day)):
                    return await self._left(employee_id, last, position)
        return None

    def add(self, employee_id: str, day: str, source: str, measure: str, value: int, position: int) -> None:
        """Adds a reading that has no denominator and nothing to supersede."""
        key = (employee_id, day, source, measure)
        self._current[key] = (*key, position, NEVER, value, 0)

    async def flush(self) -> None:
        """Writes what was gathered."""
        if self._superseded:
            table = self._model.readings
            mine = [table.c[name] == bindparam(f"its_{name}") for name in ("employee_id", "date", "source", "measure")]
            statement = update(table).where(*mine, known(table)).values(superseded=bindparam("by"))
            await self._rows.execute(statement, self._superseded)
        if readings := [*self._past, *self._current.values()]:
            await upsert_rows(self._rows, self._model.readings, readings)
        self._superseded, self._past, self._current = [], [], {}

    async def dispute(self, keys: Sequence[Mapping[str, str]], position: int) -> None:
        """Has readings disputed from an event on."""
        if keys:
            rows = [{**key, "position": position, "superseded": NEVER} for key in keys]
            await self._rows.execute(insert(self._model.disputes), rows)

    async def settle(self, mine: ColumnElement[bool], position: int) -> list[tuple[str, str]]:
        """Ends disputes; answers the day and measure of each."""
        table = self._model.disputes
        query = select(table.c.date, table.c.measure).where(mine, known(table))
        ended = [(day, measure) for day, measure in await self._rows.execute(query)]
        await self._rows.execute(update(table).where(mine, known(table)).values(superseded=position))
        return ended

    async def _record(self, fact: Fact, position: int) -> None:
        if self._aggregations is None:
            parts = self._model.parts.c
            rows = await self._rows.execute(select(parts.kpi_id, parts.aggregation).where(parts.role == OWN))
            self._aggregations = {row.kpi_id: row.aggregation for row in rows}
        for reading in fact.readings:
            kpi_id = reading.kpi_id
            key = (fact.employee_id, fact.date, fact.source, kpi_id)
            self._current[key] = (*key, position, NEVER, *day_totals(reading, self._aggregations[kpi_id]))

    def _supersede(self, named: Fact | ReadingsOfDay, kpi_ids: Iterable[str], position: int) -> None:
        for kpi_id in kpi_ids:
            key = (named.employee_id, named.date, named.source, kpi_id)
            if (reading := self._current.pop(key, None)) is not None:  # of this batch
                self._past.append((*reading[:5], position, *reading[6:]))
                continue
            names = ("its_employee_id", "its_date", "its_source", "its_measure")
            self._superseded.append({**dict(zip(names, key, strict=True)), "by": position})

    async def _leaves(self, employee_id: str, last: str) -> bool:
        """Whether a day is known as somebody's last day of employment."""
        readings = self._model.readings
        query = select(readings.c.employee_id).where(
            *(readings.c[name] == value for name, value in key_of(employee_id, last, DIRECTORY, LEFT).items()),
            known(readings),
        )
        return await self._rows.scalar(query) is not None

    async def _left(self, employee_id: str, last: Sequence[str], position: int) -> Changed:
        """Counts whoever leaves on the last day of employment, in place of another that was said before.

        Without a day the leaving is taken back.
        """
        await self.flush()
        readings = self._model.readings
        wanted = [{**key_of(employee_id, day, DIRECTORY, LEFT), "numerator": 1, "denominator": 0} for day in last]
        mine = (readings.c.employee_id == employee_id) & (readings.c.source == DIRECTORY)
        changed = await supersede(self._rows, readings, mine, wanted, position)
        return Changed(employee_id, [(str(row["date"]), LEFT) for row in changed])

    async def _know(self, kpi: Kpi) -> None:
        derived = {kpi.derived.numerator: NUMERATOR, kpi.derived.denominator: DENOMINATOR}
        roles = derived if kpi.HasField("derived") else {kpi.kpi_id: OWN}
        parts = [
            {"kpi_id": kpi.kpi_id, "measure": measure, "role": role, "aggregation": int(kpi.aggregation)}
            for measure, role in roles.items()
            if measure
        ]
        await self._rows.execute(upsert(self._model.parts, self._rows), parts)
        self._aggregations = None


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - ONE_DAY).isoformat()


def _numerator(row: RowMapping) -> int:
    columns = {Kpi.AGGREGATION_MINIMUM: "least", Kpi.AGGREGATION_MAXIMUM: "most"}
    return int(row[columns.get(row["aggregation"], "total")])


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


def key_of(employee_id: str, day: str, source: str, measure: str) -> dict[str, str]:
    """What identifies a reading, by column."""
    return {"employee_id": employee_id, "date": day, "source": source, "measure": measure}


def _of_day(named: Fact | ReadingsOfDay, kpi_ids: Iterable[str]) -> Changed:
    return Changed(named.employee_id, [(named.date, kpi_id) for kpi_id in kpi_ids])

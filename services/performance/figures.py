"""Exact sums for reports, grouped in SQL: what was done in a period by whom, cut into stretches of the same targets."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import NamedTuple

from sqlalchemy import Column, ColumnElement, Integer, Join, MetaData, String, Table, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert_rows
from libs.common.days import ONE_DAY, Span
from libs.facts import employee
from libs.facts.adding import Portion
from libs.facts.catalogue import Rules
from libs.facts.employee import Position
from libs.facts.knowing import known
from libs.facts.readings import DENOMINATOR, OWN
from services.performance.results import Results
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.kpi_pb2 import Kpi, Target

STRETCHES = Table(
    "report_stretches",
    MetaData(),
    Column("employee_id", String, primary_key=True),
    Column("from_date", String(10), primary_key=True),
    Column("until_date", String(10), nullable=False),
    Column("scope", Integer, nullable=False),
    prefixes=["TEMPORARY"],
)
"""Of one read: gone when its transaction is rolled back."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where days count: in a team, with the target of each KPI.

    A sum has one only if it is per day: any other does not say of how many days and people it would be.
    """

    team_id: str
    targets: Mapping[str, Target]


class Stretch(NamedTuple):
    """Days of an employee with the same team and targets, from one to before another."""

    employee_id: str
    from_date: date
    until_date: date
    scope: int
    employed: bool


class Sum(NamedTuple):
    """What readings of a KPI in a scope add up to; `at` names what else they were grouped by."""

    kpi_id: str
    at: str
    scope: int
    numerator: int
    denominator: int
    readings: int
    last_date: str


class Total(NamedTuple):
    """What readings of a measure in a scope add up to; `at` as in Sum, `zeros` counts those whose numerator is 0."""

    measure: str
    at: str
    scope: int
    numerator: int
    least: int
    most: int
    denominator: int
    readings: int
    zeros: int
    last_date: str


class Part(NamedTuple):
    """A measure of a KPI, and what it is to it."""

    kpi_id: str
    measure: str
    role: int


class HourSum(NamedTuple):
    """What the samples of a KPI that began in an hour of a day add up to."""

    kpi_id: str
    date: str
    hour: int
    numerator: int
    denominator: int
    readings: int


class Counts(NamedTuple):
    """How often something of a form or rule book was so, and by how many employees; `of` how many times it could.

    `version` is the latest one's position of those it was so under.
    """

    policy_id: str
    name: str
    version: int
    times: int
    of: int
    employees: int


class Scopes:
    """The stretches of employees' days, and the scopes in which they count."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._numbers: dict[tuple[str, tuple[int, ...]], int] = {}
        self.scopes: list[Scope] = []

    def stretches(self, states: Iterable[employee.State], span: Span, team_id: str = "") -> list[Stretch]:
        """The days of a span, of those in a team; empty: of everyone, in whatever team.

        Days before hiring and after leaving are among them, not employed: what was recorded of them counts.
        """
        steps = {
            date.fromisoformat(target.effective_date) for targets in self._rules.targets.values() for target in targets
        }
        found = []
        scope_on = cache(self._scope_on)
        for state in states:
            left = [day for day, status in state.statuses if status == EMPLOYMENT_STATUS_LEFT]
            hired = date.fromisoformat(state.hired.hire_date)
            changes = {day for history in (state.teams, state.positions) for day, _ in history}
            inside = {day for day in {hired, *left, *changes, *steps} if span.start < day <= span.end}
            starts = [span.start, *sorted(inside)]
            for start, end in zip(starts, [*starts[1:], span.end + ONE_DAY], strict=True):
                team = state.team_on(start)
                if team_id in ("", team):
                    employed = hired <= start and not (left and left[0] <= start)
                    scope = scope_on(
                        team, state.position_on(start), max((s for s in steps if s <= start), default=start)
                    )
                    found.append(Stretch(state.employee_id, start, end, scope, employed))
        return found

    def _scope_on(self, team_id: str, held: Position, day: date) -> int:
        targets = {kpi_id: self._rules.target_on(kpi_id, team_id, held, day) for kpi_id in sorted(self._rules.targets)}
        known_ones = {
            kpi_id: target
            for kpi_id, target in targets.items()
            if target is not None and (target.per_day or self._rules.kpis[kpi_id].aggregation != Kpi.AGGREGATION_SUM)
        }
        key = (team_id, tuple(target.log_position for target in known_ones.values()))
        if key not in self._numbers:
            self._numbers[key] = len(self.scopes)
            self.scopes.append(Scope(team_id, known_ones))
        return self._numbers[key]

    def portions(self, sums: Iterable[Sum], days: Mapping[tuple[str, str, int], int]) -> list[Portion]:
        """Sums with the targets of their scopes.

        Args:
            days: how many days of employees are in a sum, by KPI, group and scope; needed where targets are per day.
        """
        return [
            Portion(
                one.numerator,
                one.denominator,
                days.get((one.kpi_id, one.at, one.scope), one.readings),
                one.last_date,
                self.scopes[one.scope].targets.get(one.kpi_id),
            )
            for one in sums
        ]


class Figures:
    """The sums of one read, over the days of some stretches."""

    def __init__(self, connection: AsyncConnection, results: Results, known_at: int) -> None:
        self._connection = connection
        self._readings = results.facts.readings
        self._details = results.details
        self._answers = results.facts.answers
        self._known_at = known_at

    async def totals(self, at: str) -> list[Total]:
        """Of every measure, grouped by `date`, `month` or `employee_id` besides; `""`: by nothing else."""
        readings = self._readings.readings.c
        query = (
            select(
                readings.measure,
                self._group(at).label("bucket"),
                STRETCHES.c.scope,
                func.sum(readings.numerator),
                func.min(readings.numerator),
                func.max(readings.numerator),
                func.sum(readings.denominator),
                func.count(),
                func.sum(case((readings.numerator == 0, 1), else_=0)),
                func.max(readings.date),
            )
            .select_from(self._during(self._readings.readings))
            .where(known(self._readings.readings, self._known_at))
            .group_by(readings.measure, "bucket", STRETCHES.c.scope)
        )
        return [
            Total(measure, label, scope, int(total), least, most, int(below), count, zeros, last)
            for measure, label, scope, total, least, most, below, count, zeros, last in await self._connection.execute(
                query
            )
        ]

    async def parts(self) -> list[Part]:
        """What KPIs are made of."""
        parts = self._readings.parts.c
        return [Part(*row) for row in await self._connection.execute(select(parts.kpi_id, parts.measure, parts.role))]

    async def days(self, at: str, kpi_ids: Sequence[str]) -> dict[tuple[str, str, int], int]:
        """How many days of employees have readings of KPIs, by KPI, group (as for `totals`) and scope."""
        if not kpi_ids:
            return {}
        readings, parts, group = self._readings.readings.c, self._readings.parts.c, self._group(at).label("bucket")
        single = (
            select(parts.kpi_id, group, STRETCHES.c.scope, readings.employee_id, readings.date)
            .select_from(
                self._during(self._readings.readings).join(self._readings.parts, parts.measure == readings.measure)
            )
            .where(known(self._readings.readings, self._known_at), parts.kpi_id.in_(kpi_ids))
            .distinct()
            .subquery()
        )
        key = (single.c.kpi_id, single.c.bucket, single.c.scope)
        rows = await self._connection.execute(select(*key, func.count()).group_by(*key))
        return {(kpi_id, label, scope): count for kpi_id, label, scope, count in rows}

    async def hours(self, kpis: Mapping[str, Kpi]) -> list[HourSum]:
        """Of every KPI with starts, by day and hour."""
        hours = self._details.hours.c
        key = (hours.kpi_id, hours.date, hours.hour)
        query = (
            select(
                *key,
                func.sum(hours.numerator),
                func.min(hours.least),
                func.max(hours.most),
                func.sum(hours.denominator),
                func.count(),
            )
            .select_from(self._during(self._details.hours))
            .where(known(self._details.hours, self._known_at))
            .group_by(*key)
        )
        return [
            HourSum(kpi_id, day, hour, _numerator(kpis[kpi_id], total, least, most), int(below), count)
            for kpi_id, day, hour, total, least, most, below, count in await self._connection.execute(query)
        ]

    async def missed_items(self) -> list[Counts]:
        """By form and item: how often it was missed, of how many times it applied."""
        answers = self._answers.answers.c
        return await self._counts(self._answers.answers, answers.form_id, answers.item_id, answers.missed)

    async def offences(self) -> list[Counts]:
        """By rule book and offence."""
        offences = self._details.offences.c
        return await self._counts(self._details.offences, offences.rule_book_id, offences.offence_id, literal(1))

    async def _counts(
        self, table: Table, policy_id: Column[str], name: Column[str], is_one: ColumnElement[int]
    ) -> list[Counts]:
        key = (policy_id, name)
        who = case((is_one == 1, table.c.employee_id))
        query = (
            select(*key, func.max(table.c.policy_position), func.sum(is_one), func.count(), func.count(who.distinct()))
            .select_from(self._during(table))
            .where(known(table, self._known_at))
            .group_by(*key)
        )
        rows = await self._connection.execute(query)
        return [
            Counts(policy, text, version, int(times), of, employees)
            for policy, text, version, times, of, employees in rows
        ]

    def _group(self, at: str) -> ColumnElement[str]:
        readings = self._readings.readings.c
        if at == "month":
            return func.substr(readings.date, 1, 7)
        return readings[at] if at else literal("", String)

    @staticmethod
    def _during(table: Table) -> Join:
        # An expression: SQLite would look a stretch up for each of the table's rows, not the rows of each stretch.
        theirs = table.c.employee_id == STRETCHES.c.employee_id.concat("")
        during = (table.c.date >= STRETCHES.c.from_date) & (table.c.date < STRETCHES.c.until_date)
        return STRETCHES.join(table, theirs & during)


def sums_of(totals: Iterable[Total], parts: Iterable[Part], kpis: Mapping[str, Kpi]) -> list[Sum]:
    """What KPIs come to, of their measures' totals. Parts of a KPI that was not known then are left out."""
    by_measure: dict[str, list[Part]] = {}
    for part in parts:
        if part.kpi_id in kpis:
            by_measure.setdefault(part.measure, []).append(part)
    found: dict[tuple[str, str, int], Sum] = {}
    for one in totals:
        for part in by_measure.get(one.measure, ()):
            kpi = kpis[part.kpi_id]
            above = 0 if part.role == DENOMINATOR else _numerator(kpi, one.numerator, one.least, one.most)
            below = one.numerator if part.role == DENOMINATOR else one.denominator if part.role == OWN else 0
            key = (part.kpi_id, one.at, one.scope)
            other = found.get(key, Sum(*key, 0, 0, 0, ""))
            found[key] = Sum(
                *key,
                other.numerator + above,
                other.denominator + below,
                other.readings + one.readings,
                max(other.last_date, one.last_date),
            )
    return list(found.values())


def _numerator(kpi: Kpi, total: int, least: int, most: int) -> int:
    return int({Kpi.AGGREGATION_MINIMUM: least, Kpi.AGGREGATION_MAXIMUM: most}.get(kpi.aggregation, total))


@asynccontextmanager
async def figures_of(
    engine: AsyncEngine, results: Results, stretches: Sequence[Stretch], known_at: int
) -> AsyncIterator[Figures]:
    """A read of what employees did in their stretches, all of it in one transaction."""
    async with engine.connect() as connection:
        await connection.run_sync(STRETCHES.create)
        values = [
            (one.employee_id, one.from_date.isoformat(), one.until_date.isoformat(), one.scope) for one in stretches
        ]
        await upsert_rows(connection, STRETCHES, values)
        yield Figures(connection, results, known_at)
        await connection.rollback()


def before(span: Span) -> Span:
    """The period of the same kind before one: a day, a week, a month or a year."""
    days = (span.end - span.start).days + 1
    last = span.start - ONE_DAY
    if days <= 7:
        return Span(span.start - timedelta(days=days), last)
    return Span(last.replace(day=1) if days <= 31 else last.replace(month=1, day=1), last)

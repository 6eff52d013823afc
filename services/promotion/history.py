"""Read model: what eligibility and scores are judged by, of every employee, with what was held to be so before."""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import IntEnum
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.days import ONE_DAY
from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from libs.facts.conduct import Offending
from libs.facts.knowing import content_of, knowledge_columns, known, supersede
from libs.facts.recorded_facts import RecordedFacts
from services.promotion.criteria import (
    Attended,
    During,
    Employed,
    History,
    Rated,
    Waiver,
    Worked,
    first_day,
    month_of,
)
from services.promotion.ladder import Held
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged, MasteryWithdrawn, TaskMastered
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, EmploymentStatus
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmploymentStatusChanged,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PositionChanged,
    RatingDecided,
    RatingProposed,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.record_pb2 import Record
from stepladder.promotion.v1.events_pb2 import CriterionWaived, WaiverWithdrawn


class Kind(IntEnum):
    """Of rows. Stored."""

    POSITION = 0
    STATUS = 1
    RATING = 2
    COURSE = 3
    MASTERY = 4
    PIP = 5
    WAIVER = 6


class Months(NamedTuple):
    """KPIs of which months are needed, from one to another, both inclusive, numbered as by `month_of`."""

    kpi_ids: Sequence[str]
    first: int
    last: int


class Histories(ReadModel):
    """Rows: one for each thing that holds of an employee from a day on; beside them the recorded facts.

    `key` tells those of a kind apart. `name` is the position's, the course's, the task's, or ladder, rung and criterion
    of a waiver; `number` the stars, the status, the rating, or whether an exam was passed; `mark` whether a position is
    held acting, or whether it is disputed.
    """

    name = "histories"
    version = 1
    subjects = (
        "log.performance.employee.*",
        "log.performance.rating.*",
        "log.performance.record.*",
        "log.performance.facts.*",
        "log.performance.kpi.*",
        "log.coaching.mastery.*",
        "log.coaching.standing.*",
        "log.promotion.career.*",
    )

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.recorded = RecordedFacts(metadata, suffix)
        self.histories = Table(
            f"histories{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("kind", Integer, primary_key=True),
            Column("key", String, primary_key=True),
            *knowledge_columns(),
            Column("name", String, nullable=False),
            Column("day", String(10), nullable=False),
            Column("until_date", String(10), nullable=False),
            Column("number", Integer, nullable=False),
            Column("mark", Integer, nullable=False),
            Column("total", String, nullable=False),
        )
        self.tables = (self.histories, *self.recorded.tables)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        await self.recorded.take(rows, events)
        for recorded in events:
            await self._apply(_Rows(self.histories, rows, recorded.position), recorded)

    async def _apply(self, mine: "_Rows", recorded: Recorded) -> None:
        match recorded.event:
            case EmployeeHired(employee_id=employee_id) as hired:
                await mine.hold(
                    employee_id,
                    Kind.POSITION,
                    hired.position_since,
                    day=hired.position_since,
                    name=hired.position,
                    number=hired.stars,
                    mark=hired.acting,
                )
                await mine.hold(employee_id, Kind.STATUS, hired.hire_date, day=hired.hire_date, number=hired.status)
            case PositionChanged(employee_id=employee_id, effective_date=day) as to:
                await mine.hold(
                    employee_id, Kind.POSITION, day, day=day, name=to.position, number=to.stars, mark=to.acting
                )
            case EmploymentStatusChanged(employee_id=employee_id, effective_date=day, status=status):
                if status == EMPLOYMENT_STATUS_LEFT:  # nothing planned for later comes to pass
                    await mine.clear(employee_id, Kind.STATUS, mine.table.c.day > day)
                await mine.hold(employee_id, Kind.STATUS, day, day=day, number=status)
            case MonthRated(employee_id=employee_id, month=month, rating=rating):
                await mine.rate(employee_id, month, rating, total="")
            case MonthClosed(employee_id=employee_id, month=month, rating=rating, scorecard=card):
                await mine.rate(employee_id, month, rating, total=card.total)
            case MonthRevised(employee_id=employee_id, month=month, rating=rating, after=card):
                await mine.rate(employee_id, month, rating, total=card.total)
            case RatingProposed(employee_id=employee_id, month=month):
                await mine.mark(employee_id, Kind.RATING, month, disputed=True)
            case RatingDecided(employee_id=employee_id, month=month, rating=rating):
                await mine.rate(employee_id, month, rating, disputed=False)
            case RecordCreated(employee_id=employee_id, record=record) if record.HasField("training"):
                await mine.attend(employee_id, record)
            case RecordCorrected(employee_id=employee_id, record=record):
                await mine.attend(employee_id, record)
            case RecordRetracted(employee_id=employee_id, record_id=record_id):
                await mine.clear(employee_id, Kind.COURSE, mine.table.c.key == record_id)
            case RecordDisputed(employee_id=employee_id, record_id=record_id):
                await mine.mark(employee_id, Kind.COURSE, record_id, disputed=True)
            case RecordDisputeSettled(employee_id=employee_id, record_id=record_id):
                await mine.mark(employee_id, Kind.COURSE, record_id, disputed=False)
            case TaskMastered(employee_id=employee_id, task_id=task_id, mastered_date=day):
                await mine.hold(employee_id, Kind.MASTERY, f"{task_id} {day}", day=day, name=task_id)
            case MasteryWithdrawn(employee_id=employee_id, task_id=task_id, withdrawn_date=day):
                for held in await mine.open(employee_id, Kind.MASTERY):
                    if held["name"] == task_id:
                        await mine.replace(held, until_date=day)
            case EmployeeStandingChanged(employee_id=employee_id) as standing:
                await self._stand(mine, standing)
            case CriterionWaived(employee_id=employee_id) as waived:
                name = f"{waived.ladder_id} {waived.rung_id} {waived.criterion_id}"
                await mine.hold(
                    employee_id, Kind.WAIVER, name, name=name, day=waived.waived_date, until=waived.until_date
                )
            case WaiverWithdrawn(employee_id=employee_id) as withdrawn:
                name = f"{withdrawn.ladder_id} {withdrawn.rung_id} {withdrawn.criterion_id}"
                last = date.fromisoformat(withdrawn.withdrawn_date) - ONE_DAY
                for held in await mine.current(employee_id, Kind.WAIVER, name):
                    await mine.replace(held, until_date=last.isoformat())

    async def _stand(self, mine: "_Rows", standing: EmployeeStandingChanged) -> None:
        """One that is over without an end of its own counts as not having been: the one before stands again."""
        if not standing.under_pip:
            running = (mine.table.c.until_date == "") & (mine.table.c.key != standing.since_date)
            await mine.clear(standing.employee_id, Kind.PIP, running)
        if standing.since_date:
            day, until = standing.since_date, standing.ended_date
            await mine.hold(standing.employee_id, Kind.PIP, day, day=day, until=until)

    async def of(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        months: Months,
        *,
        known_at: int = 0,
        with_facts: bool = False,
    ) -> dict[str, History]:
        """What was known of each of some employees when the log ended at a position (0: now), but for those unknown.

        `with_facts`: readings with the positions of what they rest on and whether that is disputed, too.
        """
        columns = self.histories.c
        query = (
            select(
                columns.employee_id,
                columns.kind,
                columns.name,
                columns.day,
                columns.until_date,
                columns.number,
                columns.mark,
                columns.total,
                columns.position,
            )
            .where(columns.employee_id.in_(employee_ids), known(self.histories, known_at))
            .order_by(columns.employee_id, columns.day, columns.position)
        )
        found: dict[str, list[Any]] = {}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                found.setdefault(row[0], []).append(row)
            violations = await self.recorded.violations.violations_of_all(connection, list(found), known_at)
        worked = await self._worked(engine, list(found), months, known_at, with_facts=with_facts)
        return {
            employee_id: _history(employee_id, mine, violations[employee_id], worked.get(employee_id, {}))
            for employee_id, mine in found.items()
        }

    async def holders(self, engine: AsyncEngine, name: str, day: date, known_at: int = 0) -> dict[str, int]:
        """Who holds a position on a day, acting or not, and is employed; with which stars each of them."""
        columns = self.histories.c
        ever = select(columns.employee_id).where(columns.kind == Kind.POSITION, columns.name == name)
        query = (
            select(columns.employee_id, columns.kind, columns.name, columns.number)
            .where(
                columns.kind.in_((Kind.POSITION, Kind.STATUS)),
                columns.day <= day.isoformat(),
                columns.employee_id.in_(ever),
                known(self.histories, known_at),
            )
            .order_by(columns.day)
        )
        stars: dict[str, int] = {}
        there: set[str] = set()
        async with engine.connect() as connection:
            for employee_id, kind, held, number in await connection.execute(query):
                if kind == Kind.STATUS:
                    (there.discard if number == EMPLOYMENT_STATUS_LEFT else there.add)(employee_id)
                elif held == name:
                    stars[employee_id] = number
                else:
                    stars.pop(employee_id, None)
        return {employee_id: number for employee_id, number in stars.items() if employee_id in there}

    async def _worked(
        self, engine: AsyncEngine, employee_ids: Sequence[str], months: Months, known_at: int, *, with_facts: bool
    ) -> dict[str, dict[tuple[str, int], Worked]]:
        if not months.kpi_ids:
            return {}
        readings, kpi_ids = self.recorded.readings, months.kpi_ids
        days = (first_day(months.first).isoformat(), (first_day(months.last + 1) - ONE_DAY).isoformat())
        positions: dict[tuple[str, str, str], set[int]] = {}
        disputed: set[tuple[str, str, str]] = set()
        if with_facts:
            for one in await readings.readings_of(engine, employee_ids, kpi_ids, *days, known_at=known_at):
                key = (one.employee_id, one.kpi_id, one.date[:7])
                positions.setdefault(key, set()).add(one.log_position)
                if one.disputed:
                    disputed.add(key)
        found: dict[str, dict[tuple[str, int], Worked]] = {}
        for of_month in await readings.months_of(engine, employee_ids, kpi_ids, *days, known_at=known_at):
            employee_id, kpi_id, month, numerator, denominator, on_days = of_month
            key = (employee_id, kpi_id, month)
            number = int(month[:4]) * 12 + int(month[5:]) - 1
            found.setdefault(employee_id, {})[kpi_id, number] = Worked(
                numerator, denominator, on_days, tuple(sorted(positions.get(key, ()))), key in disputed
            )
        return found


class _Rows:
    """What an event makes of the rows."""

    def __init__(self, table: Table, rows: AsyncConnection, position: int) -> None:
        self.table = table
        self._rows = rows
        self._position = position

    def _mine(self, employee_id: str, kind: Kind, which: ColumnElement[bool]) -> ColumnElement[bool]:
        return (self.table.c.employee_id == employee_id) & (self.table.c.kind == kind) & which

    async def hold(
        self,
        employee_id: str,
        kind: Kind,
        key: str,
        *,
        day: str,
        until: str = "",
        name: str = "",
        number: int = 0,
        mark: bool = False,
        total: str = "",
    ) -> None:
        """Puts a row in the place of the one with the same key."""
        row = {
            "employee_id": employee_id,
            "kind": kind,
            "key": key,
            "name": name,
            "day": day,
            "until_date": until,
            "number": int(number),
            "mark": int(mark),
            "total": total,
        }
        mine = self._mine(employee_id, kind, self.table.c.key == key)
        await supersede(self._rows, self.table, mine, [row], self._position)

    async def replace(self, row: Mapping[str, object], **values: object) -> None:
        """Puts a row with other values in the place of one."""
        mine = self._mine(str(row["employee_id"]), Kind(int(str(row["kind"]))), self.table.c.key == row["key"])
        await supersede(self._rows, self.table, mine, [{**row, **values}], self._position)

    async def clear(self, employee_id: str, kind: Kind, which: ColumnElement[bool]) -> None:
        await supersede(self._rows, self.table, self._mine(employee_id, kind, which), [], self._position)

    async def current(self, employee_id: str, kind: Kind, key: str) -> list[dict[str, object]]:
        return await self._known(self._mine(employee_id, kind, self.table.c.key == key))

    async def open(self, employee_id: str, kind: Kind) -> list[dict[str, object]]:
        """Rows without an end."""
        return await self._known(self._mine(employee_id, kind, self.table.c.until_date == ""))

    async def _known(self, mine: ColumnElement[bool]) -> list[dict[str, object]]:
        query = select(self.table).where(mine, known(self.table))
        return [content_of(row) for row in (await self._rows.execute(query)).all()]

    async def rate(
        self,
        employee_id: str,
        month: str,
        rating: "Rating.ValueType",
        *,
        total: str | None = None,
        disputed: bool | None = None,
    ) -> None:
        """A month has a rating. What is not given of it stays as it was."""
        before = next(iter(await self.current(employee_id, Kind.RATING, month)), {"mark": 0, "total": ""})
        await self.hold(
            employee_id,
            Kind.RATING,
            month,
            day=f"{month}-01",
            number=rating,
            mark=bool(before["mark"]) if disputed is None else disputed,
            total=str(before["total"]) if total is None else total,
        )

    async def mark(self, employee_id: str, kind: Kind, key: str, *, disputed: bool) -> None:
        for row in await self.current(employee_id, kind, key):
            await self.replace(row, mark=int(disputed))

    async def attend(self, employee_id: str, record: Record) -> None:
        """What a record says now of a course. A dispute stays open."""
        training, before = record.training, await self.current(employee_id, Kind.COURSE, record.record_id)
        if not training.attended:
            await self.clear(employee_id, Kind.COURSE, self.table.c.key == record.record_id)
            return
        await self.hold(
            employee_id,
            Kind.COURSE,
            record.record_id,
            day=record.date,
            name=training.course_id,
            number=training.exam.passed,
            mark=any(row["mark"] for row in before),
        )


def _history(
    employee_id: str,
    rows: Sequence[Any],
    violations: Sequence[Offending],
    worked: Mapping[tuple[str, int], Worked],
) -> History:
    positions, statuses, ratings = list[Held](), list[Employed](), dict[int, Rated]()
    courses, mastered, pips, waivers = list[Attended](), list[During](), list[During](), list[Waiver]()
    for _, kind, name, text, until_text, number, mark, total, position in rows:
        day = date.fromisoformat(text)
        until = date.fromisoformat(until_text) if until_text else None
        match kind:
            case Kind.POSITION:
                positions.append(Held(day, name, number, bool(mark), position))
            case Kind.STATUS:
                statuses.append(Employed(day, EmploymentStatus.ValueType(number), position))
            case Kind.RATING:
                ratings[month_of(day)] = Rated(number, total, bool(mark), position)
            case Kind.COURSE:
                courses.append(Attended(name, day, bool(number), bool(mark), position))
            case Kind.MASTERY:
                mastered.append(During(name, day, until, position))
            case Kind.PIP:
                pips.append(During(name, day, until, position))
            case Kind.WAIVER:
                ladder_id, rung_id, criterion_id = name.split(" ")
                waivers.append(Waiver(ladder_id, rung_id, criterion_id, day, until or day, position))
    return History(employee_id, positions, statuses, ratings, courses, mastered, violations, pips, waivers, worked)

"""Read model: what eligibility and scores are judged by, of every employee, with what was held to be so before."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import Message
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert_rows
from libs.common.days import ONE_DAY
from libs.common.eventsourcing import Recorded
from libs.common.partitions import Sharing
from libs.common.projecting import ReadModel
from libs.facts.conduct import Offending
from libs.facts.knowing import NEVER, knowledge_columns, known
from libs.facts.recorded_facts import RecordedDays
from services.promotion.history import Attended, During, Employed, History, Rated, Waiver, Worked, first_day, month_of
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


_ABOUT = (
    EmployeeHired
    | PositionChanged
    | EmploymentStatusChanged
    | MonthRated
    | MonthClosed
    | MonthRevised
    | RatingProposed
    | RatingDecided
    | RecordCreated
    | RecordCorrected
    | RecordRetracted
    | RecordDisputed
    | RecordDisputeSettled
    | TaskMastered
    | MasteryWithdrawn
    | EmployeeStandingChanged
    | CriterionWaived
    | WaiverWithdrawn
)
"""Events that say something of an employee by rows of its own."""


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
    # Facts know their KPI, so each share has to. Records of somebody count by each other, and name nobody.
    sharing = Sharing(
        by_month=("log.performance.facts.*", "log.performance.rating.*"),
        by_id=(
            "log.performance.employee.*",
            "log.coaching.mastery.*",
            "log.coaching.standing.*",
            "log.promotion.career.*",
        ),
        everywhere=("log.performance.kpi.*",),
    )

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.recorded = RecordedDays(metadata, suffix)
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
        about = {str(one.event.employee_id) for one in events if isinstance(one.event, _ABOUT)}
        if about:
            batch = _Batch(self.histories, rows)
            await batch.read(about)
            for recorded in events:
                batch.position = recorded.position
                _apply(batch, recorded.event)
            await batch.flush()

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

    async def holders(
        self,
        engine: AsyncEngine,
        names: Collection[str],
        day: date,
        known_at: int = 0,
        *,
        among: Collection[str] | None = None,
    ) -> dict[str, tuple[str, int]]:
        """Who holds one of some positions on a day, acting or not, and is employed: which, and with which stars.

        `among`: of these only; None: of everybody.
        """
        columns = self.histories.c
        ever = select(columns.employee_id).where(columns.kind == Kind.POSITION, columns.name.in_(names))
        query = (
            select(columns.employee_id, columns.kind, columns.name, columns.number)
            .where(
                columns.kind.in_((Kind.POSITION, Kind.STATUS)),
                columns.day <= day.isoformat(),
                columns.employee_id.in_(ever if among is None else among),
                known(self.histories, known_at),
            )
            .order_by(columns.day)
        )
        held: dict[str, tuple[str, int]] = {}
        there: set[str] = set()
        async with engine.connect() as connection:
            for employee_id, kind, name, number in await connection.execute(query):
                if kind == Kind.STATUS:
                    (there.discard if number == EMPLOYMENT_STATUS_LEFT else there.add)(employee_id)
                else:
                    held[employee_id] = name, number
        return {one: what for one, what in held.items() if one in there and what[0] in names}

    async def moves_after(self, engine: AsyncEngine, employee_ids: Collection[str], day: date) -> set[str]:
        """Later days from which on some hold another position, or are employed or not, as far as is known."""
        columns = self.histories.c
        query = select(columns.day).where(
            columns.kind.in_((Kind.POSITION, Kind.STATUS)),
            columns.employee_id.in_(employee_ids),
            columns.day > day.isoformat(),
            known(self.histories, 0),
        )
        async with engine.connect() as connection:
            return set(await connection.scalars(query))

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


class _Content(NamedTuple):
    """What a row says, apart from whose it is and when it was known: columns in their order."""

    name: str = ""
    day: str = ""
    until_date: str = ""
    number: int = 0
    mark: int = 0
    total: str = ""

    def until(self, day: str) -> "_Content":
        return _Content(self.name, self.day, day, self.number, self.mark, self.total)

    def marked(self, *, disputed: bool) -> "_Content":
        return _Content(self.name, self.day, self.until_date, self.number, int(disputed), self.total)


_Key: TypeAlias = tuple[str, int, str]
"""Employee, kind and key of a row."""


class _Batch:
    """What a batch of events makes of the rows: those of its employees are read once, and written together."""

    def __init__(self, table: Table, rows: AsyncConnection) -> None:
        self._table = table
        self._rows = rows
        self._known: dict[str, dict[_Key, tuple[int, _Content]]] = {}
        """By employee: the position of the event that made a row known, and the row."""
        self._new: dict[tuple[*_Key, int], tuple[int, _Content]] = {}
        """Rows to be written, with what supersedes them."""
        self._superseded: list[dict[str, str | int]] = []
        self.position = 0
        """Of the event that is applied."""

    async def read(self, employee_ids: Collection[str]) -> None:
        """Reads what is known of employees."""
        query = select(self._table).where(self._table.c.employee_id.in_(employee_ids), known(self._table))
        self._known = {employee_id: {} for employee_id in employee_ids}
        for employee_id, kind, key, position, _, *content in await self._rows.execute(query):
            self._known[employee_id][employee_id, kind, key] = (position, _Content(*content))

    async def flush(self) -> None:
        """Writes what was made of it."""
        if self._superseded:
            names = ("employee_id", "kind", "key", "position")
            mine = [self._table.c[name] == bindparam(f"its_{name}") for name in names]
            await self._rows.execute(
                update(self._table).where(*mine).values(superseded=bindparam("by")), self._superseded
            )
        if self._new:
            values = [(*key, superseded, *content) for key, (superseded, content) in self._new.items()]
            await upsert_rows(self._rows, self._table, values)

    def of(self, employee_id: str, kind: Kind) -> list[tuple[str, _Content]]:
        """Key and content of the rows of a kind that stand."""
        mine = self._known[employee_id].items()
        return [(key, content) for (_, of_kind, key), (_, content) in mine if of_kind == kind]

    def hold(self, employee_id: str, kind: Kind, key: str, content: _Content) -> None:
        """Puts a row in the place of the one with the same key, if it says anything else."""
        mine, place = self._known[employee_id], (employee_id, int(kind), key)
        if place in mine and mine[place][1] == content:
            return
        self.clear(employee_id, kind, key)
        mine[place] = (self.position, content)
        self._new[*place, self.position] = (NEVER, content)

    def clear(self, employee_id: str, kind: Kind, key: str) -> None:
        """What a row said is so no longer."""
        place = (employee_id, int(kind), key)
        if (before := self._known[employee_id].pop(place, None)) is None:
            return
        position, content = before
        if (*place, position) in self._new:
            self._new[*place, position] = (self.position, content)
        else:
            its: dict[str, str | int] = {"its_employee_id": employee_id, "its_kind": int(kind), "its_key": key}
            self._superseded.append({**its, "its_position": position, "by": self.position})

    def rate(
        self,
        employee_id: str,
        month: str,
        rating: "Rating.ValueType",
        *,
        total: str | None = None,
        disputed: bool | None = None,
    ) -> None:
        """A month has a rating. What is not given of it stays as it was."""
        before = dict(self.of(employee_id, Kind.RATING)).get(month, _Content())
        mark = before.mark if disputed is None else int(disputed)
        kept = before.total if total is None else total
        self.hold(employee_id, Kind.RATING, month, _Content("", f"{month}-01", "", rating, mark, kept))

    def mark(self, employee_id: str, kind: Kind, key: str, *, disputed: bool) -> None:
        for its_key, content in self.of(employee_id, kind):
            if its_key == key:
                self.hold(employee_id, kind, key, content.marked(disputed=disputed))

    def attend(self, employee_id: str, record: Record) -> None:
        """What a record says now of a course. A dispute stays open."""
        training, key = record.training, record.record_id
        if not training.attended:
            self.clear(employee_id, Kind.COURSE, key)
            return
        before = dict(self.of(employee_id, Kind.COURSE)).get(key, _Content())
        passed = int(training.exam.passed)
        self.hold(employee_id, Kind.COURSE, key, _Content(training.course_id, record.date, "", passed, before.mark))


def _stand(batch: _Batch, event: EmployeeStandingChanged) -> None:
    """A PIP that is over without an end of its own counts as not having been: the one before it stands again."""
    employee_id, since = event.employee_id, event.since_date
    for key, content in batch.of(employee_id, Kind.PIP):
        if not event.under_pip and not content.until_date and key != since:
            batch.clear(employee_id, Kind.PIP, key)
    if since:
        batch.hold(employee_id, Kind.PIP, since, _Content("", since, event.ended_date))


def _apply(batch: _Batch, event: Message) -> None:
    match event:
        case EmployeeHired(employee_id=employee_id) as hired:
            held = _Content(hired.position, hired.position_since, "", hired.stars, int(hired.acting))
            batch.hold(employee_id, Kind.POSITION, hired.position_since, held)
            status = _Content("", hired.hire_date, "", hired.status)
            batch.hold(employee_id, Kind.STATUS, hired.hire_date, status)
        case PositionChanged(employee_id=employee_id, effective_date=day) as to:
            batch.hold(employee_id, Kind.POSITION, day, _Content(to.position, day, "", to.stars, int(to.acting)))
        case EmploymentStatusChanged(employee_id=employee_id, effective_date=day, status=status):
            if status == EMPLOYMENT_STATUS_LEFT:  # nothing planned for later comes to pass
                for key, content in batch.of(employee_id, Kind.STATUS):
                    if content.day > day:
                        batch.clear(employee_id, Kind.STATUS, key)
            batch.hold(employee_id, Kind.STATUS, day, _Content("", day, "", status))
        case MonthRated(employee_id=employee_id, month=month, rating=rating):
            batch.rate(employee_id, month, rating, total="")
        case MonthClosed(employee_id=employee_id, month=month, rating=rating, scorecard=card):
            batch.rate(employee_id, month, rating, total=card.total)
        case MonthRevised(employee_id=employee_id, month=month, rating=rating, after=card):
            batch.rate(employee_id, month, rating, total=card.total)
        case RatingProposed(employee_id=employee_id, month=month):
            batch.mark(employee_id, Kind.RATING, month, disputed=True)
        case RatingDecided(employee_id=employee_id, month=month, rating=rating):
            batch.rate(employee_id, month, rating, disputed=False)
        case RecordCreated(employee_id=employee_id, record=record) if record.HasField("training"):
            batch.attend(employee_id, record)
        case RecordCorrected(employee_id=employee_id, record=record):
            batch.attend(employee_id, record)
        case RecordRetracted(employee_id=employee_id, record_id=record_id):
            batch.clear(employee_id, Kind.COURSE, record_id)
        case RecordDisputed(employee_id=employee_id, record_id=record_id):
            batch.mark(employee_id, Kind.COURSE, record_id, disputed=True)
        case RecordDisputeSettled(employee_id=employee_id, record_id=record_id):
            batch.mark(employee_id, Kind.COURSE, record_id, disputed=False)
        case TaskMastered(employee_id=employee_id, task_id=task_id, mastered_date=day):
            batch.hold(employee_id, Kind.MASTERY, f"{task_id} {day}", _Content(task_id, day))
        case MasteryWithdrawn(employee_id=employee_id, task_id=task_id, withdrawn_date=day):
            for key, content in batch.of(employee_id, Kind.MASTERY):
                if content.name == task_id and not content.until_date:
                    batch.hold(employee_id, Kind.MASTERY, key, content.until(day))
        case EmployeeStandingChanged():
            _stand(batch, event)
        case CriterionWaived(employee_id=employee_id) as waived:
            name = f"{waived.ladder_id} {waived.rung_id} {waived.criterion_id}"
            content = _Content(name, waived.waived_date, waived.until_date)
            batch.hold(employee_id, Kind.WAIVER, f"{name} {content.day}", content)
        case WaiverWithdrawn(employee_id=employee_id) as withdrawn:
            name = f"{withdrawn.ladder_id} {withdrawn.rung_id} {withdrawn.criterion_id}"
            last = date.fromisoformat(withdrawn.withdrawn_date) - ONE_DAY
            for key, content in batch.of(employee_id, Kind.WAIVER):
                if content.name == name and content.until_date >= withdrawn.withdrawn_date:
                    batch.hold(employee_id, Kind.WAIVER, key, content.until(last.isoformat()))


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

"""Eligibility kept up to date: every employee's next steps, judged anew when a fact or a day may have changed them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import upsert, writing
from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from libs.common.reacting import deadlines
from libs.common.service import Service
from libs.facts.people import People
from libs.facts.reaching import Reach
from services.promotion.eligibilities import Eligibilities, Ground
from services.promotion.eligibility import Judged
from services.promotion.history import History
from services.promotion.ladder import ELIGIBILITY, LADDER
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged, MasteryWithdrawn, TaskMastered
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmployeeTransferred,
    EmploymentStatusChanged,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    KpiUpdated,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PolicySet,
    PositionChanged,
    RatingDecided,
    RatingProposed,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
    TeamLeadAppointed,
)
from stepladder.promotion.v1.eligibility_pb2 import Eligibility, WatchEligibilitiesRequest
from stepladder.promotion.v1.events_pb2 import (
    CriterionWaived,
    HeadcountSet,
    SeatFilled,
    SeatsClaimed,
    SeatsReleased,
    SeatVacated,
    WaiverWithdrawn,
)

EVERYBODY, VACANCIES, SOMEBODY = "judge-everybody", "judge-vacancies", "judge"
"""Kinds of deadlines. Keys of the first two are days, of the last an employee, behind a day unless it is at once."""
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
CHUNK = 500
"""Employees judged at a time."""
EARLIEST_SITE = timedelta(hours=14)
"""How far ahead of UTC the clock of a site may be."""


def midnight(day: str) -> datetime:
    """When a day begins by the site's clock, which deadlines here go by."""
    return datetime.combine(date.fromisoformat(day), time(), UTC)


class Changes:
    """Rows: for each employee and ladder the next step as it was found last, in the order in which that changed.

    They are made of the read models, and of what day it is; so a rebuild leaves them as they are, unless they are of
    another log: then positions up to which something was known tell nothing.
    """

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.table = Table(
            f"eligibilities{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("ladder_id", String, primary_key=True),
            # Empty: there is no next step any more.
            Column("rung_id", String, nullable=False),
            # Whether there is a vacancy, where that is asked for: 0 or 1; -1: it is not.
            Column("vacancy", Integer, nullable=False),
            Column("content", LargeBinary, nullable=False),
            # Grows with every change, also beyond rows that were lost; 0: there never was a next step to tell of.
            Column("sequence", BigInteger, nullable=False, index=True),
            info={"delivery": True},
        )
        self._moved = asyncio.Condition()
        self.latest = 0
        """The latest change that was kept here."""

    async def behind(
        self, service: Service, sequence: int, request: WatchEligibilitiesRequest, reach: Reach, *, everybody: bool
    ) -> list[tuple[Eligibility, int]]:
        """The next changes behind one, in order, of those whom somebody sees."""
        columns = self.table.c
        query = select(columns.content, columns.sequence).where(columns.sequence > sequence)
        if not everybody:
            query = query.where(reach.of(columns.employee_id))
        for wanted, column in (
            (request.ladder_id, columns.ladder_id),
            (request.rung_id, columns.rung_id),
            (request.employee_id, columns.employee_id),
        ):
            if wanted:
                query = query.where(column == wanted)
        async with service.engine.connect() as connection:
            rows = await connection.execute(query.order_by(columns.sequence).limit(CHUNK))
            return [(Eligibility.FromString(content), number) for content, number in rows]

    async def wait(self, seen: int, seconds: float) -> None:
        """Returns when there is a later change here than one, or the seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self.latest > seen)

    async def keep(self, service: Service, found: Sequence[tuple[Eligibility, int]]) -> None:
        """Keeps what was found of employees and ladders (no rung: no next step) as the latest, unless it is not.

        Another instance may have judged later, and be done sooner, while this one was cut off. With each whether there
        is a vacancy, as in the rows.
        """
        columns = self.table.c
        told = False
        async with writing(service.engine) as rows:
            if (
                rows.dialect.name == "postgresql"
            ):  # or changes might be seen in another order than that of their numbers
                await rows.execute(text(f"LOCK TABLE {self.table.name} IN SHARE ROW EXCLUSIVE MODE"))
            query = select(columns.content, columns.sequence).where(
                columns.employee_id.in_({said.employee_id for said, _ in found})
            )
            before = {
                (known.employee_id, known.ladder_id): (known, sequence)
                for known, sequence in (
                    (Eligibility.FromString(one), number) for one, number in await rows.execute(query)
                )
            }
            last = await rows.scalar(select(func.max(columns.sequence))) or 0
            last = max(last, int(service.now().timestamp() * 1_000_000))
            values = []
            for said, vacancy in sorted(found, key=lambda one: (one[0].employee_id, one[0].ladder_id)):
                nothing = Eligibility(employee_id=said.employee_id, ladder_id=said.ladder_id), 0
                known, sequence = before.get((said.employee_id, said.ladder_id), nothing)
                if _judged(known) > _judged(said):
                    continue
                if _said(known) != _said(said):
                    told, last = True, last + 1
                    sequence = last
                values.append(
                    {
                        "employee_id": said.employee_id,
                        "ladder_id": said.ladder_id,
                        "rung_id": said.rung_id,
                        "vacancy": vacancy,
                        "content": said.SerializeToString(),
                        "sequence": sequence,
                    }
                )
            if values:
                await rows.execute(upsert(self.table, rows), values)
        if told:
            async with self._moved:
                self.latest = last
                self._moved.notify_all()


def _judged(eligibility: Eligibility) -> tuple[int, str]:
    """By what, and as of when: what is known first."""
    return eligibility.known_at, eligibility.as_of


def _said(found: Eligibility) -> tuple[object, ...]:
    """What of it is a change: not the days that go by, and so neither since when whoever is eligible is so."""
    criteria = [(one.name, one.met, one.disputed, one.waiver_position) for one in found.criteria]
    return found.eligible or found.eligible_from, found.rung_id, found.from_rung_id, criteria


class Touched(ReadModel):
    """Rows: what is to be judged anew, and when; days by the site's clock. The clock takes them away again.

    With them go the changes that it found.
    """

    name = "eligibilities"
    version = 2
    subjects = (
        "log.performance.employee.*",
        "log.performance.team.*",
        "log.performance.rating.*",
        "log.performance.record.*",
        "log.performance.facts.*",
        "log.performance.kpi.*",
        "log.performance.policy.*",
        "log.coaching.mastery.*",
        "log.coaching.standing.*",
        "log.promotion.career.*",
        "log.promotion.post.*",
    )

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.deadlines = deadlines(f"eligibility_deadlines{suffix}", metadata)
        self.changes = Changes(metadata, suffix)
        self.tables = (self.deadlines, self.changes.table)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        due: dict[tuple[str, str], tuple[datetime, int]] = {}
        for recorded in events:
            for kind, key, when in touched(recorded):
                due[kind, key] = (when, recorded.position)
        if due:
            values = [
                {"kind": kind, "key": key, "due_time": when, "position": position}
                for (kind, key), (when, position) in due.items()
            ]
            await rows.execute(upsert(self.deadlines, rows), values)


def touched(recorded: Recorded) -> list[tuple[str, str, datetime]]:
    """Kind, key and time of what an event has judged anew."""
    match recorded.event:
        case (
            EmployeeHired(employee_id=employee_id, hire_date=day)
            | PositionChanged(employee_id=employee_id, effective_date=day)
            | EmploymentStatusChanged(employee_id=employee_id, effective_date=day)
            | EmployeeTransferred(employee_id=employee_id, effective_date=day)
        ):
            return [(SOMEBODY, employee_id, AT_ONCE), (VACANCIES, day, midnight(day))]
        case HeadcountSet(effective_date=day) | TeamLeadAppointed(effective_date=day):
            return [(VACANCIES, day, midnight(day))]
        case SeatsClaimed() | SeatFilled() | SeatVacated() | SeatsReleased():
            return [(VACANCIES, "", AT_ONCE)]
        case PolicySet(policy=policy) if policy.WhichOneof("content") in (LADDER, ELIGIBILITY):
            return [(EVERYBODY, policy.effective_date, midnight(policy.effective_date))]
        case KpiUpdated():
            return [(EVERYBODY, "", AT_ONCE)]
        case (
            MonthRated(employee_id=employee_id)
            | MonthClosed(employee_id=employee_id)
            | MonthRevised(employee_id=employee_id)
            | RatingProposed(employee_id=employee_id)
            | RatingDecided(employee_id=employee_id)
            | RecordCorrected(employee_id=employee_id)
            | RecordRetracted(employee_id=employee_id)
            | RecordDisputed(employee_id=employee_id)
            | RecordDisputeSettled(employee_id=employee_id)
            | TaskMastered(employee_id=employee_id)
            | MasteryWithdrawn(employee_id=employee_id)
            | EmployeeStandingChanged(employee_id=employee_id)
            | CriterionWaived(employee_id=employee_id)
            | WaiverWithdrawn(employee_id=employee_id)
        ):
            return [(SOMEBODY, employee_id, AT_ONCE)]
        case RecordCreated(employee_id=employee_id, record=record, outcome=outcome):
            of_itself = record.WhichOneof("content") in ("training", "violation")
            if of_itself or any(_of_a_full_month(one.date, recorded) for one in outcome.measures):
                return [(SOMEBODY, employee_id, AT_ONCE)]
        case FactRecorded(fact=fact) | FactCorrected(fact=fact) if _of_a_full_month(fact.date, recorded):
            return [(SOMEBODY, fact.employee_id, AT_ONCE)]
        case (
            FactRetracted(readings=readings) | FactDisputed(readings=readings) | FactDisputeSettled(readings=readings)
        ) if _of_a_full_month(readings.date, recorded):
            return [(SOMEBODY, readings.employee_id, AT_ONCE)]
    return []


def _of_a_full_month(day: str, recorded: Recorded) -> bool:
    """Whether a day's month may have been over when something was recorded: of others, nothing is judged by."""
    return day[:7] < _month_at_sites(recorded.envelope.time.seconds // 3600)


@lru_cache(maxsize=16)
def _month_at_sites(hour: int) -> str:
    """The latest month that any site has in an hour, numbered from 1970 on: told once, as many facts come in it."""
    return f"{AT_ONCE + timedelta(hours=hour) + EARLIEST_SITE:%Y-%m}"


class Projection:
    """Judges what has come due, and keeps what has changed."""

    def __init__(self, service: Service, touched: Touched, eligibilities: Eligibilities, people: People) -> None:
        self._service = service
        self._deadlines = touched.deadlines
        self._changes = touched.changes
        self._eligibilities = eligibilities
        self._people = people
        self._ground: tuple[int, date, list[Ground]] = (-1, date.min, [])
        """The latest, with the position and the day of which it is: what is due comes in portions, which share it."""

    async def judge_everybody(self, _: Sequence[str]) -> None:
        """Rules have changed: everybody is to be judged."""
        await self._eligibilities.rules()  # the read models have everything
        await self._judge_later(await self._people.everyone(self._service.engine))

    async def judge_vacancies(self, _: Sequence[str]) -> None:
        """Those are to be judged for whose next step there is a vacancy and was none, or the other way round."""
        columns = self._changes.table.c
        for ground in await self._grounds():
            for number, vacant in ground.vacant.items():
                rung_id = ground.steps[number].rung.rung_id
                other = 0 if vacant.number is None or vacant.number > 0 else 1
                query = select(columns.employee_id).where(
                    columns.ladder_id == ground.ladder.policy_id, columns.rung_id == rung_id, columns.vacancy == other
                )
                async with self._service.engine.connect() as connection:
                    employee_ids = list(await connection.scalars(query))
                await self._judge_later(employee_ids)

    async def judge(self, keys: Sequence[str]) -> None:
        """Employees' next steps on all ladders, as of today; and when they are to be looked at again."""
        grounds, today = await self._grounds(), self._service.today()
        employee_ids = sorted({key.rpartition(" ")[2] for key in keys})
        histories = await self._eligibilities.histories(grounds, employee_ids, with_facts=True)
        found: list[tuple[Eligibility, int]] = []
        due: dict[str, date] = {}
        for employee_id, history in histories.items():
            again = _planned(history, today)
            for ground in grounds:
                step = ground.next_step(history)
                judged = ground.judged(history, step) if step else None
                shown = judged.shown(ground.known_at) if judged else _no_step(employee_id, ground)
                found.append((shown, _vacancy(judged)))
                if judged and (day := judged.looked_at_again()):
                    again.append(day)
            if again:
                due[employee_id] = min(again)
        await self._changes.keep(self._service, found)
        values = [
            {"kind": SOMEBODY, "key": f"{day} {employee_id}", "due_time": midnight(day.isoformat()), "position": 0}
            for employee_id, day in due.items()
        ]
        await self._set(values)

    async def _grounds(self) -> list[Ground]:
        known_at, rules = await self._eligibilities.rules()
        today = self._service.today()
        if self._ground[:2] != (known_at, today):
            ladders = rules.policies_on(LADDER, today)
            grounds = [await self._eligibilities.ground_of(rules, ladder, today, known_at) for ladder in ladders]
            self._ground = known_at, today, grounds
        return self._ground[2]

    async def _judge_later(self, employee_ids: Collection[str]) -> None:
        await self._set(
            [{"kind": SOMEBODY, "key": one, "due_time": AT_ONCE, "position": 0} for one in sorted(employee_ids)]
        )

    async def _set(self, values: Sequence[Mapping[str, object]]) -> None:
        if values:
            async with writing(self._service.engine) as rows:
                await rows.execute(upsert(self._deadlines, rows), values)


def _planned(history: History, today: date) -> list[date]:
    """Days to come for which the directory has something else."""
    days = [*(one.day for one in history.positions), *(one.day for one in history.statuses)]
    return [day for day in days if day > today]


def _no_step(employee_id: str, ground: Ground) -> Eligibility:
    return Eligibility(
        employee_id=employee_id,
        ladder_id=ground.ladder.policy_id,
        as_of=ground.day.isoformat(),
        known_at=ground.known_at,
    )


def _vacancy(judged: Judged | None) -> int:
    tests = judged.tests if judged else []
    return next((int(test.met(test.day)) for one, test in tests if one.WhichOneof("test") == "vacancy"), -1)

"""Read model: what is to be judged, or looked at again, and when."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

from google.protobuf.message import Message
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import insert_new, upsert, writing
from libs.common.days import months_between
from libs.common.eventsourcing import Recorded
from libs.common.reacting import day_over, deadlines
from libs.facts.catalogue import policy_in
from libs.facts.knowing import NEVER, known
from libs.facts.people import FOR_EVER
from libs.facts.readings import Changed, Readings
from libs.facts.violations import POINTS
from services.performance.policy import kpis_of
from services.performance.trigger import period_of
from stepladder.performance.v1.events_pb2 import (
    DetectionDrifted,
    DetectionPolicyCreated,
    EmployeeHired,
    EmployeeTransferred,
    EmploymentStatusChanged,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PolicySet,
    PositionChanged,
    RatingDecided,
    TeamLeadAppointed,
    UnderperformanceDetected,
)
from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy

JUDGE = "judge"
"""The kind of deadline at which an employee's period is judged; its key is `judgement_key`."""
JUDGE_PAST = "judge-past"
"""The kind at which all periods of an employee are judged with facts of a day, which its key names, or a later one."""
RECONSIDER = "reconsider"
"""The kind of deadline, due at once, at which what rests on an employee's month is looked at again; see `month_key`."""
REVISE = "revise"
"""The same for a lead's own month only, which rests on what others did: many changes of theirs come to one look."""

RATED = "rated"
"""Stands for a measure where it is a rating that changed."""


_Policies: TypeAlias = dict[str, dict[str, list[tuple[str, DetectionRule]]]]
"""By measure and id, the versions of detection policies that judge by it, the earliest first."""


class Judgements:
    """Deadlines; and what they are planned by: detection policies, the months of employees on which something rests,
    closed months, when the directory last changed for an employee, every lead that a team has had."""

    def __init__(self, readings: Readings, metadata: MetaData, suffix: str) -> None:
        self.readings = readings
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
        self.closed = Table(f"closed_months{suffix}", metadata, Column("month", String(7), primary_key=True))
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
        self.tables = (self.judged, self.resting, self.closed, self.moves, self.leads, self.deadlines)

    async def plan_revisions(self, engine: AsyncEngine, keys: Sequence[str], now: datetime, position: int) -> None:
        """Has months (see `month_key`) looked at again by themselves."""
        if keys:
            due = [{"kind": REVISE, "key": key, "due_time": now, "position": position} for key in keys]
            async with writing(engine) as transaction:
                await transaction.execute(upsert(self.deadlines, transaction), due)

    async def plan_judgements(self, engine: AsyncEngine, due: Mapping[str, datetime], position: int) -> None:
        """Has periods (see `judgement_key`) judged at a time, unless that is planned for another."""
        if due:
            rows = [{"kind": JUDGE, "key": key, "due_time": time, "position": position} for key, time in due.items()]
            async with writing(engine) as transaction:
                await transaction.execute(insert_new(self.deadlines, transaction), rows)

    async def plan_past(self, engine: AsyncEngine, key: str, now: datetime, position: int) -> None:
        """Has all periods from a day on (see `judgement_key`) judged by themselves."""
        row = {"kind": JUDGE_PAST, "key": key, "due_time": now, "position": position}
        async with writing(engine) as transaction:
            await transaction.execute(upsert(self.deadlines, transaction), row)

    async def planned(self, engine: AsyncEngine, keys: Collection[str]) -> set[str]:
        """Those of the periods (see `judgement_key`) that are to be judged some time."""
        columns = self.deadlines.c
        async with engine.connect() as connection:
            query = select(columns.key).where(columns.kind == JUDGE, columns.key.in_(keys))
            return set(await connection.scalars(query))


class JudgementsBatch:
    """What follows from a batch of events, whose readings are written already."""

    def __init__(self, model: Judgements, rows: AsyncConnection) -> None:
        self._model = model
        self._rows = rows
        self._policies: _Policies | None = None
        self._position = 0  # of the last event taken
        self._late: dict[tuple[str, str], datetime] = {}
        self._due: dict[tuple[str, str], datetime] = {}

    async def take(self, recorded: Recorded, changed: Changed | None) -> None:
        """Plans what follows from an event, and from the readings that it changed."""
        self._position = recorded.position
        now = recorded.envelope.time.ToDatetime(UTC)
        if changed is not None:
            await self._follow(changed, now)
        await self._look_again(recorded.event, recorded.position, now)

    async def write(self) -> None:
        """Writes what was planned."""
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

    async def _follow(self, changed: Changed, now: datetime) -> None:
        """What is new is judged when it has settled; what has changed at once, since nothing more is waited for."""
        policies = await self._know_policies()
        for day, measure in changed.days:
            if changed.first and measure != POINTS:  # points found earlier rest on violations of any day before
                self._late[changed.employee_id, day[:7]] = now
            else:
                self._due[RECONSIDER, month_key(changed.employee_id, day[:7])] = now
            self._judge(policies, changed.employee_id, day, measure, now, settle=changed.first)

    async def _look_again(self, event: Message, position: int, now: datetime) -> None:
        """Notes what rests on which months, and plans to look at it again when that changes."""
        match event:
            case PolicySet() | DetectionPolicyCreated():
                await self._know_policy(policy_in(event), position, now)
            case MonthClosed(employee_id=employee_id, month=month, scorecard=card, known_at=known_at, led_ids=led_ids):
                await self._rows.execute(insert_new(self._model.closed, self._rows), {"month": month})
                await self._rests([employee_id, *card.member_ids, *led_ids], month, month, known_at, now)
                await self._rated(employee_id, month, now)
            case MonthRevised(employee_id=employee_id, month=month, after=card, known_at=known_at, led_ids=led_ids):
                await self._rests([employee_id, *card.member_ids, *led_ids], month, month, known_at, now)
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

    def _judge(
        self, policies: _Policies, employee_id: str, text: str, measure: str, now: datetime, *, settle: bool
    ) -> None:
        """Judges a day's periods once they have ended everywhere, and no fact has come for the policy's settle time."""
        for policy_id, versions in policies.get(measure, {}).items():
            day = date.fromisoformat(text)
            for index, (since, rule) in enumerate(versions):
                until = versions[index + 1][0] if index + 1 < len(versions) else FOR_EVER
                period = period_of(rule, day)
                if not since <= period.start.isoformat() < until:
                    continue  # another version judges that period
                settled = now + timedelta(seconds=rule.settle_seconds if settle else 0)
                key = judgement_key(policy_id, employee_id, period.start.isoformat())
                self._due[JUDGE, key] = max(day_over(period.end), settled)

    async def _know_policies(self) -> _Policies:
        if self._policies is None:
            model, self._policies = self._model, {}
            parts = (await self._rows.execute(select(model.readings.parts))).all()
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
        return self._policies

    async def _know_policy(self, policy: Policy, position: int, now: datetime) -> None:
        if policy.HasField("detection"):
            row = {
                "policy_id": policy.policy_id,
                "effective_date": policy.effective_date,
                "rule": policy.detection.SerializeToString(),
            }
            await self._rows.execute(upsert(self._model.judged, self._rows), row)
            self._policies = None
            await self._judge_past(policy, position, now)

    async def _judge_past(self, policy: Policy, position: int, now: datetime) -> None:
        """Has everybody judged of whom something was known of days on which a policy is in force."""
        readings = self._model.readings.readings.c
        lowest = select(func.min(readings.employee_id).label("employee_id"))
        # Step by step along the key: a DISTINCT would read every reading.
        found = lowest.cte("found", recursive=True)
        following = lowest.where(readings.employee_id > found.c.employee_id).scalar_subquery()
        found = found.union_all(select(following).where(found.c.employee_id.is_not(None)))
        with_facts = exists().where(
            readings.employee_id == found.c.employee_id,
            readings.date >= policy.effective_date,
            readings.position < position,  # later ones of the batch know the policy
        )
        employee_ids = set(await self._rows.scalars(select(found.c.employee_id).where(with_facts)))
        if policy.detection.HasField("ratings"):
            resting = self._model.resting.c
            rated = select(resting.employee_id).where(resting.month >= policy.effective_date[:7])
            employee_ids |= set(await self._rows.scalars(rated.distinct()))
        settled = now + timedelta(seconds=policy.detection.settle_seconds)
        for employee_id in sorted(employee_ids):
            self._due[JUDGE_PAST, judgement_key(policy.policy_id, employee_id, policy.effective_date)] = settled

    async def _plan_late(self) -> None:
        """Facts of a month on which something rests already, or that is closed: somebody led whose they are."""
        resting = self._model.resting.c
        employees, months = {employee_id for employee_id, _ in self._late}, {month for _, month in self._late}
        query = select(resting.employee_id, resting.month).where(
            resting.employee_id.in_(employees), resting.month.in_(months)
        )
        rested = {(employee_id, month) for employee_id, month in await self._rows.execute(query)}
        closed = self._model.closed.c.month
        closed_months = set(await self._rows.scalars(select(closed).where(closed.in_(months))))
        for (employee_id, month), now in self._late.items():
            if month in closed_months or (employee_id, month) in rested:
                self._due[RECONSIDER, month_key(employee_id, month)] = now

    async def _rated(self, employee_id: str, month: str, now: datetime) -> None:
        """A month has another rating: where policies look at ratings, what they found is looked at again, too."""
        if RATED in await self._know_policies():
            await self._follow(Changed(employee_id, [(f"{month}-01", RATED)]), now)

    async def _rests(self, employee_ids: Sequence[str], first: str, last: str, known_at: int, now: datetime) -> None:
        """Notes that something rests on months; what became known while it was computed has it looked at again."""
        moves = self._model.moves.c
        months = months_between(first, last)
        await self._rows.execute(
            insert_new(self._model.resting, self._rows),
            [{"employee_id": one, "month": month} for one in employee_ids for month in months],
        )
        for table in (self._model.readings.readings, self._model.readings.disputes):
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
        if policies := await self._know_policies():  # other targets may hold
            readings = self._model.readings.readings
            columns = readings.c
            theirs = select(columns.employee_id, columns.measure).where(
                columns.employee_id.in_(employee_ids), columns.date >= day, known(readings)
            )
            for employee_id, measure in await self._rows.execute(theirs.distinct()):
                for policy_id in policies.get(measure, ()):
                    self._due[JUDGE_PAST, judgement_key(policy_id, employee_id, day)] = now


def month_key(employee_id: str, month: str) -> str:
    """What is to be looked at again."""
    return f"{employee_id} {month}"


def judgement_key(policy_id: str, employee_id: str, day: str) -> str:
    """What a judgement is about: the period that begins on a day, or every day from it on."""
    return f"{policy_id} {employee_id} {day}"

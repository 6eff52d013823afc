"""Read model: which plans there are, whose, in what state, with which mentors and goals; when they are reassessed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import day_over, deadlines
from libs.facts.reaching import Reach
from services.coaching.measured_days import MeasuredDays
from stepladder.coaching.v1.events_pb2 import (
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
    PlanDriftReviewed,
    PlanEvidenceDrifted,
    PlanObserved,
    PlanPinsDrifted,
    PlanProposed,
    ReassessmentFellDue,
)
from stepladder.coaching.v1.plan_pb2 import ListPlansRequest, Plan

REASSESS = "reassess"
"""The kind of deadline at which a plan's observation is over; its key is the plan's id."""


class Plans(ReadModel):
    """Rows: one for each plan, at the position of its proposal, with its mentors and goals; the reassessments to come.

    Days on which something was done are those of the event's time, in UTC, where the event names none.
    """

    name = "plans"
    version = 3
    subjects = ("log.coaching.plan.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.plans = Table(
            f"plans{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("plan_id", String, nullable=False, unique=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("lead_id", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
            Column("since_date", String(10), nullable=False),  # of the state, or of the reassessment that is due
            Column("kpi_id", String, nullable=False),
            Column("proposed_date", String(10), nullable=False),
            Column("activated_date", String(10), nullable=False),  # empty before
            Column("reassessment_due", Boolean, nullable=False),
            Column("drifted_date", String(10), nullable=False),  # empty: there is no drift to look at
            Column("closed_position", BigInteger, nullable=False),  # 0 while it is open
            Column("closed_date", String(10), nullable=False),
            Column("watch_until", String(10), nullable=False),
        )
        self.mentors = Table(
            f"plan_mentors{suffix}",
            metadata,
            Column("mentor_id", String, primary_key=True),
            Column("plan_id", String, primary_key=True),
        )
        self.goals = Table(
            f"goal_deadlines{suffix}",
            metadata,
            Column("plan_id", String, primary_key=True),
            Column("number", Integer, primary_key=True, autoincrement=False),
            Column("deadline", String(10), nullable=False),
        )
        self.measured = MeasuredDays(f"plan_measured_days{suffix}", metadata)
        self.deadlines = deadlines(f"reassessments{suffix}", metadata)
        self.tables = (self.plans, self.mentors, self.goals, self.measured.days, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            await self.measured.take(rows, recorded)
            day = recorded.envelope.time.ToJsonString()[:10]
            match recorded.event:
                case PlanProposed() as proposed:
                    await rows.execute(
                        insert(self.plans).values(
                            position=recorded.position,
                            plan_id=proposed.plan_id,
                            employee_id=proposed.employee_id,
                            lead_id=proposed.lead_id,
                            state=Plan.STATE_PROPOSED,
                            since_date=proposed.proposed_date,
                            kpi_id=proposed.evidence.kpi_id,
                            proposed_date=proposed.proposed_date,
                            activated_date="",
                            reassessment_due=False,
                            drifted_date="",
                            closed_position=0,
                            closed_date="",
                            watch_until="",
                        )
                    )
                case PlanAssessed(plan_id=plan_id):
                    await self._change(rows, plan_id, state=Plan.STATE_ASSESSED, since_date=day)
                case PlanDiagnosed(plan_id=plan_id):
                    await self._change(rows, plan_id, state=Plan.STATE_DIAGNOSED, since_date=day)
                case PlanActivated(plan_id=plan_id, supports=supports, goals=goals, activated_date=activated):
                    active = activated or day
                    await self._change(rows, plan_id, state=Plan.STATE_ACTIVE, since_date=active, activated_date=active)
                    mentors = {support.mentor_id for support in supports} - {""}
                    if mentors:
                        mentoring = [{"mentor_id": one, "plan_id": plan_id} for one in sorted(mentors)]
                        await rows.execute(insert(self.mentors), mentoring)
                    goal_rows = [
                        {"plan_id": plan_id, "number": number, "deadline": goal.deadline}
                        for number, goal in enumerate(goals, 1)
                    ]
                    await rows.execute(insert(self.goals), goal_rows)
                case PlanObserved(plan_id=plan_id, observe_until=until):
                    await self._change(rows, plan_id, state=Plan.STATE_IN_OBSERVATION, since_date=day)
                    row = {
                        "kind": REASSESS,
                        "key": plan_id,
                        "due_time": day_over(date.fromisoformat(until)),
                        "position": recorded.position,
                    }
                    await rows.execute(upsert(self.deadlines, rows), row)
                case ReassessmentFellDue(plan_id=plan_id):
                    await self._change(rows, plan_id, reassessment_due=True, since_date=day)
                case PlanClosed(plan_id=plan_id, closed_date=closed, watch_until=watch_until):
                    await self._change(
                        rows,
                        plan_id,
                        state=Plan.STATE_CLOSED,
                        since_date=closed,
                        reassessment_due=False,
                        closed_position=recorded.position,
                        closed_date=closed,
                        watch_until=watch_until,
                    )
                    await rows.execute(delete(self.deadlines).where(self.deadlines.c.key == plan_id))
                case PlanEvidenceDrifted(plan_id=plan_id) | PlanPinsDrifted(plan_id=plan_id):
                    await self._change(rows, plan_id, drifted_date=day)
                case PlanDriftReviewed(plan_id=plan_id):
                    await self._change(rows, plan_id, drifted_date="")

    async def _change(self, rows: AsyncConnection, plan_id: str, **values: int | bool | str) -> None:
        await rows.execute(update(self.plans).where(self.plans.c.plan_id == plan_id).values(**values))

    async def list_plans(self, engine: AsyncEngine, request: ListPlansRequest, reach: Reach) -> list[tuple[str, int]]:
        """Ids and positions of a page of plans, the latest first, one more than asked for when there are more.

        Of those that somebody sees: of employees in their reach, and those in which they are named as a mentor.
        """
        columns = self.plans.c
        query = select(columns.plan_id, columns.position).order_by(columns.position.desc())
        filters = (
            (columns.employee_id, request.employee_id),
            (columns.lead_id, request.lead_id),
            (columns.state, request.state),
            (columns.reassessment_due, request.reassessment_due),
        )
        for column, wanted in filters:
            if wanted:
                query = query.where(column == wanted)
        if request.mentor_id:
            query = query.where(self._mentored_by(request.mentor_id))
        seen = reach.of(columns.employee_id)
        if request.drift_open:  # of which mentors are not told
            query = query.where(seen, columns.drifted_date != "")
        query = query.where(seen | self._mentored_by(reach.caller.employee_id))
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.plan_id, row.position) for row in found]

    def _mentored_by(self, mentor_id: str) -> ColumnElement[bool]:
        mine = select(self.mentors.c.plan_id).where(self.mentors.c.mentor_id == mentor_id)
        return self.plans.c.plan_id.in_(mine)

    async def of_employees(self, engine: AsyncEngine, employee_ids: Collection[str]) -> Sequence[str]:
        """Ids of the plans of employees, also of those that are closed."""
        async with engine.connect() as connection:
            return list(await connection.scalars(self.theirs(employee_ids).order_by(self.plans.c.position)))

    async def held_about(
        self, engine: AsyncEngine, employee_ids: Collection[str], first_day: str, last_day: str
    ) -> Sequence[str]:
        """As `Held.held_about`."""
        return await self.measured.holders(engine, self.theirs(employee_ids), first_day, last_day)

    def theirs(self, employee_ids: Collection[str]) -> Select[tuple[str]]:
        """Chooses the plans of employees."""
        return select(self.plans.c.plan_id).where(self.plans.c.employee_id.in_(employee_ids))

    async def activated_between(self, engine: AsyncEngine, start: str, end: str) -> list[str]:
        """Ids of the plans that were activated on days from one to another, both inclusive."""
        return await self._between(engine, self.plans.c.activated_date, start, end)

    async def never_activated(self, engine: AsyncEngine, start: str, end: str) -> list[str]:
        """Ids of the plans that were proposed on days from one to another, both inclusive, and not activated since."""
        return await self._between(engine, self.plans.c.proposed_date, start, end, self.plans.c.activated_date == "")

    async def _between(
        self, engine: AsyncEngine, day: Column[str], start: str, end: str, *also: ColumnElement[bool]
    ) -> list[str]:
        query = select(self.plans.c.plan_id).where(day >= start, day <= end, *also).order_by(self.plans.c.position)
        async with engine.connect() as connection:
            return list(await connection.scalars(query))

    async def mentored(self, engine: AsyncEngine, mentor_ids: Collection[str], but: str) -> dict[str, int]:
        """How many open plans each of some mentors supports, apart from one plan; those without any are left out."""
        columns, mentors = self.plans.c, self.mentors.c
        query = (
            select(mentors.mentor_id, func.count().label("open"))
            .join(self.plans, columns.plan_id == mentors.plan_id)
            .where(mentors.mentor_id.in_(mentor_ids), columns.plan_id != but, columns.state != Plan.STATE_CLOSED)
            .group_by(mentors.mentor_id)
        )
        async with engine.connect() as connection:
            return {row.mentor_id: row.open for row in await connection.execute(query)}

    async def running(self, engine: AsyncEngine, employee_ids: Collection[str], since: str) -> Sequence[Row[Any]]:
        """Plans of employees that have been active, and were not closed before a day."""
        columns = self.plans.c
        query = select(self.plans).where(
            columns.employee_id.in_(employee_ids),
            columns.activated_date != "",
            (columns.closed_date == "") | (columns.closed_date >= since),
        )
        return await all_rows(engine, query.order_by(columns.plan_id))

    async def open(self, engine: AsyncEngine, employee_ids: Collection[str], most: int) -> Sequence[Row[Any]]:
        """Plans of employees that are not closed, those first that have been longest in their state."""
        columns = self.plans.c
        query = select(self.plans).where(columns.employee_id.in_(employee_ids), columns.state != int(Plan.STATE_CLOSED))
        return await all_rows(engine, query.order_by(columns.since_date, columns.plan_id).limit(most))

    async def goals_over(
        self, engine: AsyncEngine, employee_ids: Collection[str], today: str, most: int
    ) -> Sequence[Row[Any]]:
        """Goals of employees' active plans whose deadline is over, the earliest first."""
        plans, goals = self.plans.c, self.goals.c
        query = select(self.goals, plans.employee_id).join(self.plans, goals.plan_id == plans.plan_id)
        query = query.where(
            plans.employee_id.in_(employee_ids), plans.state == int(Plan.STATE_ACTIVE), goals.deadline < today
        )
        return await all_rows(engine, query.order_by(goals.deadline, goals.plan_id, goals.number).limit(most))

    async def followed(self, engine: AsyncEngine, plans: Mapping[str, str]) -> dict[str, str]:
        """By plan, the one that it follows; those that follow none are left out. `plans`: employees by plan.

        It is the latest one before of the same employee that was about the same KPI, or after which they were being
        watched on the day when this one was proposed.
        """
        columns = self.plans.c
        query = select(self.plans).where(columns.employee_id.in_(set(plans.values()))).order_by(columns.position)
        earlier: dict[str, list[Any]] = {}
        found: dict[str, str] = {}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                before = earlier.setdefault(row.employee_id, [])
                for one in reversed(before):
                    watched = 0 < one.closed_position < row.position and one.watch_until >= row.proposed_date
                    same = row.kpi_id and one.kpi_id == row.kpi_id  # what a rating led to is about no one KPI
                    if row.plan_id in plans and (same or watched):
                        found[row.plan_id] = one.plan_id
                        break
                before.append(row)
        return found

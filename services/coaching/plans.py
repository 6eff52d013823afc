"""Read model: which plans there are, whose, in what state; and when reassessments fall due."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import day_over, deadlines
from stepladder.coaching.v1.events_pb2 import (
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
    PlanObserved,
    PlanProposed,
)
from stepladder.coaching.v1.plan_pb2 import ListPlansRequest, Plan

REASSESS = "reassess"
"""The kind of deadline at which a plan's observation is over; its key is the plan's id."""


class Plans(ReadModel):
    """Rows: one for each plan, at the position of its proposal; and the reassessments to come."""

    name = "plans"
    version = 1
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
        )
        self.deadlines = deadlines(f"reassessments{suffix}", metadata)
        self.tables = (self.plans, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case PlanProposed(plan_id=plan_id, employee_id=employee_id, lead_id=lead_id):
                    await rows.execute(
                        insert(self.plans).values(
                            position=recorded.position,
                            plan_id=plan_id,
                            employee_id=employee_id,
                            lead_id=lead_id,
                            state=Plan.STATE_PROPOSED,
                        )
                    )
                case PlanAssessed(plan_id=plan_id):
                    await self._enter(rows, plan_id, Plan.STATE_ASSESSED)
                case PlanDiagnosed(plan_id=plan_id):
                    await self._enter(rows, plan_id, Plan.STATE_DIAGNOSED)
                case PlanActivated(plan_id=plan_id):
                    await self._enter(rows, plan_id, Plan.STATE_ACTIVE)
                case PlanObserved(plan_id=plan_id, observe_until=day):
                    await self._enter(rows, plan_id, Plan.STATE_IN_OBSERVATION)
                    row = {
                        "kind": REASSESS,
                        "key": plan_id,
                        "due_time": day_over(date.fromisoformat(day)),
                        "position": recorded.position,
                    }
                    await rows.execute(upsert(self.deadlines, rows), row)
                case PlanClosed(plan_id=plan_id):
                    await self._enter(rows, plan_id, Plan.STATE_CLOSED)
                    await rows.execute(delete(self.deadlines).where(self.deadlines.c.key == plan_id))

    async def _enter(self, rows: AsyncConnection, plan_id: str, state: Plan.State.ValueType) -> None:
        await rows.execute(update(self.plans).where(self.plans.c.plan_id == plan_id).values(state=int(state)))

    async def list_plans(self, engine: AsyncEngine, request: ListPlansRequest) -> list[tuple[str, int]]:
        """Ids and positions of a page of plans, the latest first, one more than asked for when there are more."""
        columns = self.plans.c
        query = select(columns.plan_id, columns.position).order_by(columns.position.desc())
        filters = ((columns.employee_id, request.employee_id), (columns.lead_id, request.lead_id))
        for column, wanted in (*filters, (columns.state, request.state)):
            if wanted:
                query = query.where(column == wanted)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.plan_id, row.position) for row in found]

"""Read model: what eligibility is judged by: positions, statuses and ratings of every employee, and the policies."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import BigInteger, Column, MetaData, String, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from services.promotion.criteria import Record, Since
from stepladder.performance.v1.directory_pb2 import EmploymentStatus
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmploymentStatusChanged,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PositionChanged,
    RatingDecided,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.promotion.v1.eligibility_pb2 import ListEligibilityPoliciesRequest
from stepladder.promotion.v1.events_pb2 import EligibilityPolicyCreated

POSITION, STATUS, RATING = "position", "status", "rating"


class Records(ReadModel):
    """Rows: employees; one history of what holds since when for each of them and kind; policies by first day."""

    name = "records"
    version = 1
    subjects = ("log.performance.employee.*", "log.performance.rating.*", "log.promotion.eligibilitypolicy.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.employees = Table(f"employees{suffix}", metadata, Column("employee_id", String, primary_key=True))
        self.histories = Table(
            f"histories{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("kind", String, primary_key=True),
            Column("day", String(10), primary_key=True),
            Column("value", String, nullable=False),
            Column("position", BigInteger, nullable=False),
        )
        self.policies = Table(
            f"eligibility_policies{suffix}",
            metadata,
            Column("policy_id", String, primary_key=True),
            Column("effective_date", String(10), nullable=False),
            Column("position", BigInteger, nullable=False),
        )
        self.tables = (self.employees, self.histories, self.policies)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case EmployeeHired(employee_id=employee_id) as hired:
                    await rows.execute(insert(self.employees).values(employee_id=employee_id))
                    await self._note(rows, employee_id, POSITION, hired.position_since, hired.position, recorded)
                    await self._note(rows, employee_id, STATUS, hired.hire_date, _status(hired.status), recorded)
                case PositionChanged(employee_id=employee_id) as changed:
                    await self._note(rows, employee_id, POSITION, changed.effective_date, changed.position, recorded)
                case EmploymentStatusChanged(employee_id=employee_id, effective_date=day, status=status):
                    if status == EmploymentStatus.EMPLOYMENT_STATUS_LEFT:  # nothing planned for later comes to pass
                        history = self.histories.c
                        mine = (history.employee_id == employee_id) & (history.kind == STATUS)
                        await rows.execute(delete(self.histories).where(mine, history.day > day))
                    await self._note(rows, employee_id, STATUS, day, _status(status), recorded)
                case (
                    MonthRated(employee_id=employee_id, month=month, rating=rating)
                    | MonthClosed(employee_id=employee_id, month=month, rating=rating)
                    | MonthRevised(employee_id=employee_id, month=month, rating=rating)
                    | RatingDecided(employee_id=employee_id, month=month, rating=rating)
                ):
                    name = Rating.Name(rating).removeprefix("RATING_")
                    await self._note(rows, employee_id, RATING, f"{month}-01", name, recorded)
                case EligibilityPolicyCreated(policy=policy):
                    await rows.execute(
                        insert(self.policies).values(
                            policy_id=policy.policy_id,
                            effective_date=policy.effective_date,
                            position=recorded.position,
                        )
                    )

    async def _note(
        self, rows: AsyncConnection, employee_id: str, kind: str, day: str, value: str, recorded: Recorded
    ) -> None:
        row = {"employee_id": employee_id, "kind": kind, "day": day, "value": value, "position": recorded.position}
        await rows.execute(upsert(self.histories, rows), row)

    async def employees_after(self, engine: AsyncEngine, employee_id: str, most: int) -> list[str]:
        """Ids of employees in order, behind one of them."""
        key = self.employees.c.employee_id
        async with engine.connect() as connection:
            return list(await connection.scalars(select(key).where(key > employee_id).order_by(key).limit(most)))

    async def records_of(self, engine: AsyncEngine, employee_ids: Sequence[str]) -> dict[str, Record]:
        """What is known of each of the employees; those unknown are left out."""
        history = self.histories.c
        query = select(self.histories).where(history.employee_id.in_(employee_ids)).order_by(history.day)
        found: dict[str, dict[str, list[Since]]] = {}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                kinds = found.setdefault(row.employee_id, {POSITION: [], STATUS: [], RATING: []})
                kinds[row.kind].append(Since(date.fromisoformat(row.day), row.value, row.position))
        return {
            employee_id: Record(tuple(kinds[POSITION]), tuple(kinds[STATUS]), tuple(kinds[RATING]))
            for employee_id, kinds in found.items()
            if kinds[STATUS]
        }

    async def policy_on(self, engine: AsyncEngine, day: date) -> str | None:
        """Id of the policy in force on a day; of two for the same day, the later stored."""
        policies = self.policies.c
        query = (
            select(policies.policy_id)
            .where(policies.effective_date <= day.isoformat())
            .order_by(policies.effective_date.desc(), policies.position.desc())
            .limit(1)
        )
        async with engine.connect() as connection:
            found: str | None = await connection.scalar(query)
            return found

    async def list_policies(self, engine: AsyncEngine, request: ListEligibilityPoliciesRequest) -> list[str]:
        """Ids of a page of policies, one more than asked for when there are more."""
        key = self.policies.c.policy_id
        query = select(key).order_by(key).limit(page_size(request) + 1)
        if (start := page_start(request)) is not None:
            query = query.where(key > start[0])
        async with engine.connect() as connection:
            return list(await connection.scalars(query))


def _status(status: EmploymentStatus.ValueType) -> str:
    return EmploymentStatus.Name(status).removeprefix("EMPLOYMENT_STATUS_")

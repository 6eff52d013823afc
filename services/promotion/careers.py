"""Read model: posts held for the time being, by their last days; and who has left, for the clock to end it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from sqlalchemy import Boolean, Column, MetaData, String, Table, insert, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import deadlines
from libs.facts.employee import TAKEN_BACK_WITHIN
from libs.facts.reaching import Reach
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmploymentStatusChanged
from stepladder.promotion.v1.career_pb2 import ListAppointmentsRequest
from stepladder.promotion.v1.events_pb2 import (
    AppointmentBegun,
    AppointmentDecided,
    AppointmentReserved,
    DemotionProposed,
)

END, BEGUN = "end", "begun"
"""Deadlines: of an employment, when its end cannot be taken back any more, by the clock on the wall of the site; and of
what was begun, at once: who began it may not have known yet that the employment has ended."""


class Careers(ReadModel):
    """Rows: one for each appointment; deadlines of employments that end."""

    name = "careers"
    version = 3
    subjects = ("log.promotion.career.*", "log.performance.employee.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.appointments = Table(
            f"appointments{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("appointment_id", String, primary_key=True),
            Column("until_date", String(10), nullable=False, index=True),
            Column("running", Boolean, nullable=False),
        )
        self.deadlines = deadlines(f"careers_due{suffix}", metadata)
        self.tables = (self.appointments, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        columns = self.appointments.c
        for recorded in events:
            match recorded.event:
                case AppointmentBegun(employee_id=employee_id, appointment_id=appointment_id, until_date=day):
                    row = {
                        "employee_id": employee_id,
                        "appointment_id": appointment_id,
                        "until_date": day,
                        "running": True,
                    }
                    await rows.execute(insert(self.appointments), row)
                    await self._note_begun(rows, employee_id, recorded)
                case AppointmentReserved(employee_id=employee_id) | DemotionProposed(employee_id=employee_id):
                    await self._note_begun(rows, employee_id, recorded)
                case AppointmentDecided(employee_id=employee_id, appointment_id=appointment_id):
                    mine = (columns.employee_id == employee_id) & (columns.appointment_id == appointment_id)
                    await rows.execute(update(self.appointments).where(mine).values(running=False))
                case EmploymentStatusChanged(employee_id=employee_id, status=status, effective_date=day) if (
                    status == EMPLOYMENT_STATUS_LEFT
                ):
                    due = {
                        "kind": END,
                        "key": employee_id,
                        "due_time": datetime.combine(date.fromisoformat(day), time(), UTC) + TAKEN_BACK_WITHIN,
                        "position": recorded.position,
                    }
                    await rows.execute(upsert(self.deadlines, rows), due)

    async def _note_begun(self, rows: AsyncConnection, employee_id: str, recorded: Recorded) -> None:
        due_time = recorded.envelope.time.ToDatetime(tzinfo=UTC)
        due = {"kind": BEGUN, "key": employee_id, "due_time": due_time, "position": recorded.position}
        await rows.execute(upsert(self.deadlines, rows), due)

    async def list_appointments(
        self, engine: AsyncEngine, request: ListAppointmentsRequest, reach: Reach
    ) -> list[tuple[str, str, str]]:
        """Last day, employee and appointment of a page, in that order; one more than asked for when there are more."""
        columns = self.appointments.c
        key = (columns.until_date, columns.employee_id, columns.appointment_id)
        query = select(*key).where(reach.of(columns.employee_id), columns.running if request.running_only else true())
        if request.employee_id:
            query = query.where(columns.employee_id == request.employee_id)
        if request.until_date:
            query = query.where(columns.until_date <= request.until_date)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        found = await all_rows(engine, query.order_by(*key).limit(page_size(request) + 1))
        return [(row.until_date, row.employee_id, row.appointment_id) for row in found]

"""Read model: which PIPs there are, whose, in what state, and what falls due when. What they say stays restricted."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import cast

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.common.reacting import day_over, deadlines
from libs.facts.employee import TAKEN_BACK_WITHIN
from services.coaching.measured_days import MeasuredDays
from services.coaching.pip import pip_key
from stepladder.coaching.v1.events_pb2 import (
    PipAppealed,
    PipApproved,
    PipCheckpointRescheduled,
    PipClosed,
    PipDecided,
    PipDecisionFellDue,
    PipDelivered,
    PipDrafted,
    PipDriftReviewed,
    PipEdited,
    PipHearerNamed,
    PipPaused,
    PipResultProposed,
    PipResumed,
    PipSentBack,
    PipStarted,
    PipSubmitted,
    PipWitnessNamed,
)
from stepladder.coaching.v1.pip_pb2 import ListPipsRequest, Pip, PipSchedule
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmploymentStatusChanged

CALL = "call"
"""The kind of deadline at which a day of a PIP's has passed; its key is made of employee, PIP and day."""

FOLLOW_LEAVE = "leave"
"""The kind of deadline at which an employment status is to be followed; its key is made of employee and day."""

ENTERED: Mapping[type[Message], Pip.State.ValueType] = {
    PipSubmitted: Pip.STATE_IN_REVIEW,
    PipSentBack: Pip.STATE_DRAFT,
    PipApproved: Pip.STATE_APPROVED,
    PipDelivered: Pip.STATE_DELIVERED,
    PipStarted: Pip.STATE_ACTIVE,
    PipDecisionFellDue: Pip.STATE_DECISION_DUE,
    PipResultProposed: Pip.STATE_PROPOSED,
    PipAppealed: Pip.STATE_APPEALED,
    PipClosed: Pip.STATE_CLOSED,
}
"""The state that an event leads to, whatever it says."""


class Pips(ReadModel):
    """Rows: one for each PIP, at the position of its draft in LOG_RESTRICTED; and the days that it waits for."""

    name = "pips"
    version = 3
    subjects = ("restricted.coaching.pip.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.pips = Table(
            f"pips{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("employee_id", String, nullable=False),
            Column("pip_id", String, nullable=False),
            Column("state", Integer, nullable=False),
            Column("delivered", Boolean, nullable=False),
            Column("due_date", String(10), nullable=False),  # of the schedule; empty while nothing runs
            Column("drafter_id", String, nullable=False),
            Column("witness_id", String, nullable=False),  # the last that was named; empty: nobody, as the next
            Column("hearer_id", String, nullable=False),
            UniqueConstraint("employee_id", "pip_id"),
        )
        self.measured = MeasuredDays(f"pip_measured_days{suffix}", metadata)
        self.deadlines = deadlines(f"pip_deadlines{suffix}", metadata)
        self.tables = (self.pips, self.measured.days, self.deadlines)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            await self.measured.take(rows, recorded)
            await self._take(rows, recorded)

    async def _take(self, rows: AsyncConnection, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case PipDrafted(employee_id=employee_id, pip_id=pip_id, drafted_date=day):
                await self._follow(rows, employee_id, day, recorded)
                row = {"position": recorded.position, "employee_id": employee_id, "pip_id": pip_id}
                row |= {"state": int(Pip.STATE_DRAFT), "delivered": False, "due_date": ""}
                row |= {"drafter_id": event.by.removeprefix("user:"), "witness_id": "", "hearer_id": ""}
                await rows.execute(insert(self.pips).values(row))
            case PipDelivered(employee_id=employee_id, delivered_date=day):
                await self._follow(rows, employee_id, day, recorded)
                await self._change(rows, event, delivered=True)
            case PipEdited() if event.HasField("schedule"):
                await self._change(rows, event, state=int(Pip.STATE_DELIVERED))
            case PipDecided(result=result) if result != Pip.RESULT_PASSED:
                extended = result == Pip.RESULT_EXTENDED
                await self._change(rows, event, state=int(Pip.STATE_ACTIVE if extended else Pip.STATE_DECIDED))
        if (state := ENTERED.get(type(event))) is not None:
            await self._change(rows, cast(OfPip, event), state=int(state))
        match event:
            case PipEdited() | PipDelivered() | PipStarted() | PipResumed() | PipDecisionFellDue() | PipDecided():
                if event.HasField("schedule"):
                    await self._expect(rows, event, event.schedule, recorded.position)
            case PipPaused() | PipAppealed() | PipClosed():
                await self._expect(rows, event, PipSchedule(), recorded.position)
            case PipCheckpointRescheduled(employee_id=employee_id, pip_id=pip_id, date=day):
                await self._wait_for(rows, employee_id, pip_id, day, recorded.position)
            case PipWitnessNamed(witness_id=witness_id):
                await self._change(rows, event, witness_id=witness_id)
            case PipHearerNamed(hearer_id=hearer_id):
                await self._change(rows, event, hearer_id=hearer_id)
            case PipDriftReviewed(employee_id=employee_id, pip_id=pip_id):
                # The clock may have called while nobody had looked.
                query = select(self.pips.c.due_date).where(self._is(employee_id, pip_id))
                if due_date := await rows.scalar(query):
                    await self._wait_for(rows, employee_id, pip_id, due_date, recorded.position)

    async def _change(self, rows: AsyncConnection, event: "OfPip", **values: object) -> None:
        mine = self._is(event.employee_id, event.pip_id)
        await rows.execute(update(self.pips).where(mine).values(**values))

    async def _expect(self, rows: AsyncConnection, event: "OfPip", schedule: PipSchedule, position: int) -> None:
        """Waits for the days of a schedule, and for no others."""
        await self._change(rows, event, due_date=schedule.due_date)
        waiting = self.deadlines.c.key.startswith(f"{event.employee_id}/{event.pip_id}/", autoescape=True)
        await rows.execute(delete(self.deadlines).where(waiting))
        for day in {schedule.due_date, *(review.due_date for review in schedule.reviews)} - {""}:
            await self._wait_for(rows, event.employee_id, event.pip_id, day, position)

    async def _wait_for(self, rows: AsyncConnection, employee_id: str, pip_id: str, day: str, position: int) -> None:
        row = {
            "kind": CALL,
            "key": f"{employee_id}/{pip_id}/{day}",
            "due_time": day_over(date.fromisoformat(day)),
            "position": position,
        }
        await rows.execute(upsert(self.deadlines, rows), row)

    async def _follow(self, rows: AsyncConnection, employee_id: str, day: str, recorded: Recorded) -> None:
        """Has the employment followed from a day on: it may have changed while a PIP was being written down."""
        row = {
            "kind": FOLLOW_LEAVE,
            "key": f"{employee_id}/{day}",
            "due_time": recorded.envelope.time.ToDatetime(UTC),
            "position": recorded.position,
        }
        await rows.execute(upsert(self.deadlines, rows), row)

    def _is(self, employee_id: str, pip_id: str) -> ColumnElement[bool]:
        return (self.pips.c.employee_id == employee_id) & (self.pips.c.pip_id == pip_id)

    async def list_pips(
        self, engine: AsyncEngine, request: ListPipsRequest, employee_id: str
    ) -> list[tuple[int, str, str]]:
        """Positions, employees and ids of a page of PIPs, the latest first, one more than asked for if there are more.

        Of an employee's own only those that were delivered.
        """
        columns = self.pips.c
        query = select(columns.position, columns.employee_id, columns.pip_id)
        query = query.where(or_(columns.delivered, columns.employee_id != employee_id))
        if request.employee_id:
            query = query.where(columns.employee_id == request.employee_id)
        if request.state:
            query = query.where(columns.state == int(request.state))
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.order_by(columns.position.desc()).limit(page_size(request) + 1))
            return [(row.position, row.employee_id, row.pip_id) for row in found]

    async def open_of(
        self, engine: AsyncEngine, employee_ids: Collection[str], person_id: str, most: int
    ) -> Sequence[str]:
        """Employees who have a PIP that is not closed: those named, and all in whose PIP a person has a part.

        Without a person, everybody: any may wait for HR.
        """
        columns = self.pips.c
        query = select(columns.employee_id).where(columns.state != int(Pip.STATE_CLOSED))
        if person_id:
            parts = (columns.drafter_id, columns.witness_id, columns.hearer_id)
            query = query.where(columns.employee_id.in_(employee_ids) | or_(*(one == person_id for one in parts)))
        async with engine.connect() as connection:
            return list(await connection.scalars(query.order_by(columns.position).limit(most)))

    async def held_about(
        self, engine: AsyncEngine, employee_ids: Collection[str], first_day: str, last_day: str
    ) -> Sequence[str]:
        """As `Held.held_about`."""
        return await self.measured.holders(engine, [*map(pip_key, employee_ids)], first_day, last_day)


OfPip = (
    PipDrafted
    | PipEdited
    | PipSubmitted
    | PipSentBack
    | PipApproved
    | PipDelivered
    | PipStarted
    | PipResultProposed
    | PipResumed
    | PipPaused
    | PipDecisionFellDue
    | PipDecided
    | PipAppealed
    | PipWitnessNamed
    | PipHearerNamed
    | PipClosed
)


class Leaves(ReadModel):
    """Rows: days on which employment statuses change, which may begin or end a leave, or end an employment.

    They are due when the day begins by the clock on the wall of the site; an end, which ends a PIP for good, when it
    cannot be taken back any more.
    """

    name = "leaves"
    version = 3
    subjects = ("log.performance.employee.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.deadlines = deadlines(f"leaves{suffix}", metadata)
        self.tables = (self.deadlines,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case EmploymentStatusChanged(employee_id=employee_id, status=status, effective_date=day):
                    begins = datetime.combine(date.fromisoformat(day), time(), UTC)
                    row = {
                        "kind": FOLLOW_LEAVE,
                        "key": f"{employee_id}/{day}",
                        "due_time": begins + TAKEN_BACK_WITHIN if status == EMPLOYMENT_STATUS_LEFT else begins,
                        "position": recorded.position,
                    }
                    await rows.execute(upsert(self.deadlines, rows), row)

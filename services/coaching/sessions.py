"""Read model: sessions, what was agreed in them, and which months were rated."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    and_,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, upsert
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.coaching.v1.events_pb2 import (
    ActionFollowedUp,
    SessionAcknowledged,
    SessionCancelled,
    SessionHeld,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
)
from stepladder.coaching.v1.session_pb2 import ListSessionsRequest, Session
from stepladder.performance.v1.events_pb2 import MonthClosed, MonthRated, MonthRevised, RatingDecided


class Sessions(ReadModel):
    """Rows: one for each session, absence, agreed action, and month that has a rating."""

    name = "sessions"
    version = 2
    subjects = ("log.coaching.session.*", "log.performance.rating.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.sessions = Table(
            f"sessions{suffix}",
            metadata,
            Column("session_id", String, primary_key=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("lead_id", String, nullable=False, index=True),
            Column("kind", Integer, nullable=False),
            Column("plan_id", String, nullable=False, index=True),
            Column("month", String(7), nullable=False),
            Column("date", String(10), nullable=False),
            Column("state", Integer, nullable=False),
            Column("reschedulings", Integer, nullable=False),
            Column("held_date", String(10), nullable=False),  # empty unless it was held
            Column("acknowledged", Boolean, nullable=False),
        )
        self.absences = Table(
            f"absences{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("session_id", String, nullable=False, index=True),
            Column("date", String(10), nullable=False),
            Column("absent", Integer, nullable=False),
        )
        self.actions = Table(
            f"actions{suffix}",
            metadata,
            Column("session_id", String, primary_key=True),
            Column("number", Integer, primary_key=True, autoincrement=False),
            Column("employee_id", String, nullable=False, index=True),
            Column("owner_id", String, nullable=False, index=True),
            Column("due_date", String(10), nullable=False),
            Column("followed_up_date", String(10), nullable=False),  # empty: it was not yet
            Column("done", Boolean, nullable=False),
        )
        self.rated = Table(
            f"rated_months{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("month", String(7), primary_key=True),
            Column("position", BigInteger, nullable=False),
        )
        self.tables = (self.sessions, self.absences, self.actions, self.rated)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            await self._apply_session(rows, recorded)
            match recorded.event:
                case (
                    MonthRated(employee_id=employee_id, month=month)
                    | MonthClosed(employee_id=employee_id, month=month)
                    | MonthRevised(employee_id=employee_id, month=month)
                    | RatingDecided(employee_id=employee_id, month=month, approved=True)
                ):
                    row = {"employee_id": employee_id, "month": month, "position": recorded.position}
                    await rows.execute(upsert(self.rated, rows), row)

    async def _apply_session(self, rows: AsyncConnection, recorded: Recorded) -> None:
        columns = self.sessions.c
        match recorded.event:
            case SessionScheduled() as given:
                await rows.execute(
                    insert(self.sessions).values(
                        session_id=given.session_id,
                        employee_id=given.employee_id,
                        lead_id=given.lead_id,
                        kind=int(given.kind),
                        plan_id=given.plan_id,
                        month=given.month,
                        date=given.date,
                        state=int(Session.STATE_SCHEDULED),
                        reschedulings=0,
                        held_date="",
                        acknowledged=False,
                    )
                )
            case SessionRescheduled(session_id=session_id, date=day):
                await self._turn(
                    rows, session_id, Session.STATE_SCHEDULED, date=day, reschedulings=columns.reschedulings + 1
                )
            case SessionHeld(session_id=session_id, held_date=day) as held:
                await self._turn(rows, session_id, Session.STATE_HELD, held_date=day)
                actions = [
                    {
                        "session_id": session_id,
                        "number": number,
                        "employee_id": held.employee_id,
                        "owner_id": one.owner_id,
                        "due_date": one.due_date,
                        "followed_up_date": "",
                        "done": False,
                    }
                    for number, one in enumerate(held.actions, 1)
                ]
                if actions:
                    await rows.execute(insert(self.actions), actions)
            case SessionAcknowledged(session_id=session_id):
                mine = columns.session_id == session_id
                await rows.execute(update(self.sessions).where(mine).values(acknowledged=True))
            case SessionMissed(session_id=session_id, date=day, absent=absent):
                row = {"position": recorded.position, "session_id": session_id, "date": day, "absent": int(absent)}
                await rows.execute(insert(self.absences), row)
                await self._turn(rows, session_id, Session.STATE_MISSED)
            case SessionCancelled(session_id=session_id):
                await self._turn(rows, session_id, Session.STATE_CANCELLED)
            case ActionFollowedUp(session_id=session_id, number=number, done=done, date=day):
                mine = (self.actions.c.session_id == session_id) & (self.actions.c.number == number)
                await rows.execute(update(self.actions).where(mine).values(done=done, followed_up_date=day))

    async def _turn(
        self, rows: AsyncConnection, session_id: str, state: Session.State.ValueType, **values: object
    ) -> None:
        mine = self.sessions.c.session_id == session_id
        await rows.execute(update(self.sessions).where(mine).values(state=int(state), **values))

    async def list_sessions(
        self, engine: AsyncEngine, request: ListSessionsRequest, today: date
    ) -> list[tuple[str, str]]:
        """Days and ids of a page of sessions, the latest first, one more than asked for when there are more."""
        columns = self.sessions.c
        key = (columns.date, columns.session_id)
        query = select(*key).order_by(columns.date.desc(), columns.session_id.desc())
        filters = (
            (columns.employee_id, request.employee_id),
            (columns.lead_id, request.lead_id),
            (columns.plan_id, request.plan_id),
            (columns.kind, request.kind),
            (columns.state, request.state),
        )
        for column, wanted in filters:
            if wanted:
                query = query.where(column == wanted)
        if request.overdue:
            query = query.where(columns.state == int(Session.STATE_SCHEDULED), columns.date < today.isoformat())
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) < tuple_(*start))
        async with engine.connect() as connection:
            return [(row.date, row.session_id) for row in await connection.execute(query.limit(page_size(request) + 1))]

    async def rating_position(self, engine: AsyncEngine, employee_id: str, month: str) -> int:
        """Position of the event that made the rating of an employee's month; 0 without one."""
        columns = self.rated.c
        query = select(columns.position).where(columns.employee_id == employee_id, columns.month == month)
        async with engine.connect() as connection:
            return await connection.scalar(query) or 0

    async def of_plan(self, engine: AsyncEngine, plan_id: str) -> list[str]:
        """Ids of a plan's sessions."""
        query = select(self.sessions.c.session_id).where(self.sessions.c.plan_id == plan_id)
        async with engine.connect() as connection:
            return list(await connection.scalars(query.order_by(self.sessions.c.session_id)))

    async def scheduled_of_plan(self, engine: AsyncEngine, plan_id: str) -> list[str]:
        """Ids of a plan's sessions that are still scheduled."""
        columns = self.sessions.c
        query = select(columns.session_id).where(
            columns.plan_id == plan_id, columns.state == int(Session.STATE_SCHEDULED)
        )
        async with engine.connect() as connection:
            return list(await connection.scalars(query.order_by(columns.session_id)))

    async def of_plans(self, engine: AsyncEngine, plan_ids: Collection[str]) -> Sequence[Row[Any]]:
        """Sessions of plans that are scheduled or were held, by day."""
        columns = self.sessions.c
        query = select(self.sessions).where(columns.plan_id.in_(plan_ids), columns.state.in_(_STANDING))
        return await all_rows(engine, query.order_by(columns.date, columns.session_id))

    async def interviews(
        self, engine: AsyncEngine, employee_ids: Collection[str], months: Collection[str]
    ) -> Sequence[Row[Any]]:
        """Interviews with employees about months, in whatever state."""
        columns = self.sessions.c
        interview = columns.kind == int(Session.KIND_INTERVIEW)
        query = select(self.sessions).where(interview, columns.employee_id.in_(employee_ids), columns.month.in_(months))
        return await all_rows(engine, query)

    async def named_for(self, engine: AsyncEngine, lead_id: str, start: str, end: str) -> Sequence[Row[Any]]:
        """Sessions that somebody was named to hold on days from one to another, if they are scheduled or were held."""
        columns = self.sessions.c
        mine = (columns.lead_id == lead_id, columns.date.between(start, end), columns.state.in_(_STANDING))
        return await all_rows(engine, select(self.sessions).where(*mine))

    async def missed_by_date(self, engine: AsyncEngine, lead_id: str, start: str, end: str) -> Sequence[Row[Any]]:
        """Each time that a session which somebody was named for was missed on days from one to another."""
        columns = self.absences.c
        query = select(columns.session_id, columns.date, columns.absent, self.sessions.c.employee_id)
        query = query.join(self.sessions, columns.session_id == self.sessions.c.session_id)
        query = query.where(self.sessions.c.lead_id == lead_id, columns.date.between(start, end))
        return await all_rows(engine, query)

    async def agreed_with(self, engine: AsyncEngine, lead_id: str, start: str, end: str) -> Sequence[Row[Any]]:
        """Actions due on days from one to another, agreed in sessions that somebody was named for."""
        columns = self.actions.c
        query = select(self.actions).join(self.sessions, columns.session_id == self.sessions.c.session_id)
        query = query.where(self.sessions.c.lead_id == lead_id, columns.due_date.between(start, end))
        return await all_rows(engine, query)

    async def waiting(
        self, engine: AsyncEngine, employee_ids: Collection[str], holder: str, until: str, most: int
    ) -> Sequence[Row[Any]]:
        """Sessions to be held by a day, of employees or by somebody; and those of employees to be acknowledged."""
        columns = self.sessions.c
        theirs = columns.employee_id.in_(employee_ids)
        to_hold = and_(
            columns.state == int(Session.STATE_SCHEDULED), columns.date <= until, or_(theirs, columns.lead_id == holder)
        )
        to_acknowledge = and_(columns.state == int(Session.STATE_HELD), ~columns.acknowledged, theirs)
        query = select(self.sessions).where(or_(to_hold, to_acknowledge))
        return await all_rows(engine, query.order_by(columns.date, columns.session_id).limit(most))

    async def open_actions(
        self, engine: AsyncEngine, employee_ids: Collection[str], owner: str, until: str, most: int
    ) -> Sequence[Row[Any]]:
        """Actions due by a day and not followed up, agreed with employees or owned by somebody, the earliest first."""
        columns = self.actions.c
        query = select(self.actions, self.sessions.c.held_date)
        query = query.join(self.sessions, columns.session_id == self.sessions.c.session_id).where(
            columns.followed_up_date == "",
            columns.due_date <= until,
            or_(columns.employee_id.in_(employee_ids), columns.owner_id == owner),
        )
        return await all_rows(engine, query.order_by(columns.due_date, columns.session_id, columns.number).limit(most))


_STANDING = (int(Session.STATE_SCHEDULED), int(Session.STATE_HELD))

"""Read model: who belongs to which team, and who leads it, by day. Names stay in the log, sealed."""

from collections.abc import Collection, Sequence
from datetime import date

from google.protobuf.message import Message
from sqlalchemy import Column, ColumnElement, MetaData, Select, String, Table, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.knowing import knowledge_columns, known, supersede
from libs.facts.leading import Led, TeamSpan
from stepladder.performance.v1.directory_pb2 import ListEmployeesRequest, ListTeamsRequest
from stepladder.performance.v1.events_pb2 import EmployeeHired, EmployeeTransferred, TeamCreated, TeamLeadAppointed

FOR_EVER = "9999-12-31"


class People(ReadModel):
    """Rows: teams, employees, and two kinds of spans of days, each from its first day to before `until_date`.

    Spans keep what was known of them before.
    """

    name = "people"
    version = 2
    subjects = ("log.performance.team.*", "log.performance.employee.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.teams = Table(f"teams{suffix}", metadata, Column("team_id", String, primary_key=True))
        self.employees = Table(f"employees{suffix}", metadata, Column("employee_id", String, primary_key=True))
        self.memberships = Table(
            f"memberships{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("from_date", String(10), primary_key=True),
            *knowledge_columns(),
            Column("until_date", String(10), nullable=False),
            Column("team_id", String, nullable=False, index=True),
        )
        self.leads = Table(
            f"leads{suffix}",
            metadata,
            Column("team_id", String, primary_key=True),
            Column("from_date", String(10), primary_key=True),
            *knowledge_columns(),
            Column("until_date", String(10), nullable=False),
            Column("lead_id", String, nullable=False),
        )
        self.tables = (self.teams, self.employees, self.memberships, self.leads)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            at = recorded.position
            match recorded.event:
                case TeamCreated(team_id=team_id):
                    await rows.execute(insert(self.teams).values(team_id=team_id))
                case TeamLeadAppointed(team_id=team_id, lead_id=lead_id, effective_date=day):
                    await _begin_span(rows, self.leads, "team_id", team_id, day, "lead_id", lead_id, at)
                case EmployeeHired(employee_id=employee_id, team_id=team_id, hire_date=day):
                    await rows.execute(insert(self.employees).values(employee_id=employee_id))
                    await _begin_span(rows, self.memberships, "employee_id", employee_id, day, "team_id", team_id, at)
                case EmployeeTransferred(employee_id=employee_id, team_id=team_id, effective_date=day):
                    await _begin_span(rows, self.memberships, "employee_id", employee_id, day, "team_id", team_id, at)

    async def list_teams(self, engine: AsyncEngine, request: ListTeamsRequest) -> list[str]:
        """Ids of a page of teams, one more than asked for when there are more."""
        return await _page(engine, select(self.teams.c.team_id), self.teams.c.team_id, request)

    async def list_employees(
        self, engine: AsyncEngine, request: ListEmployeesRequest, day: date, among: Collection[str] | None = None
    ) -> list[str]:
        """Ids of a page of employees, of one team's members on a day where the request names one.

        `among`: of these only; None: of everybody.
        """
        spans, key = self.memberships.c, self.employees.c.employee_id
        query = select(key)
        if request.team_id:
            key = spans.employee_id
            query = select(key).where(
                spans.team_id == request.team_id,
                spans.from_date <= day.isoformat(),
                spans.until_date > day.isoformat(),
                known(self.memberships),
            )
        return await _page(engine, query if among is None else query.where(key.in_(among)), key, request)

    async def everyone(self, engine: AsyncEngine) -> list[str]:
        """Ids of all employees, those who left among them."""
        async with engine.connect() as connection:
            return list(await connection.scalars(select(self.employees.c.employee_id)))

    async def memberships_between(
        self,
        engine: AsyncEngine,
        start: str,
        end: str,
        *,
        known_at: int = 0,
        among: Collection[str] | None = None,
        in_teams: Collection[str] | None = None,
    ) -> list[TeamSpan]:
        """Who was in which team when: every span that touches days from one to another, both inclusive.

        `among`: of these only; None: of everybody. `in_teams`: those of some teams; None: of all.
        """
        spans = self.memberships.c
        chosen = [
            column.in_(ids)
            for column, ids in ((spans.employee_id, among), (spans.team_id, in_teams))
            if ids is not None
        ]
        return await _spans(engine, self.memberships, spans.employee_id, start, end, known_at, chosen)

    async def teams_ever(self, engine: AsyncEngine, employee_id: str, start: str, end: str) -> set[str]:
        """Teams of an employee on days from one to another, by all that was ever known of them."""
        spans = self.memberships.c
        query = select(spans.team_id).where(
            spans.employee_id == employee_id, spans.from_date <= end, spans.until_date > start
        )
        async with engine.connect() as connection:
            return set(await connection.scalars(query))

    async def leads_between(self, engine: AsyncEngine, start: str, end: str, *, known_at: int = 0) -> list[TeamSpan]:
        """Who led which team when: every span that touches days from one to another, both inclusive."""
        return await _spans(engine, self.leads, self.leads.c.lead_id, start, end, known_at)

    async def led_by(self, engine: AsyncEngine, lead_id: str, start: str, end: str, *, known_at: int = 0) -> Led:
        """What somebody led on days from one to another, both inclusive."""
        leads = await self.leads_between(engine, start, end, known_at=known_at)
        leading = [one for one in leads if one.employee_id == lead_id]
        members: dict[str, list[TeamSpan]] = {}
        for one in await self.memberships_between(engine, start, end, known_at=known_at):
            if any(one.overlaps(led) for led in leading):
                members.setdefault(one.employee_id, []).append(one)
        return Led(leading, members)

    async def under(self, engine: AsyncEngine, lead_id: str, day: str) -> tuple[set[str], set[str]]:
        """Who is in a team that somebody leads on a day, or that one of these leads; and the teams."""
        spans, leads = self.memberships.c, self.leads.c
        there = (spans.from_date <= day, spans.until_date > day, known(self.memberships))
        led = select(leads.team_id).where(leads.from_date <= day, leads.until_date > day, known(self.leads))
        async with engine.connect() as connection:
            members, teams, lead_ids = set[str](), set[str](), {lead_id}
            for _ in range(2):
                more = set(await connection.scalars(led.where(leads.lead_id.in_(lead_ids))))
                lead_ids = set(
                    await connection.scalars(select(spans.employee_id).where(spans.team_id.in_(more), *there))
                )
                members, teams = members | lead_ids, teams | more
        return members, teams

    async def team_and_lead(self, engine: AsyncEngine, employee_id: str, day: str) -> tuple[str, str]:
        """An employee's team on a day and its lead on that day; empty where there is none."""
        spans, leads = self.memberships.c, self.leads.c
        async with engine.connect() as connection:
            team_id = await connection.scalar(
                select(spans.team_id).where(
                    spans.employee_id == employee_id,
                    spans.from_date <= day,
                    spans.until_date > day,
                    known(self.memberships),
                )
            )
            lead_id = await connection.scalar(
                select(leads.lead_id).where(
                    leads.team_id == team_id, leads.from_date <= day, leads.until_date > day, known(self.leads)
                )
            )
        return team_id or "", lead_id or ""


async def _begin_span(
    rows: AsyncConnection, table: Table, owner: str, owner_id: str, day: str, what: str, value: str, position: int
) -> None:
    """Lets a value hold from a day on, until the next span that is there already; an empty one: nobody."""
    mine = table.c[owner] == owner_id
    query = select(table).where(mine, known(table)).order_by(table.c.from_date)
    spans = {row.from_date: getattr(row, what) for row in await rows.execute(query)} | {day: value}
    starts = sorted(spans)
    ends = [*starts[1:], FOR_EVER]
    wanted = [
        {owner: owner_id, "from_date": start, "until_date": end, what: spans[start]}
        for start, end in zip(starts, ends, strict=True)
    ]
    await supersede(rows, table, mine, wanted, position)


async def _spans(
    engine: AsyncEngine,
    table: Table,
    who: Column[str],
    start: str,
    end: str,
    known_at: int,
    chosen: Sequence[ColumnElement[bool]] = (),
) -> list[TeamSpan]:
    columns = table.c
    query = select(who, columns.team_id, columns.from_date, columns.until_date).where(
        columns.from_date <= end, columns.until_date > start, known(table, known_at), who != "", *chosen
    )
    async with engine.connect() as connection:
        return [TeamSpan(*row) for row in await connection.execute(query.order_by(who, columns.from_date))]


async def _page(engine: AsyncEngine, query: Select[tuple[str]], key: Column[str], request: Message) -> list[str]:
    start = page_start(request)
    if start is not None:
        query = query.where(tuple_(key) > tuple_(*start))
    async with engine.connect() as connection:
        return list(await connection.scalars(query.order_by(key).limit(page_size(request) + 1)))

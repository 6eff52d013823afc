"""Read model: which posts there are, and who holds which position in which team by the directory, by day."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Column, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, insert_new, upsert
from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmployeeTransferred,
    EmploymentStatusChanged,
    PositionChanged,
)
from stepladder.promotion.v1.events_pb2 import HeadcountSet

TEAM, POSITION, LEFT = "team", "position", "left"
"""Kinds of what holds from a day on. Nothing follows the last one."""


class Holder(NamedTuple):
    """What somebody holds on a day, acting or not: in their own team, or in another that they lead."""

    employee_id: str
    position: str
    stars: int
    team_id: str
    leads: bool = False


class Posts(ReadModel):
    """Rows: posts; and of every employee what holds since when."""

    name = "posts"
    version = 1
    subjects = ("log.promotion.post.*", "log.performance.employee.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.posts = Table(
            f"posts{suffix}",
            metadata,
            Column("post_id", String, primary_key=True),
            Column("position", String, nullable=False),
            Column("stars", Integer, nullable=False),
            Column("team_id", String, nullable=False, index=True),
        )
        self.holdings = Table(
            f"holdings{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("kind", String, primary_key=True),
            Column("from_date", String(10), primary_key=True),
            # A team, or a position; empty of who has left.
            Column("value", String, nullable=False, index=True),
            Column("stars", Integer, nullable=False),
        )
        self.tables = (self.posts, self.holdings)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case HeadcountSet(post_id=post_id, position=position, stars=stars, team_id=team_id):
                    row = {"post_id": post_id, "position": position, "stars": stars, "team_id": team_id}
                    await rows.execute(insert_new(self.posts, rows), row)
                case EmployeeHired(employee_id=employee_id) as hired:
                    since = hired.position_since
                    await self._note(rows, employee_id, TEAM, hired.hire_date, hired.team_id)
                    await self._note(rows, employee_id, POSITION, since, hired.position, hired.stars)
                case EmployeeTransferred(employee_id=employee_id, team_id=team_id, effective_date=day):
                    await self._note(rows, employee_id, TEAM, day, team_id)
                case PositionChanged(employee_id=employee_id, position=position, stars=stars, effective_date=day):
                    await self._note(rows, employee_id, POSITION, day, position, stars)
                case EmploymentStatusChanged(employee_id=employee_id, status=status, effective_date=day) if (
                    status == EMPLOYMENT_STATUS_LEFT
                ):
                    await self._note(rows, employee_id, LEFT, day)

    async def _note(
        self, rows: AsyncConnection, employee_id: str, kind: str, day: str, value: str = "", stars: int = 0
    ) -> None:
        row = {"employee_id": employee_id, "kind": kind, "from_date": day, "value": value, "stars": stars}
        await rows.execute(upsert(self.holdings, rows), row)

    async def holders(self, engine: AsyncEngine, leads: Mapping[str, str], day: date) -> list[Holder]:
        """What everybody holds on a day who is in one of the teams or leads it; `leads` by team, empty for none."""
        held = self.holdings.c
        ever_there = select(held.employee_id).where(held.kind == TEAM, held.value.in_(leads))
        either = held.employee_id.in_(ever_there) | held.employee_id.in_(leads.values())
        until = select(self.holdings).where(held.from_date <= day.isoformat(), either)
        latest = {(row.employee_id, row.kind): row for row in await all_rows(engine, until.order_by(held.from_date))}
        own = {row.employee_id: row.value for (_, kind), row in latest.items() if kind == TEAM}
        there = [(one, team_id, False) for one, team_id in own.items() if team_id in leads]
        there += [(one, team_id, True) for team_id, one in leads.items() if own.get(one) != team_id]
        return [
            Holder(one, latest[one, POSITION].value, latest[one, POSITION].stars, team_id, leading)
            for one, team_id, leading in there
            if (one, LEFT) not in latest and (one, POSITION) in latest
        ]

    async def all_posts(
        self, engine: AsyncEngine, *, position: str = "", team_ids: Collection[str] | None = None
    ) -> list[str]:
        """Ids of posts in their order: of all, of a position, of some teams."""
        columns = self.posts.c
        query = select(columns.post_id).order_by(columns.post_id)
        if position:
            query = query.where(columns.position == position)
        if team_ids is not None:
            query = query.where(columns.team_id.in_(team_ids))
        return [row.post_id for row in await all_rows(engine, query)]

"""Read model: every month's rating and total, with what they were before; for lists and ranks."""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from sqlalchemy import Boolean, Column, Integer, MetaData, Row, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.partitions import Sharing
from libs.common.projecting import ReadModel
from libs.facts.knowing import content_of, knowledge_columns, known, supersede
from services.performance.trigger import RatedMonth
from stepladder.performance.v1.events_pb2 import MonthClosed, MonthRated, MonthRevised, RatingDecided
from stepladder.performance.v1.facts_pb2 import ListRatingsRequest, MonthRating, Rating
from stepladder.performance.v1.policy_pb2 import ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import Rank, RankedScorecard, Scorecard


class Scorecards(ReadModel):
    """Rows: one for each employee and month; of a month rated elsewhere only the rating."""

    name = "scorecards"
    version = 2
    subjects = ("log.performance.rating.*",)
    sharing = Sharing(by_month=subjects)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.scorecards = Table(
            f"scorecards{suffix}",
            metadata,
            Column("month", String(7), primary_key=True),
            Column("employee_id", String, primary_key=True),
            *knowledge_columns(),
            Column("rating", Integer, nullable=False),
            Column("team_id", String, nullable=False),
            Column("policy_id", String, nullable=False),
            Column("total", String, nullable=False),
            Column("place", String(24), nullable=True),  # see place_of
            Column("disputed", Boolean, nullable=False),
        )
        self.tables = (self.scorecards,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            at = recorded.position
            match recorded.event:
                case MonthRated(employee_id=employee_id, month=month, rating=rating):
                    await self._keep(rows, employee_id, month, rating, Scorecard(), at)
                case MonthClosed(employee_id=employee_id, month=month, rating=rating, scorecard=card):
                    await self._keep(rows, employee_id, month, rating, card, at)
                case MonthRevised(employee_id=employee_id, month=month, rating=rating, after=card):
                    await self._keep(rows, employee_id, month, rating, card, at)
                case RatingDecided(employee_id=employee_id, month=month, rating=rating):
                    columns = self.scorecards.c
                    mine = (columns.month == month) & (columns.employee_id == employee_id)
                    query = select(self.scorecards).where(mine, known(self.scorecards))
                    row = (await rows.execute(query)).one()
                    await supersede(rows, self.scorecards, mine, [{**content_of(row), "rating": int(rating)}], at)

    async def _keep(
        self,
        rows: AsyncConnection,
        employee_id: str,
        month: str,
        rating: Rating.ValueType,
        card: Scorecard,
        position: int,
    ) -> None:
        columns = self.scorecards.c
        row = {
            "month": month,
            "employee_id": employee_id,
            "rating": int(rating),
            "team_id": card.team_id,
            "policy_id": card.policy_id,
            "total": card.total,
            "place": place_of(card.total) if card.total else None,
            "disputed": any(line.disputed_positions for line in card.lines)
            or any(line.disputed_positions for line in card.adjustments),
        }
        mine = (columns.month == month) & (columns.employee_id == employee_id)
        await supersede(rows, self.scorecards, mine, [row], position)

    async def ranked(
        self,
        engine: AsyncEngine,
        month: str,
        ties: Mapping[str, ScorecardPolicy.Ties.ValueType],
        known_at: int = 0,
        *,
        employee_id: str = "",
        team_id: str = "",
        first: int = 0,
        limit: int = 1,
    ) -> list[RankedScorecard]:
        """The closed scorecards of a month by rank in the centre, those without a total last; equal ones by employee.

        Args:
            ties: how each policy, by id, ranks equal totals.
            employee_id: only this employee's.
            team_id: only those of this team; ranked among all the same.
            first: how many to leave out, from the front.
            limit: how many to answer, at most.
        """
        columns = self.scorecards.c
        order = columns.place.desc().nulls_last()
        groups = {"centre": [columns.policy_id], "team": [columns.policy_id, columns.team_id]}
        places = [
            counted.over(partition_by=group, order_by=order).label(f"{name}_{kind}")
            for name, group in groups.items()
            for kind, counted in (("standard", func.rank()), ("dense", func.dense_rank()))
        ]
        sizes = [
            func.count(columns.place).over(partition_by=group).label(f"{name}_of") for name, group in groups.items()
        ]
        ranked = (
            select(self.scorecards, *places, *sizes)
            .where(columns.month == month, columns.policy_id != "", known(self.scorecards, known_at))
            .subquery()
        )
        query = select(ranked).order_by(ranked.c.policy_id, ranked.c.place.desc().nulls_last(), ranked.c.employee_id)
        if employee_id:
            query = query.where(ranked.c.employee_id == employee_id)
        if team_id:
            query = query.where(ranked.c.team_id == team_id)
        async with engine.connect() as connection:
            rows = (await connection.execute(query.offset(first).limit(limit))).all()
        return [
            RankedScorecard(
                employee_id=row.employee_id,
                team_id=row.team_id,
                policy_id=row.policy_id,
                total=row.total,
                rating=row.rating,
                team_rank=_rank(row, "team", ties),
                centre_rank=_rank(row, "centre", ties),
                log_position=row.position,
            )
            for row in rows
        ]

    async def totals(
        self, engine: AsyncEngine, month: str, employee_ids: Collection[str], known_at: int = 0
    ) -> dict[str, dict[str, Fraction]]:
        """By policy, the totals of a month of some employees."""
        columns = self.scorecards.c
        query = select(self.scorecards).where(
            columns.month == month,
            columns.employee_id.in_(employee_ids),
            columns.place.is_not(None),
            known(self.scorecards, known_at),
        )
        found: dict[str, dict[str, Fraction]] = {}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                found.setdefault(row.policy_id, {})[row.employee_id] = Fraction(row.total)
        return found

    async def ratings_in(self, engine: AsyncEngine, month: str, known_at: int = 0) -> dict[str, Rating.ValueType]:
        """The ratings in force of a month by employee, those from elsewhere among them."""
        columns = self.scorecards.c
        query = select(columns.employee_id, columns.rating).where(
            columns.month == month, columns.rating != 0, known(self.scorecards, known_at)
        )
        async with engine.connect() as connection:
            return {row.employee_id: row.rating for row in await connection.execute(query)}

    async def rated_months(self, engine: AsyncEngine, employee_id: str) -> dict[str, RatedMonth]:
        """Every rated month of an employee."""
        return (await self.rated_months_of(engine, [employee_id]))[employee_id]

    async def rated_months_of(
        self, engine: AsyncEngine, employee_ids: Collection[str]
    ) -> dict[str, dict[str, RatedMonth]]:
        """Every rated month of each of several employees."""
        columns = self.scorecards.c
        query = select(self.scorecards).where(
            columns.employee_id.in_(employee_ids), columns.rating != 0, known(self.scorecards)
        )
        found: dict[str, dict[str, RatedMonth]] = {employee_id: {} for employee_id in employee_ids}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                found[row.employee_id][row.month] = RatedMonth(row.rating, row.position, row.disputed)
        return found

    async def list_ratings(self, engine: AsyncEngine, request: ListRatingsRequest) -> list[MonthRating]:
        """A page of an employee's ratings, the latest month first; one more than asked for when there are more."""
        columns = self.scorecards.c
        query = select(self.scorecards).where(
            columns.employee_id == request.employee_id, columns.rating != 0, known(self.scorecards, request.known_at)
        )
        if (start := page_start(request)) is not None:
            query = query.where(columns.month < start[0])
        async with engine.connect() as connection:
            rows = await connection.execute(query.order_by(columns.month.desc()).limit(page_size(request) + 1))
            return [
                MonthRating(employee_id=row.employee_id, month=row.month, rating=row.rating, log_position=row.position)
                for row in rows
            ]


def place_of(total: str) -> str:
    """A total as a text that sorts as it: in millionths, since none is negative or has more digits after the point."""
    return f"{int(Fraction(total) * 10**6):024}"


def _rank(row: Row[tuple[object, ...]], among: str, ties: Mapping[str, ScorecardPolicy.Ties.ValueType]) -> Rank | None:
    """As `scoring.ranks` has it, counted by the database; none without a total."""
    if row.place is None:
        return None
    kind = "dense" if ties[row.policy_id] == ScorecardPolicy.TIES_DENSE else "standard"
    return Rank(rank=row._mapping[f"{among}_{kind}"], of=row._mapping[f"{among}_of"])

"""Ranks that the database counts are those of `scoring.ranks`."""

import random
from collections.abc import Mapping
from fractions import Fraction

from sqlalchemy import MetaData, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import writing
from libs.facts.knowing import NEVER
from libs.facts.values import decimal
from services.performance.scorecards import Scorecards, place_of
from services.performance.scoring import ranks
from stepladder.performance.v1.facts_pb2 import RATING_QUALIFIED
from stepladder.performance.v1.policy_pb2 import ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import Rank, RankedScorecard

MONTH = "2026-01"
TIES = {"agents": ScorecardPolicy.TIES_STANDARD, "leads": ScorecardPolicy.TIES_DENSE}


async def test_ranks_counted_by_the_database(engine: AsyncEngine) -> None:
    """Of random totals with ties, some without, written with more or fewer digits; in pages, and each alone."""
    chance = random.Random(5)
    scorecards = Scorecards(metadata := MetaData())
    rows = [
        {
            "month": MONTH,
            "employee_id": f"e-{number:03}",
            "position": 1 + number,
            "superseded": NEVER,
            "rating": RATING_QUALIFIED,
            "team_id": f"t-{chance.randrange(4)}",
            "policy_id": chance.choice(list(TIES)),
            "total": (total := _total(chance)),
            "place": place_of(total) if total else None,
            "disputed": False,
        }
        for number in range(200)
    ]
    others = [
        rows[0] | {"position": 1000, "superseded": 1001, "total": "1", "place": place_of("1")},  # known no longer
        rows[0] | {"month": "2026-02", "total": "2", "place": place_of("2")},
        rows[0] | {"employee_id": "e-elsewhere", "policy_id": "", "total": "", "place": None},  # rated elsewhere
    ]
    async with writing(engine) as transaction:
        await transaction.run_sync(metadata.create_all)
        await transaction.execute(insert(scorecards.scorecards), [*rows, *others])

    def wanted(row: Mapping[str, object], *group: str) -> Rank | None:
        """As the definition says."""
        if not row["total"]:
            return None
        members = [one for one in rows if one["total"] and all(one[name] == row[name] for name in group)]
        totals = {str(one["employee_id"]): Fraction(str(one["total"])) for one in members}
        return Rank(rank=ranks(totals, TIES[str(row["policy_id"])])[str(row["employee_id"])], of=len(members))

    by_employee = {str(row["employee_id"]): row for row in rows}
    pages = [await scorecards.ranked(engine, MONTH, TIES, first=first, limit=60) for first in range(0, 240, 60)]
    listed = [one for page in pages for one in page]
    assert len(listed) == len(rows)
    assert listed == [
        RankedScorecard(
            employee_id=one.employee_id,
            team_id=str(row["team_id"]),
            policy_id=str(row["policy_id"]),
            total=str(row["total"]),
            rating=RATING_QUALIFIED,
            team_rank=wanted(row, "policy_id", "team_id"),
            centre_rank=wanted(row, "policy_id"),
            log_position=one.log_position,
        )
        for one in listed
        for row in (by_employee[one.employee_id],)
    ]
    by_rank = [(one.policy_id, not one.total, one.centre_rank.rank, one.employee_id) for one in listed]
    assert by_rank == sorted(by_rank)
    for one in listed[::20]:
        assert await scorecards.ranked(engine, MONTH, TIES, employee_id=one.employee_id) == [one]
    of_team = await scorecards.ranked(engine, MONTH, TIES, team_id="t-1", limit=300)
    assert of_team == [one for one in listed if one.team_id == "t-1"]


def _total(chance: random.Random) -> str:
    if chance.random() < 0.1:
        return ""
    value = Fraction(chance.randrange(0, 3000), 100) if chance.random() < 0.3 else Fraction(chance.randrange(95, 120))
    return decimal(value, chance.choice((2, 4, 6)))

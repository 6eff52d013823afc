"""Who holds which position in which team on a day, by the directory."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.facts.people import People
from services.promotion.histories import Histories
from services.promotion.post import State
from stepladder.promotion.v1.career_pb2 import Held


class Holder(NamedTuple):
    """What somebody holds on a day, acting or not: in their own team, or in another that they lead."""

    employee_id: str
    position: str
    stars: int
    team_id: str
    leads: bool = False


class Holders:
    """Out of read models that have what is asked for."""

    def __init__(self, engine: AsyncEngine, histories: Histories, people: People) -> None:
        self._engine = engine
        self._histories = histories
        self._people = people

    async def of(
        self, positions: Collection[str], day: date, known_at: int = 0, *, team_ids: Collection[str] | None = None
    ) -> list[Holder]:
        """Everybody who is employed and holds one of some positions, in some teams only where these are given."""
        engine, text = self._engine, day.isoformat()
        held: dict[str, tuple[str, int]] | None = None
        if team_ids is None:
            held = await self._histories.holders(engine, positions, day, known_at)
        own = await self._people.memberships_between(
            engine, text, text, known_at=known_at, among=held, in_teams=team_ids
        )
        led = await self._people.leads_between(engine, text, text, known_at=known_at)
        places = {(one.employee_id, one.team_id): True for one in led if team_ids is None or one.team_id in team_ids}
        places |= {(one.employee_id, one.team_id): False for one in own}
        if held is None:
            among = {employee_id for employee_id, _ in places}
            held = await self._histories.holders(engine, positions, day, known_at, among=among)
        return [Holder(one, *held[one], team_id, leads) for (one, team_id), leads in places.items() if one in held]


def held_of(post: State) -> Held:
    """What whoever holds a post holds."""
    return Held(position=post.position, stars=post.stars, team_id=post.team_id)


def occupants(holders: Iterable[Holder], post: Held, *, leads_team: bool) -> list[str]:
    """Who of them holds a post: one of no stars whatever the stars, one that leads the team also from another team."""
    return [
        one.employee_id
        for one in holders
        if (one.position, one.team_id) == (post.position, post.team_id) and post.stars in {0, one.stars}
        if leads_team or not one.leads
    ]

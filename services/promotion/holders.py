"""Who holds which position in which team on a day, by the directory."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.facts import employee
from libs.facts.people import FOR_EVER, People
from services.promotion.histories import Histories
from services.promotion.post import State
from stepladder.promotion.v1.career_pb2 import Held
from stepladder.promotion.v1.post_pb2 import Occupancy


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

    async def ahead(
        self, positions: Collection[str], since: date, team_ids: Collection[str]
    ) -> dict[date, list[Holder]]:
        """The same on a day, and on later ones on which it may change as far as is known."""
        engine, start = self._engine, since.isoformat()
        spans = await self._people.memberships_between(engine, start, FOR_EVER, in_teams=team_ids)
        spans += [one for one in await self._people.leads_between(engine, start, FOR_EVER) if one.team_id in team_ids]
        changes = await self._histories.moves_after(engine, {one.employee_id for one in spans}, since)
        changes |= {day for one in spans for day in (one.from_date, one.until_date) if start < day < FOR_EVER}
        days = [since, *map(date.fromisoformat, sorted(changes))]
        return {day: await self.of(positions, day, team_ids=team_ids) for day in days}


def occupancy(
    post: State, holders: Iterable[Holder], employees: Mapping[str, employee.State], day: date, *, leads_team: bool
) -> Occupancy:
    """Who of them holds a post on a day; `employees` are all who have taken seats of it."""
    told = [one for one, start in post.seated.items() if _is_told(employees[one], date.fromisoformat(start), day)]
    there = occupants(holders, held_of(post), leads_team=leads_team)
    return Occupancy(from_date=day.isoformat(), employee_ids=there, told_ids=told)


def _is_told(found: employee.State, start: date, day: date) -> bool:
    """Whether the directory has said by a day what somebody holds who was to sit from a day on."""
    left = found.last_day is not None and found.last_day < day
    return left or any(start <= since <= day for since, _ in found.positions)


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

"""Who holds which position in which team on a day, by the directory."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.facts import employee
from libs.facts.leading import TeamSpan
from libs.facts.people import FOR_EVER, People
from services.promotion.histories import Histories
from services.promotion.post import State
from stepladder.promotion.v1.career_pb2 import Held
from stepladder.promotion.v1.post_pb2 import Occupancy


class Holder(NamedTuple):
    """Who holds a position in a team on a day, acting or not; `leads`: they lead it, and belong to another team."""

    employee_id: str
    stars: int
    leads: bool = False


Found = Mapping[tuple[str, str], Sequence[Holder]]
"""By position and team."""


class Holders:
    """Out of read models that have what is asked for."""

    def __init__(self, engine: AsyncEngine, histories: Histories, people: People) -> None:
        self._engine = engine
        self._histories = histories
        self._people = people

    async def of(self, positions: Collection[str], day: date, known_at: int = 0) -> Found:
        """Everybody who is employed and holds one of some positions."""
        engine, text = self._engine, day.isoformat()
        held = await self._histories.holders(engine, positions, day, known_at)
        own = await self._people.memberships_between(engine, text, text, known_at=known_at, among=held)
        return _holders(held, own, await self._people.leads_between(engine, text, text, known_at=known_at))

    async def ahead(self, positions: Collection[str], since: date, team_ids: Collection[str]) -> dict[date, Found]:
        """The same in some teams, on a day, and on later ones on which it may change as far as is known."""
        engine, start = self._engine, since.isoformat()
        own = await self._people.memberships_between(engine, start, FOR_EVER, in_teams=team_ids)
        led = [one for one in await self._people.leads_between(engine, start, FOR_EVER) if one.team_id in team_ids]
        among = {one.employee_id for one in (*own, *led)}
        changes = await self._histories.moves_after(engine, among, since)
        changes |= {day for one in (*own, *led) for day in (one.from_date, one.until_date) if start < day < FOR_EVER}
        found: dict[date, Found] = {}
        for text in (start, *sorted(changes)):
            day = date.fromisoformat(text)
            held = await self._histories.holders(engine, positions, day, among=among)
            there = ([one for one in spans if one.includes(text)] for spans in (own, led))
            found[day] = _holders(held, *there)
        return found


def _holders(held: Mapping[str, tuple[str, int]], own: Iterable[TeamSpan], led: Iterable[TeamSpan]) -> Found:
    places = {(one.employee_id, one.team_id): True for one in led}
    places |= {(one.employee_id, one.team_id): False for one in own}
    found: dict[tuple[str, str], list[Holder]] = {}
    for (employee_id, team_id), leads in places.items():
        if employee_id in held:
            position, stars = held[employee_id]
            found.setdefault((position, team_id), []).append(Holder(employee_id, stars, leads))
    return found


def occupancy(
    post: State, holders: Found, employees: Mapping[str, employee.State], day: date, *, leads_team: bool
) -> Occupancy:
    """Who of them holds a post on a day: one of no stars whatever the stars, one that leads the team from any team.

    `employees` are all who have taken seats of it.
    """
    told = [one for one, start in post.seated.items() if _is_told(employees[one], date.fromisoformat(start), day)]
    there = [
        one.employee_id
        for one in holders.get((post.position, post.team_id), ())
        if post.stars in {0, one.stars} and (leads_team or not one.leads)
    ]
    return Occupancy(from_date=day.isoformat(), employee_ids=there, told_ids=told)


def _is_told(found: employee.State, start: date, day: date) -> bool:
    """Whether the directory has said by a day what somebody holds who was to sit from a day on."""
    left = found.last_day is not None and found.last_day < day
    return left or any(start <= since <= day for since, _ in found.positions)


def held_of(post: State) -> Held:
    """What whoever holds a post holds."""
    return Held(position=post.position, stars=post.stars, team_id=post.team_id)

"""Vacancies of rungs: what posts' headcounts leave beside those who hold them, on a day and as known at a position."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.commands import Commands, Standing
from libs.facts import employee
from libs.facts.employee import EMPLOYEE
from services.promotion.criteria import Vacant
from services.promotion.holders import Holders, occupancy
from services.promotion.ladder import is_for
from services.promotion.post import POST, State
from services.promotion.posts import Posts
from stepladder.performance.v1.promotion_rules_pb2 import Ladder
from stepladder.promotion.v1 import post_pb2

AT_LAST = date(2199, 12, 31)
"""The last day of the contracts: whatever is planned has come by then."""


class Vacancies:
    """Posts out of the log, occupants out of read models that have what is asked for."""

    def __init__(self, commands: Commands, engine: AsyncEngine, posts: Posts, holders: Holders) -> None:
        self._commands = commands
        self._engine = engine
        self._posts = posts
        self._holders = holders

    async def of(self, rungs: Mapping[int, Ladder.Rung], day: date, known_at: int = 0) -> dict[int, Vacant]:
        """Of each rung by its number, over all teams, on a day.

        Seats that a competition has claimed and nobody has taken are vacant: they are what its candidates compete for,
        also while somebody holds one who is to leave it, as far as is known.
        """
        by_position: dict[str, list[Standing[State]]] = {}
        for position in {rung.position for rung in rungs.values()}:
            ids = await self._posts.all_posts(self._engine, position=position)
            by_position[position] = await self._states(ids, known_at)
        posts = {
            number: [one for one in by_position[rung.position] if is_for(one.state.position, one.state.stars, rung)]
            for number, rung in rungs.items()
        }
        now = await self._counted(rungs, posts, day, known_at)
        waited_for = any(one.claimed and not one.vacant for counted in now.values() for one in counted)
        later = await self._counted(rungs, posts, AT_LAST, known_at) if waited_for else now
        return {number: vacant(found, now[number], later[number]) for number, found in posts.items()}

    async def _counted(
        self, rungs: Mapping[int, Ladder.Rung], posts: Mapping[int, Sequence[Standing[State]]], day: date, known_at: int
    ) -> dict[int, list[post_pb2.Vacancies]]:
        """What there is of posts on a day, by the number of their rung."""
        states = {one.state.post_id: one.state for found in posts.values() for one in found}
        employees = await self._employees({one for post in states.values() for one in post.seated}, known_at)
        kept = {one.position for one in states.values()}
        holders = await self._holders.of(kept, day, known_at) if kept else {}

        def counted(post: State, *, leads_team: bool) -> post_pb2.Vacancies:
            return post.vacancies(occupancy(post, holders, employees, day, leads_team=leads_team), day)

        return {
            number: [counted(one.state, leads_team=rungs[number].leads_team) for one in found]
            for number, found in posts.items()
        }

    async def _states(self, ids: Sequence[str], known_at: int) -> list[Standing[State]]:
        if not known_at:
            return list((await self._commands.known(POST, ids)).values())
        loaded = [await self._commands.load(POST, one, known_at) for one in ids]
        return [one for one in loaded if one.position]

    async def _employees(self, ids: Collection[str], known_at: int) -> dict[str, employee.State]:
        if not known_at:
            return {name: one.state for name, one in (await self._commands.known(EMPLOYEE, ids)).items()}
        return {one: (await self._commands.load(EMPLOYEE, one, known_at)).state for one in ids}


def vacant(
    posts: Sequence[Standing[State]], now: Sequence[post_pb2.Vacancies], later: Sequence[post_pb2.Vacancies]
) -> Vacant:
    """Of the posts of a rung: in each team within the headcount of those with stars, and of the one of no stars."""
    teams: dict[str, dict[bool, list[int | None]]] = {}
    for standing, found, at_last in zip(posts, now, later, strict=True):
        free = max(0, found.headcount - found.occupied, min(found.claimed, at_last.headcount - at_last.occupied))
        post = standing.state
        teams.setdefault(post.team_id, {}).setdefault(bool(post.stars), []).append(None if found.unlimited else free)
    of_teams = [_least(_sum(one) for one in team.values()) for team in teams.values()]
    return Vacant(_sum(of_teams), tuple(sorted(one.position for one in posts)))


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None: any number."""
    total = 0
    for one in numbers:
        if one is None:
            return None
        total += one
    return total


def _least(numbers: Iterable[int | None]) -> int | None:
    return min((one for one in numbers if one is not None), default=None)

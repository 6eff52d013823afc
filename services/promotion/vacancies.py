"""Vacancies of rungs: what posts' headcounts leave beside those who hold them, on a day and as known at a position."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.commands import Commands, Standing
from services.promotion.criteria import Vacant
from services.promotion.holders import Holder, Holders, held_of, occupants
from services.promotion.post import POST, State
from services.promotion.posts import Posts
from stepladder.performance.v1.promotion_rules_pb2 import Ladder


class Vacancies:
    """Posts out of the log, occupants out of read models that have what is asked for."""

    def __init__(self, commands: Commands, engine: AsyncEngine, posts: Posts, holders: Holders) -> None:
        self._commands = commands
        self._engine = engine
        self._posts = posts
        self._holders = holders

    async def of(self, rungs: Mapping[int, Ladder.Rung], day: date, known_at: int = 0) -> dict[int, Vacant]:
        """Of each rung by its number, over all teams, on a day.

        Seats that a competition has claimed and nobody has taken are vacant: they are what its candidates compete for.
        """
        posts: dict[str, list[Standing[State]]] = {}
        for position in {rung.position for rung in rungs.values()}:
            ids = await self._posts.all_posts(self._engine, position=position)
            posts[position] = await self._states(ids, known_at)
        kept = [position for position, standings in posts.items() if standings]
        holders: dict[tuple[str, str], list[Holder]] = defaultdict(list)
        for one in await self._holders.of(kept, day, known_at) if kept else []:
            holders[one.position, one.team_id].append(one)
        return {number: vacant(rung, posts[rung.position], holders, day) for number, rung in rungs.items()}

    async def _states(self, ids: Sequence[str], known_at: int) -> list[Standing[State]]:
        if not known_at:
            return list((await self._commands.known(POST, ids)).values())
        loaded = [await self._commands.load(POST, one, known_at) for one in ids]
        return [one for one in loaded if one.position]


def vacant(
    rung: Ladder.Rung,
    posts: Iterable[Standing[State]],
    holders: Mapping[tuple[str, str], Sequence[Holder]],
    day: date,
) -> Vacant:
    """In each team within the headcount of the rung's stars, of any for a rung of none, and of the post of no stars."""
    positions, teams = list[int](), dict[str, dict[bool, list[int | None]]]()
    for standing in posts:
        post = standing.state
        if 0 in (rung.stars, post.stars) or post.stars == rung.stars:
            there = occupants(holders.get((post.position, post.team_id), ()), held_of(post), leads_team=rung.leads_team)
            found = post.vacancies(there, day)
            left = None if found.unlimited else max(0, found.headcount - found.occupied)
            teams.setdefault(post.team_id, {}).setdefault(bool(post.stars), []).append(left)
            positions.append(standing.position)
    of_teams = [_least(_sum(one) for one in team.values()) for team in teams.values()]
    return Vacant(_sum(of_teams), tuple(sorted(positions)))


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

"""Vacancies of rungs: what posts' headcounts leave beside those who hold them, on a day and as known at a position."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.commands import Commands, Standing
from libs.facts.people import People
from services.promotion.criteria import Vacant
from services.promotion.histories import Histories
from services.promotion.post import POST, State
from services.promotion.posts import Holder, Posts
from services.promotion.seats import held_of, occupants
from stepladder.performance.v1.promotion_rules_pb2 import Ladder


class Vacancies:
    """Posts out of the log, occupants out of read models that have what is asked for."""

    def __init__(
        self, commands: Commands, engine: AsyncEngine, posts: Posts, histories: Histories, people: People
    ) -> None:
        self._commands = commands
        self._engine = engine
        self._posts = posts
        self._histories = histories
        self._people = people

    async def of(self, rungs: Mapping[int, Ladder.Rung], day: date, known_at: int = 0) -> dict[int, Vacant]:
        """Of each rung by its number, over all teams, on a day.

        Seats that a competition has claimed and nobody has taken are vacant: they are what its candidates compete for.
        """
        posts, held = dict[int, list[Standing[State]]](), dict[int, dict[str, int]]()
        for number, rung in rungs.items():
            ids = await self._posts.all_posts(self._engine, position=rung.position)
            posts[number] = [one for one in await self._states(ids, known_at) if rung.stars in (0, one.state.stars)]
            if posts[number]:
                held[number] = await self._histories.holders(self._engine, rung.position, day, known_at)
        teams = await self._teams({one for stars in held.values() for one in stars}, day, known_at)
        found: dict[int, Vacant] = {}
        for number, rung in rungs.items():
            stars = held.get(number, {})
            holders = [Holder(one, rung.position, stars[one], *place) for one in stars for place in teams[one].items()]
            vacant, positions, unlimited = 0, list[int](), False
            for standing in posts[number]:
                post = standing.state
                there = occupants(holders, held_of(post), leads_team=rung.leads_team)
                counted = post.vacancies(there, day, standing.position)
                vacant += max(0, counted.headcount - counted.occupied)
                unlimited |= counted.unlimited
                positions.append(standing.position)
            found[number] = Vacant(None if unlimited else vacant, tuple(sorted(positions)))
        return found

    async def _states(self, ids: Sequence[str], known_at: int) -> list[Standing[State]]:
        if not known_at:
            return list((await self._commands.known(POST, ids)).values())
        loaded = [await self._commands.load(POST, one, known_at) for one in ids]
        return [one for one in loaded if one.position]

    async def _teams(self, employee_ids: Collection[str], day: date, known_at: int) -> dict[str, dict[str, bool]]:
        """Of each their own team, and those that they lead besides: these are true."""
        found: dict[str, dict[str, bool]] = {one: {} for one in employee_ids}
        if not employee_ids:
            return found
        text = day.isoformat()
        own = await self._people.memberships_between(self._engine, text, text, known_at=known_at, among=employee_ids)
        led = await self._people.leads_between(self._engine, text, text, known_at=known_at)
        for leads, spans in ((True, led), (False, own)):
            for one in spans:
                if one.employee_id in found:
                    found[one.employee_id][one.team_id] = leads
        return found

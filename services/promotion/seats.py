"""Seats of posts: how many are free on a day, and claims of them, with the occupants that the directory knows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.commands import Standing
from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from services.promotion.holders import Holders, held_of, occupants
from services.promotion.post import POST, State, post_id, without_holder
from services.promotion.rungs import Rungs
from stepladder.promotion.v1.career_pb2 import Held
from stepladder.promotion.v1.post_pb2 import (
    ClaimSeats,
    ReleaseSeats,
    SetHeadcount,
    SetHeadcountRequest,
    Vacancies,
)


@dataclass(frozen=True, slots=True)
class Occupied:
    """A post with who holds it by the directory on a day."""

    standing: Standing[State]
    occupant_ids: Collection[str]
    day: date

    @property
    def vacancies(self) -> Vacancies:
        return self.standing.state.vacancies(self.occupant_ids, self.day, self.standing.position)

    @property
    def crowded(self) -> bool:
        """Whether more are acting than there are seats that nobody else holds."""
        found = self.vacancies
        return not found.unlimited and without_holder(found) < found.acting

    @property
    def has_vacancy(self) -> bool:
        found = self.vacancies
        return found.unlimited or found.vacant > 0


class Seats:
    """Posts out of the log, occupants out of read models once they have everything."""

    def __init__(self, service: Service, holders: Holders, together: Together, rungs: Rungs) -> None:
        self._commands = service.commands
        self._holders = holders
        self._together = together
        self._rungs = rungs

    async def of(self, post_ids: Iterable[str], day: date) -> dict[str, Occupied]:
        """Those of the posts that exist, by id, in the order asked, as of a day."""
        found = await self._commands.known(POST, post_ids)
        there = await self._occupants([held_of(one.state) for one in found.values()], day)
        return {
            name: Occupied(one, occupant_ids, day)
            for (name, one), occupant_ids in zip(found.items(), there, strict=True)
        }

    async def free_for(self, employee_id: str, held: Held, day: date) -> bool:
        """Whether somebody may hold a post from a day on: it keeps no headcount, is theirs, or has a seat free."""
        name = post_id(held.position, held.stars, held.team_id)
        found = (await self.of([name], day)).get(name)
        return found is None or employee_id in found.occupant_ids or found.has_vacancy

    async def set_headcount(self, request: SetHeadcountRequest, day: date, context: Context) -> Standing[State]:
        """Sets it, with regard to who holds the post on a day."""
        held = Held(position=request.position, stars=request.stars, team_id=request.team_id)
        (occupant_ids,) = await self._occupants([held], day)
        command = SetHeadcount(request=request, occupant_ids=occupant_ids)
        return await self._commands.handle(
            POST, post_id(request.position, request.stars, request.team_id), command, context
        )

    async def claim(self, name: str, claim_id: str, seats: int, context: Context, *, acting: bool = False) -> Vacancies:
        """Claims seats of a post, once for each id; answers what there is of it then.

        Raises NotFound `POST_NOT_FOUND`; NotAllowed `NO_VACANCY`, `CLAIM_TAKEN`.
        """
        found = (await self.of([name], context.today)).get(name)
        occupant_ids = found.occupant_ids if found else ()
        command = ClaimSeats(claim_id=claim_id, seats=seats, acting=acting, occupant_ids=occupant_ids)
        handled = await self._commands.handle(POST, name, command, context)
        return handled.state.vacancies(occupant_ids, context.today, handled.position)

    async def release(self, name: str, claim_id: str, context: Context) -> None:
        """Gives back what nobody has taken of a claim."""
        await self._commands.handle(POST, name, ReleaseSeats(claim_id=claim_id), context)

    async def _occupants(self, posts: Sequence[Held], day: date) -> list[list[str]]:
        """Who holds each of the posts."""
        await self._together.catch_up()
        positions, teams = {one.position for one in posts}, {one.team_id for one in posts}
        holders, rungs = await self._holders.of(positions, day, team_ids=teams), await self._rungs.on(day)
        return [occupants(holders, one, leads_team=rungs.leads_team(one)) for one in posts]

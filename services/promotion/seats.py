"""Seats of posts: how many are free on a day, and claims of them, with the occupants that the directory knows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.commands import Standing
from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from libs.facts.employee import EMPLOYEE
from services.promotion.holders import Holders, held_of, occupancy
from services.promotion.post import POST, State, post_id, tightest, without_holder
from services.promotion.rungs import Rungs
from stepladder.promotion.v1.career_pb2 import Held
from stepladder.promotion.v1.post_pb2 import (
    ClaimSeats,
    Occupancy,
    ReleaseSeats,
    SetHeadcount,
    SetHeadcountRequest,
    Vacancies,
)


@dataclass(frozen=True, slots=True)
class Occupied:
    """A post with who holds it by the directory, from a day on."""

    standing: Standing[State]
    occupancies: Sequence[Occupancy]
    day: date

    @property
    def ahead(self) -> list[tuple[date, Vacancies]]:
        """What there is of it on the day, and on later ones on which that changes."""
        return self.standing.state.ahead(self.occupancies, self.day)

    @property
    def crowded(self) -> bool:
        """Whether more are acting than there are seats that nobody else holds."""
        _, found = self.ahead[0]
        return not found.unlimited and without_holder(found) < found.acting

    @property
    def has_vacancy(self) -> bool:
        """Whether a seat is free on the day."""
        _, found = self.ahead[0]
        return found.unlimited or found.vacant > 0


class Seats:
    """Posts out of the log, occupants out of read models once they have everything."""

    def __init__(self, service: Service, holders: Holders, together: Together, rungs: Rungs) -> None:
        self._commands = service.commands
        self._holders = holders
        self._together = together
        self._rungs = rungs

    async def of(self, post_ids: Iterable[str], day: date) -> dict[str, Occupied]:
        """Those of the posts that exist, by id, in the order asked, from a day on."""
        found = await self._commands.known(POST, post_ids)
        # Before the read models are asked: what the directory has said of them is in their rows, too.
        seated = {employee_id for one in found.values() for employee_id in one.state.seated}
        employees = {name: one.state for name, one in (await self._commands.known(EMPLOYEE, seated)).items()}
        await self._together.catch_up()
        posts = [one.state for one in found.values()]
        holders = await self._holders.ahead({one.position for one in posts}, day, {one.team_id for one in posts})
        rungs = await self._rungs.on(day)
        occupied = {}
        for name, one in found.items():
            leads_team = rungs.leads_team(held_of(one.state))
            occupancies = [
                occupancy(one.state, among, employees, on, leads_team=leads_team) for on, among in holders.items()
            ]
            occupied[name] = Occupied(one, occupancies, day)
        return occupied

    async def free_for(self, employee_id: str, held: Held, day: date) -> bool:
        """Whether somebody may hold something from a day on, by the post with its stars and by that of no stars.

        Each keeps no headcount, is theirs, or has a seat free.
        """
        names = {post_id(held.position, stars, held.team_id) for stars in (held.stars, 0)}
        return all(_has_seat_for(employee_id, one) for one in (await self.of(names, day)).values())

    async def set_headcount(self, request: SetHeadcountRequest, day: date, context: Context) -> Standing[State]:
        """Sets it, with regard to who holds the post on a day."""
        name = post_id(request.position, request.stars, request.team_id)
        found = (await self.of([name], day)).get(name)
        command = SetHeadcount(request=request, occupancies=found.occupancies if found else ())
        return await self._commands.handle(POST, name, command, context)

    async def claim(self, name: str, claim: ClaimSeats, context: Context) -> None:
        """Claims seats of a post, once for each id, with regard to who holds it.

        Raises NotFound `POST_NOT_FOUND`; NotAllowed `NO_VACANCY`, `CLAIM_TAKEN`.
        """
        found = (await self.of([name], context.today)).get(name)
        claim.occupancies.extend(found.occupancies if found else ())
        await self._commands.handle(POST, name, claim, context)

    async def release(self, name: str, claim_id: str, context: Context) -> None:
        """Gives back what nobody has taken of a claim."""
        await self._commands.handle(POST, name, ReleaseSeats(claim_id=claim_id), context)


def _has_seat_for(employee_id: str, post: Occupied) -> bool:
    if any(employee_id in one.employee_ids for one in post.occupancies if one.from_date <= post.day.isoformat()):
        return True
    _, fewest = tightest(post.ahead)
    return fewest.unlimited or fewest.vacant > 0

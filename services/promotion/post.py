"""A post: how many people may hold a position in a team from which day on, and the seats that are claimed of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import History, holding_from, in_force, parse_day
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.promotion.v1.events_pb2 import HeadcountSet, SeatFilled, SeatsClaimed, SeatsReleased, SeatVacated
from stepladder.promotion.v1.post_pb2 import (
    ClaimSeats,
    FillSeat,
    Occupancy,
    Post,
    ReleaseSeats,
    SetHeadcount,
    SetHeadcountRequest,
    Vacancies,
    VacateSeat,
)

Command = SetHeadcount | ClaimSeats | FillSeat | VacateSeat | ReleaseSeats
Event = HeadcountSet | SeatsClaimed | SeatFilled | SeatVacated | SeatsReleased


def post_id(position: str, stars: int, team_id: str) -> str:
    """Made of what the post is. Stored for ever."""
    return opaque_id("post", position, str(stars), team_id)


@dataclass(frozen=True, slots=True)
class Claim:
    """Seats for a competition, for good, or to be held acting. By employee who has taken one: from which day they sit.

    Attributes:
        employee_id: whose it is; empty for a competition's.
        over_date: of one that was released, the first day on which they do not sit by it; empty if they sit for good.
    """

    seats: int
    acting: bool = False
    employee_id: str = ""
    filled: Mapping[str, str] = field(default_factory=dict)
    released: bool = False
    over_date: str = ""

    @property
    def unfilled(self) -> int:
        return 0 if self.released else self.seats - len(self.filled)


OVER = Claim(seats=0, released=True)
"""A claim that was released before anybody sat by it: the competition was closed just after an appointment."""


@dataclass(frozen=True, slots=True)
class State:
    """A post; without an id before its first headcount. Claims by id; one that is over only if somebody sat by it."""

    post_id: str = ""
    position: str = ""
    stars: int = 0
    team_id: str = ""
    headcounts: History[HeadcountSet] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def seated(self) -> dict[str, str]:
        """Who has taken a seat for good or on trial, by whatever claim: their first days, of several the last."""
        claims = [claim for claim in self.claims.values() if not claim.acting]
        taken = [(day, one) for claim in claims for one, day in claim.filled.items()]
        return {one: day for day, one in sorted(taken)}

    def vacancies(self, occupancy: Occupancy, day: date, position: int = 0) -> Vacancies:
        """What there is on a day on which these hold the post by the directory; `position` is of the latest event.

        Who has taken a seat counts until the directory has said where they are: it may not know of them yet. Who is
        acting does not, from the claim on, for the directory may know of them first: the seat is there for whoever
        qualifies.
        """
        headcount = in_force(self.headcounts, day) or HeadcountSet()
        covers = [claim for claim in self.claims.values() if claim.acting]
        acting = {
            employee_id
            for claim in covers
            for employee_id in (claim.employee_id, *claim.filled)
            if not claim.released or day.isoformat() < claim.over_date
        }
        coming = self.seated.keys() - set(occupancy.told_ids)
        occupied = len(coming.union(set(occupancy.employee_ids) - acting))
        claimed = sum(claim.unfilled for claim in self.claims.values() if not claim.acting)
        return Vacancies(
            unlimited=headcount.unlimited,
            headcount=headcount.headcount,
            occupied=occupied,
            claimed=claimed,
            vacant=max(headcount.headcount - occupied - claimed, 0),
            post_position=position,
            acting=sum(claim.seats for claim in covers if not claim.released),
        )

    def ahead(self, occupancies: Sequence[Occupancy], since: date) -> list[tuple[date, Vacancies]]:
        """What there is on a day, and on each later one on which headcount or occupants change, as far as is known."""
        holding = tuple((date.fromisoformat(one.from_date), one) for one in occupancies)
        changes = [day for day, _ in (*self.headcounts, *holding) if day > since]
        days = sorted({since, *changes})
        return [(day, self.vacancies(in_force(holding, day) or Occupancy(), day)) for day in days]


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case HeadcountSet(effective_date=text) as headcount:
            return replace(
                state,
                post_id=headcount.post_id,
                position=headcount.position,
                stars=headcount.stars,
                team_id=headcount.team_id,
                headcounts=holding_from(state.headcounts, date.fromisoformat(text), headcount),
            )
        case SeatsClaimed(claim_id=claim_id, seats=seats, acting=acting, employee_id=employee_id):
            return _with_claim(state, claim_id, Claim(seats, acting, employee_id))
        case SeatFilled(claim_id=claim_id, employee_id=employee_id, start_date=day):
            claim = state.claims.get(claim_id, OVER)
            return _with_claim(state, claim_id, replace(claim, filled={**claim.filled, employee_id: day}))
        case SeatVacated(claim_id=claim_id, employee_id=employee_id):
            claim = state.claims[claim_id]
            others = {one: day for one, day in claim.filled.items() if one != employee_id}
            return _with_claim(state, claim_id, replace(claim, filled=others))
        case SeatsReleased(claim_id=claim_id, over_date=day) if state.claims[claim_id].filled:
            return _with_claim(state, claim_id, replace(state.claims[claim_id], released=True, over_date=day))
        case SeatsReleased(claim_id=claim_id):
            return replace(state, claims={one: claim for one, claim in state.claims.items() if one != claim_id})
        case unknown:
            assert_never(unknown)


def _with_claim(state: State, claim_id: str, claim: Claim) -> State:
    return replace(state, claims={**state.claims, claim_id: claim})


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case _, SetHeadcount(request=request, occupancies=occupancies):
            return _set_headcount(state, request, occupancies, context)
        case State(post_id=""), _:
            raise NotFound("POST_NOT_FOUND", "nobody has set a headcount for this post")

        case _, ClaimSeats(claim_id=claim_id, seats=seats, acting=acting, occupancies=occupancies) as claiming:
            if (claim := state.claims.get(claim_id)) is not None:
                if claim.released or (claim.seats, claim.acting) != (seats, acting):
                    raise NotAllowed("CLAIM_TAKEN", f"{claim_id} has claimed {claim.seats} seats before")
                return []
            start = date.fromisoformat(claiming.start_date or context.today.isoformat())
            ahead = state.ahead(occupancies, max(start, context.today))
            day, found = tightest(ahead if claiming.start_date else ahead[-1:])
            free = max(0, without_holder(found) - found.acting) if acting else found.vacant
            if not found.unlimited and seats > free:
                raise NotAllowed(
                    "NO_VACANCY",
                    f"{seats} asked for and {free} free on {day}: of a headcount of {found.headcount}"
                    f" {found.occupied} are held, {found.claimed} claimed and {found.acting} held acting",
                )
            return [
                SeatsClaimed(
                    post_id=state.post_id,
                    claim_id=claim_id,
                    seats=seats,
                    acting=acting,
                    vacancies=found,
                    employee_id=claiming.employee_id,
                    appointment_id=claiming.appointment_id,
                )
            ]
        case _, FillSeat(claim_id=claim_id, employee_id=employee_id, start_date=day):
            claim = state.claims.get(claim_id, OVER)
            if employee_id in claim.filled:
                return []
            if not claim.released and not claim.unfilled:
                raise NotAllowed("NO_SEAT", f"every seat that {claim_id} has claimed is taken")
            return [SeatFilled(post_id=state.post_id, claim_id=claim_id, employee_id=employee_id, start_date=day)]
        case _, VacateSeat(claim_id=claim_id, employee_id=employee_id):
            if claim_id not in state.claims or employee_id not in state.claims[claim_id].filled:
                return []
            return [SeatVacated(post_id=state.post_id, claim_id=claim_id, employee_id=employee_id)]
        case _, ReleaseSeats(claim_id=claim_id, over_date=day):
            if claim_id not in state.claims or state.claims[claim_id].released:
                return []
            return [SeatsReleased(post_id=state.post_id, claim_id=claim_id, over_date=day)]
        case _, unknown:
            assert_never(unknown)


POST = Aggregate(name="promotion.post", initial=State(), evolve=evolve, decide=decide)


def _set_headcount(
    state: State, request: SetHeadcountRequest, occupancies: Sequence[Occupancy], context: Context
) -> Sequence[Message]:
    day = parse_day(request.effective_date, "effective_date")
    headcount = HeadcountSet(
        post_id=post_id(request.position, request.stars, request.team_id),
        position=request.position,
        stars=request.stars,
        team_id=request.team_id,
        headcount=request.headcount,
        unlimited=request.unlimited,
        effective_date=request.effective_date,
        set_by=context.actor,
    )
    before = in_force(state.headcounts, day)
    if before is not None and (before.headcount, before.unlimited) == (request.headcount, request.unlimited):
        return []
    since, after = max(day, context.today), evolve(state, headcount)
    for (on, found), (_, former) in zip(after.ahead(occupancies, since), state.ahead(occupancies, since), strict=True):
        if found.claimed and _missing(found) > _missing(former):
            raise NotAllowed(
                "SEATS_CLAIMED",
                f"on {on} {found.occupied} hold the post and {found.claimed} seats of it are claimed:"
                " end what they are claimed for first",
            )
    return [headcount]


def without_holder(found: Vacancies) -> int:
    """How many seats nobody holds for good or on trial, claimed or not: those that somebody may hold acting."""
    return found.headcount - found.occupied


def tightest(ahead: Sequence[tuple[date, Vacancies]]) -> tuple[date, Vacancies]:
    """The first of the days on which the fewest seats are free."""
    return min(ahead, key=lambda one: (one[1].unlimited, without_holder(one[1])))


def _missing(found: Vacancies) -> int:
    """How many seats there are too few."""
    return 0 if found.unlimited else max(found.occupied + found.claimed - found.headcount, 0)


def _warning(ahead: Sequence[tuple[date, Vacancies]]) -> str:
    """What is wrong with a post, and what to do about it; empty: nothing."""
    for day, found in ahead:
        if not found.unlimited and (over := -without_holder(found)) > 0:
            held = f"on {day} {found.occupied} hold this post, or are about to, of a headcount of {found.headcount}"
            return f"{held}: raise the headcount, or move {over} of them to another post"
    day, found = ahead[-1]
    if short := _missing(found):
        left = f"seats claimed: {found.claimed}, and left from {day} on: {without_holder(found)}"
        return f"{left}; raise the headcount by {short}, or cancel a competition, or its last candidates get no seat"
    return ""


def to_resource(state: State, position: int, occupancies: Sequence[Occupancy], day: date) -> Post:
    """The post as of a day, by who holds it from then on by the directory."""
    ahead = state.ahead(occupancies, day)
    vacancies = ahead[0][1]
    vacancies.post_position = position
    return Post(
        post_id=state.post_id,
        position=state.position,
        stars=state.stars,
        team_id=state.team_id,
        as_of=day.isoformat(),
        vacancies=vacancies,
        warning=_warning(ahead),
        headcounts=[
            Post.Headcount(
                effective_date=since.isoformat(), headcount=one.headcount, unlimited=one.unlimited, set_by=one.set_by
            )
            for since, one in state.headcounts
        ],
        claims=[
            Post.Claim(claim_id=claim_id, seats=claim.seats, employee_ids=sorted(claim.filled), acting=claim.acting)
            for claim_id, claim in state.claims.items()
            if not claim.released
        ],
        etag=str(position),
        log_position=position,
    )

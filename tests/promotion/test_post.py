"""Posts, given when then: headcount by day, claims of seats, who takes one and who leaves it."""

import hypothesis
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import NotAllowed, NotFound, Refused
from services.promotion.post import POST, State, post_id, to_resource
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
from tests.deciding import TODAY, context, days, fold, given, twice_is_once

ID = post_id("lead", 0, "t-1")
NEXT_MONTH = "2026-04-01"


def holding(*employee_ids: str, day: str = "2026-01-01", told: tuple[str, ...] = ()) -> Occupancy:
    return Occupancy(from_date=day, employee_ids=employee_ids, told_ids=told)


def setting(headcount: int, day: str = "2026-01-01", *occupants: str, unlimited: bool = False) -> SetHeadcount:
    request = SetHeadcountRequest(
        position="lead", team_id="t-1", headcount=headcount, unlimited=unlimited, effective_date=day
    )
    return SetHeadcount(request=request, occupancies=[holding(*occupants)])


def was_set(headcount: int, day: str = "2026-01-01", *, unlimited: bool = False) -> HeadcountSet:
    return HeadcountSet(
        post_id=ID,
        position="lead",
        team_id="t-1",
        headcount=headcount,
        unlimited=unlimited,
        effective_date=day,
        set_by="user:u-1",
    )


def claiming(seats: int, claim_id: str = "c-1", *occupants: str) -> ClaimSeats:
    return ClaimSeats(claim_id=claim_id, seats=seats, occupancies=[holding(*occupants)])


def claimed(seats: int, claim_id: str = "c-1", *, unlimited: bool = False, **found: int) -> SeatsClaimed:
    vacancies = Vacancies(unlimited=unlimited, **found)
    return SeatsClaimed(post_id=ID, claim_id=claim_id, seats=seats, vacancies=vacancies)


def filling(employee_id: str, claim_id: str = "c-1", day: str = "2026-03-16") -> FillSeat:
    return FillSeat(claim_id=claim_id, employee_id=employee_id, start_date=day)


def filled(employee_id: str, claim_id: str = "c-1", day: str = "2026-03-16") -> SeatFilled:
    return SeatFilled(post_id=ID, claim_id=claim_id, employee_id=employee_id, start_date=day)


def vacating(employee_id: str, claim_id: str = "c-1") -> VacateSeat:
    return VacateSeat(claim_id=claim_id, employee_id=employee_id)


RELEASE, RELEASED = ReleaseSeats(claim_id="c-1"), SeatsReleased(post_id=ID, claim_id="c-1")
TWO_CLAIMED = claimed(2, headcount=3, vacant=3)


def counted(
    *events: Message, occupants: tuple[str, ...] = (), day: str = "2026-03-16", told: tuple[str, ...] = ()
) -> tuple[int, int, int]:
    """Occupied, claimed and vacant on a day."""
    state = fold(POST, POST.initial, events)
    found = state.vacancies(holding(*occupants, told=told), TODAY.fromisoformat(day))
    return found.occupied, found.claimed, found.vacant


def test_a_headcount_makes_the_post() -> None:
    """The first one, and each from its day on; the one that holds already changes nothing."""
    post = given(POST).when(setting(3)).then(was_set(3))
    post.when(setting(3, "2026-02-01")).then()
    more = post.when(setting(5, NEXT_MONTH)).then(was_set(5, NEXT_MONTH))
    more.when(setting(5, NEXT_MONTH)).then()
    assert counted(was_set(3), was_set(5, NEXT_MONTH)) == (0, 0, 3)
    assert counted(was_set(3), was_set(5, NEXT_MONTH), day=NEXT_MONTH) == (0, 0, 5)
    assert counted(was_set(3), day="2025-12-31") == (0, 0, 0)


@pytest.mark.parametrize("command", [claiming(1), filling("a"), vacating("a"), RELEASE])
def test_a_post_without_headcount_has_no_seats(command: Message) -> None:
    given(POST).when(command).refused(NotFound, "POST_NOT_FOUND")


def test_what_is_free_is_claimed_and_no_more() -> None:
    """Occupants and seats of other claims are not free."""
    post = given(POST, was_set(3))
    post.when(claiming(4)).refused(NotAllowed, "NO_VACANCY")
    post.when(claiming(3, "c-1", "a")).refused(NotAllowed, "NO_VACANCY")
    post = post.when(claiming(2, "c-1", "a")).then(claimed(2, headcount=3, occupied=1, vacant=2))
    post.when(claiming(1, "c-2", "a")).refused(NotAllowed, "NO_VACANCY")
    post.when(claiming(1, "c-2")).then(claimed(1, "c-2", headcount=3, claimed=2, vacant=1))


def test_a_seat_that_goes_away_is_not_claimed() -> None:
    """The headcount that is planned for later leaves room for whoever is to sit, too."""
    post = given(POST, was_set(3), was_set(1, NEXT_MONTH))
    post.when(claiming(2)).refused(NotAllowed, "NO_VACANCY")
    post.when(claiming(1)).then(claimed(1, headcount=1, vacant=1))


def test_a_claim_is_what_it_was_however_often_it_is_said() -> None:
    """The same again changes nothing; one with other seats is refused, or after somebody sat by it and it is over."""
    post = given(POST, was_set(2), claimed(2))
    post.when(claiming(2)).then()
    post.when(claiming(1)).refused(NotAllowed, "CLAIM_TAKEN")
    given(POST, was_set(2), claimed(2), filled("a"), RELEASED).when(claiming(2)).refused(NotAllowed, "CLAIM_TAKEN")
    given(POST, was_set(2), claimed(2), RELEASED).when(claiming(2)).then(claimed(2, headcount=2, vacant=2))


def test_any_number_may_hold_a_title_without_headcount() -> None:
    post = given(POST, was_set(0, unlimited=True))
    post.when(claiming(500, "c-1", "a", "b")).then(claimed(500, unlimited=True, occupied=2))
    post.when(setting(0, NEXT_MONTH)).then(was_set(0, NEXT_MONTH))
    given(POST, was_set(0, unlimited=True), claimed(1)).when(setting(0, NEXT_MONTH)).refused(
        NotAllowed, "SEATS_CLAIMED"
    )


def test_seats_are_taken_and_left() -> None:
    """Nobody sits twice, nobody beside the claim; a seat that was left is the claim's again."""
    post = given(POST, was_set(3), TWO_CLAIMED).when(filling("a")).then(filled("a"))
    post.when(filling("a")).then()
    full = post.when(filling("b")).then(filled("b"))
    full.when(filling("c")).refused(NotAllowed, "NO_SEAT")
    full.when(vacating("c")).then()
    left = full.when(vacating("a")).then(SeatVacated(post_id=ID, claim_id="c-1", employee_id="a"))
    left.when(vacating("a")).then()
    left.when(filling("c")).then(filled("c"))
    over = left.when(RELEASE).then(RELEASED)
    over.when(RELEASE).then()
    full.when(vacating("a", "c-9")).then()
    full.when(ReleaseSeats(claim_id="c-9")).then()


@pytest.mark.parametrize("before", [[], [filled("b")]])
def test_who_was_appointed_sits_though_the_claim_is_over(before: list[Message]) -> None:
    """A competition may be closed before the post hears of an appointment: nobody else gets the seat until then."""
    ahead = filled("a", day=NEXT_MONTH)
    over = given(POST, was_set(2), claimed(2), *before, RELEASED)
    sitting = over.when(filling("a", day=NEXT_MONTH)).then(ahead)
    sitting.when(filling("a", day=NEXT_MONTH)).then()
    sitting.when(claiming(2)).refused(NotAllowed, "CLAIM_TAKEN")
    sitting.when(claiming(2, "c-2", "b")).refused(NotAllowed, "NO_VACANCY")
    assert counted(was_set(2), claimed(2), *before, RELEASED, ahead, told=("b",)) == (1, 0, 1)
    sitting.when(vacating("a")).then(SeatVacated(post_id=ID, claim_id="c-1", employee_id="a"))


def test_who_sits_is_counted_once() -> None:
    """By claim and directory together; by the directory alone, once it has said where they are, claim or not."""
    begun = (was_set(3), TWO_CLAIMED, filled("a"))
    assert counted(*begun) == (1, 1, 1)
    assert counted(*begun, occupants=("a", "b")) == (2, 1, 0)
    assert counted(*begun, occupants=("a", "b"), told=("a",)) == (2, 1, 0)
    assert counted(*begun, told=("a",)) == (0, 1, 2)
    assert counted(*begun, RELEASED) == (1, 0, 2)
    assert counted(*begun, RELEASED, told=("a",)) == (0, 0, 3)
    assert counted(was_set(1), occupants=("a", "b")) == (2, 0, 0)


def test_who_acts_keeps_the_seat_from_nobody() -> None:
    """Not even from whoever claimed it before; only one acts for each seat, and what ends later acts until then."""
    cover = ClaimSeats(claim_id="cover", seats=1, acting=True, occupancies=[holding("b")])
    covered = claimed(1, "cover", headcount=2, occupied=1, claimed=1)
    covered.acting = True
    begun = (was_set(2), claimed(1), covered, filled("a", "cover"))
    given(POST, was_set(2), claimed(1)).when(cover).then(covered)
    given(POST, was_set(1)).when(cover).refused(NotAllowed, "NO_VACANCY")
    post = given(POST, *begun)
    post.when(cover).then()
    post.when(ClaimSeats(claim_id="cover", seats=1)).refused(NotAllowed, "CLAIM_TAKEN")
    second = ClaimSeats(claim_id="second", seats=1, acting=True, occupancies=[holding("a", "b")])
    post.when(second).refused(NotAllowed, "NO_VACANCY")
    assert counted(*begun, occupants=("a", "b")) == (1, 1, 0)
    covered.employee_id = "a"  # the directory shows them before they have taken the seat
    assert counted(was_set(2), claimed(1), covered, occupants=("a", "b")) == (1, 1, 0)
    over = SeatsReleased(post_id=ID, claim_id="cover", over_date=NEXT_MONTH)
    post.when(ReleaseSeats(claim_id="cover", over_date=NEXT_MONTH)).then(over).when(second).then(
        SeatsClaimed(
            post_id=ID,
            claim_id="second",
            seats=1,
            acting=True,
            vacancies=Vacancies(headcount=2, occupied=1, claimed=1),
        )
    )
    assert counted(*begun, over, occupants=("a", "b")) == (1, 1, 0)
    assert counted(*begun, over, occupants=("a", "b"), day=NEXT_MONTH) == (2, 1, 0)


def test_a_headcount_leaves_claimed_seats_alone() -> None:
    """It may fall below those who hold the post, not below seats that somebody is to get."""
    post = given(POST, was_set(3), TWO_CLAIMED)
    post.when(setting(2, NEXT_MONTH, "a")).refused(NotAllowed, "SEATS_CLAIMED")
    post.when(setting(2, NEXT_MONTH)).then(was_set(2, NEXT_MONTH))
    given(POST, was_set(3)).when(setting(1, NEXT_MONTH, "a", "b")).then(was_set(1, NEXT_MONTH))
    short = given(POST, was_set(3), TWO_CLAIMED)
    short.when(setting(4, NEXT_MONTH, "a", "b", "c")).then(was_set(4, NEXT_MONTH))
    past = given(POST, was_set(3, "2026-02-01"), TWO_CLAIMED)
    past.when(setting(0, "2026-01-01", "a")).then(was_set(0, "2026-01-01"))


def claiming_on(seats: int, *occupancies: Occupancy, start: str = "") -> ClaimSeats:
    return ClaimSeats(claim_id="c-1", seats=seats, occupancies=occupancies, start_date=start)


def test_a_seat_that_comes_free_is_claimed_ahead() -> None:
    """By a competition, if nobody comes for it before; an acting post needs it from its first day on."""
    post = given(POST, was_set(1))
    leaving = (holding("a"), holding(day=NEXT_MONTH))
    post.when(claiming_on(1, *leaving)).then(claimed(1, headcount=1, vacant=1))
    post.when(claiming_on(1, *leaving, holding("b", day="2026-05-01"))).refused(NotAllowed, "NO_VACANCY")
    early = post.when(claiming_on(1, *leaving, start="2026-03-20")).refused(NotAllowed, "NO_VACANCY")
    assert "2026-03-20" in early.message
    post.when(claiming_on(1, *leaving, start=NEXT_MONTH)).then(claimed(1, headcount=1, vacant=1))


def test_a_seat_for_which_somebody_comes_is_not_claimed() -> None:
    """On a known date, in the headcount of that date."""
    coming = (holding(), holding("b", day=NEXT_MONTH))
    refusal = given(POST, was_set(1)).when(claiming_on(1, *coming)).refused(NotAllowed, "NO_VACANCY")
    assert NEXT_MONTH in refusal.message
    given(POST, was_set(1)).when(claiming_on(1, *coming, start="2026-03-16")).refused(NotAllowed, "NO_VACANCY")
    more = given(POST, was_set(1), was_set(2, NEXT_MONTH))
    more.when(claiming_on(1, *coming)).then(claimed(1, headcount=2, occupied=1, vacant=1))


def test_a_headcount_leaves_seats_for_those_who_come() -> None:
    """Also when they come later than it begins to hold."""
    cut = setting(2)
    cut.occupancies.append(holding("b", day=NEXT_MONTH))
    given(POST, was_set(3), TWO_CLAIMED).when(cut).refused(NotAllowed, "SEATS_CLAIMED")


def test_what_is_wrong_with_a_post_is_said() -> None:
    """More people than seats on a day, or fewer seats than are claimed in the end; not what will be all right."""

    def warned(*occupancies: Occupancy, events: tuple[Message, ...] = (was_set(3), TWO_CLAIMED)) -> str:
        return to_resource(fold(POST, POST.initial, events), 7, occupancies, TODAY).warning

    assert warned(holding("x")) == ""
    assert warned(holding("x", "y"), holding("x", day=NEXT_MONTH)) == ""
    short = warned(holding("x"), holding("x", "y", day=NEXT_MONTH))
    assert "seats claimed: 2, and left from 2026-04-01 on: 1; raise the headcount by 1" in short
    over = warned(holding("x", "y"), holding("x", "y", "z", "v", day=NEXT_MONTH))
    assert "on 2026-04-01 4 hold this post" in over
    assert "move 1 of them" in over
    assert "3 hold this post" in warned(holding("x"), events=(was_set(2), TWO_CLAIMED, filled("a"), filled("b")))
    assert warned(holding("x", "y"), events=(was_set(0, unlimited=True),)) == ""


def test_the_post_as_it_is_told() -> None:
    state = fold(POST, POST.initial, [was_set(3), TWO_CLAIMED, filled("b"), filled("a"), claimed(1, "c-2")])
    told = to_resource(state, 7, [holding("x")], TODAY)
    assert (told.post_id, told.position, told.team_id, told.as_of) == (ID, "lead", "t-1", "2026-03-16")
    assert told.headcounts == [Post.Headcount(effective_date="2026-01-01", headcount=3, set_by="user:u-1")]
    assert told.claims == [
        Post.Claim(claim_id="c-1", seats=2, employee_ids=["a", "b"]),
        Post.Claim(claim_id="c-2", seats=1),
    ]
    assert told.vacancies == Vacancies(headcount=3, occupied=3, claimed=1, vacant=0, post_position=7)


def _unfilled(state: State, claim_id: str) -> bool:
    """Whether a claim has a seat for one more: without, nobody is approved."""
    return claim_id in state.claims and state.claims[claim_id].unfilled > 0


ids = st.sampled_from(["a", "b", "c"])
claims = st.sampled_from(["c-1", "c-2"])
commands = st.one_of(
    st.builds(setting, st.integers(0, 4), days, ids, unlimited=st.just(False)),
    st.builds(claiming, st.integers(1, 3), claims, ids),
    st.builds(filling, ids, claims, days),
    st.builds(vacating, ids, claims),
    st.builds(ReleaseSeats, claim_id=claims),
    st.just(ClaimSeats(claim_id="cover", seats=1, acting=True)),
    st.just(filling("acting", "cover")),
    st.just(ReleaseSeats(claim_id="cover", over_date=NEXT_MONTH)),
)


def test_a_repeated_command_changes_nothing() -> None:
    twice_is_once(POST, commands)


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=200)
@hypothesis.given(st.lists(commands, max_size=20), st.frozensets(ids))
def test_no_commands_give_away_more_seats_than_there_are(said: list[Message], occupants: frozenset[str]) -> None:
    """Whoever claims gets no seat that is another's: with no more occupants than seats there never are too many.

    Unless somebody is appointed in the moment in which their competition is closed.
    """
    state: State = fold(POST, POST.initial, [was_set(len(occupants) + 1)])
    for command in said:
        if isinstance(command, SetHeadcount):
            continue
        if isinstance(command, FillSeat) and not _unfilled(state, command.claim_id):
            continue
        if isinstance(command, ClaimSeats):
            del command.occupancies[:]
            command.occupancies.append(holding(*sorted(occupants)))
        try:
            state = fold(POST, state, POST.decide(state, command, context()))
        except Refused:
            continue
        found = state.vacancies(holding(*sorted(occupants)), TODAY)
        assert found.occupied + found.claimed <= found.headcount

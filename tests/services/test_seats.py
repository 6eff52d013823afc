"""Seats of a post as the directory moves people: who leaves frees one, who comes takes one, and too many are shown."""

from typing import Any

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
)
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import Ladder
from stepladder.promotion.v1.candidacy_pb2 import (
    AppointCandidacyRequest,
    ApproveCandidacyRequest,
    Candidacy,
    IssueLetterRequest,
    PassPostTrainingRequest,
)
from stepladder.promotion.v1.career_pb2 import BeginActingRequest, DecideAppointmentRequest, Held
from stepladder.promotion.v1.competition_pb2 import (
    CloseCompetitionRequest,
    GetCompetitionRequest,
    PublishListRequest,
)
from stepladder.promotion.v1.post_pb2 import GetPostRequest, ListPostsRequest, Post, SetHeadcountRequest
from tests.refusals import refused
from tests.services.competing import Competing, competing
from tests.services.test_appointing_rightly import held, on_the_list, trained
from tests.services.test_check_ins import by
from tests.services.test_competitions import Contest, founded
from tests.services.world import World, caught_up

NOT_NOW = StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


@pytest.fixture
async def people(world: World) -> Competing:
    return await competing(world)


async def said(contest: Contest, kind: type[Message], candidacy_id: str, **fields: str) -> Candidacy:
    """What another one of HR says of a candidacy as it is."""
    rpc = getattr(contest.world.candidacies, kind.DESCRIPTOR.name.removesuffix("Request"))
    request = kind(candidacy_id=candidacy_id, etag=(await contest.candidacy(candidacy_id)).etag, **fields)
    answer: Candidacy = await rpc(request, metadata=by(contest.hr2))
    return answer


async def prepared(contest: Contest, candidacy_id: str) -> None:
    """Approved, told and trained."""
    await said(contest, ApproveCandidacyRequest, candidacy_id, reason="in order")
    for kind in (IssueLetterRequest, PassPostTrainingRequest):
        await said(contest, kind, candidacy_id)


async def settled(world: World) -> None:
    for _ in range(3):
        for service in ("promotion", "performance"):
            await caught_up(world, service)


async def leave(world: World, employee_id: str, day: str) -> None:
    leaving = ChangeEmploymentStatusRequest(employee_id=employee_id, status=EMPLOYMENT_STATUS_LEFT, effective_date=day)
    await world.directory.ChangeEmploymentStatus(leaving)


async def move(world: World, employee_id: str, position: str, day: str) -> None:
    change = ChangePositionRequest(employee_id=employee_id, position=position, effective_date=day)
    await world.directory.ChangePosition(change)


async def post_of(people: Competing, day: str = "") -> Post:
    request = GetPostRequest(post_id=people.post, as_of=day)
    post: Post = await people.world.posts.GetPost(request, metadata=by(people.hr[0]))
    return post


async def headcount(people: Competing, number: int, day: str = "2026-01-01") -> Any:
    setting = SetHeadcountRequest(position="deputy", team_id=people.team, headcount=number, effective_date=day)
    return await people.world.posts.SetHeadcount(setting, metadata=by(people.hr[0]))


async def on_trial(people: Competing) -> None:
    """The candidate, from the first of April on."""
    await trained(people)
    etag = (await people.seen()).etag
    await people.act(AppointCandidacyRequest, people.hr[0], etag=etag, start_date="2026-04-01")
    await settled(people.world)
    people.at("2026-04-20")


async def decided(people: Competing, *, confirmed: bool) -> None:
    """The trial, as its end is decided."""
    decide = DecideAppointmentRequest(
        employee_id=people.candidate,
        appointment_id=people.key,
        confirmed=confirmed,
        effective_date="2026-04-20",
        reason="seen every day",
    )
    await people.say(decide, people.hr[1], "careers")
    await settled(people.world)


async def confirmed(people: Competing) -> None:
    """The candidate holds the post for good; the competition goes on."""
    await on_trial(people)
    await decided(people, confirmed=True)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_closed_while_a_trial_runs(people: Competing, cancelled: bool) -> None:
    """HR is told whose; one that fails later gives its seat back to the post, for the next competition."""
    await on_trial(people)
    request = CloseCompetitionRequest(competition_id=people.id, cancelled=cancelled)
    closed = await people.say(request, people.hr[0], "competitions")
    assert list(closed.on_trial_candidacy_ids) == [people.key]
    await settled(people.world)
    seen = await people.say(GetCompetitionRequest(competition_id=people.id), people.agents[3], "competitions")
    assert not seen.on_trial_candidacy_ids
    assert (await people.seen()).state == Candidacy.STATE_APPOINTED
    found = (await post_of(people)).vacancies
    assert (found.occupied, found.claimed, found.vacant) == (1, 0, 0)
    await decided(people, confirmed=False)
    assert (await people.seen()).state == Candidacy.STATE_RETURNED
    found = (await post_of(people)).vacancies
    assert (found.occupied, found.claimed, found.vacant) == (0, 0, 1)
    publish = people.say(PublishListRequest(competition_id=people.id), people.hr[0], "competitions")
    await refused(publish, NOT_NOW, "WRONG_STATE")
    vacant = await people.say(ListPostsRequest(vacant_only=True, team_id=people.team), people.hr[0], "posts")
    assert [one.post_id for one in vacant.posts] == [people.post]


@pytest.mark.parametrize("leaves", [True, False], ids=["the company", "the post"])
async def test_who_held_it_for_good_and_leaves(people: Competing, leaves: bool) -> None:
    """Frees the seat on the day of which the directory knows it, though the competition is not closed."""
    await confirmed(people)
    found = await post_of(people)
    assert (found.vacancies.occupied, found.vacancies.vacant, found.warning) == (1, 0, "")
    if leaves:
        await leave(people.world, people.candidate, "2026-05-01")
    else:
        await move(people.world, people.candidate, "agent", "2026-05-01")
    await settled(people.world)
    assert (await post_of(people, "2026-04-30")).vacancies.occupied == 1
    assert (await post_of(people, "2026-05-01")).vacancies.vacant == 1
    people.at("2026-05-01")
    acting = BeginActingRequest(
        employee_id=people.agents[1],
        appointment_id="a-1",
        held=Held(position="deputy", team_id=people.team),
        start_date="2026-05-01",
        until_date="2026-06-30",
        reason="the post is empty",
    )
    await people.say(acting, people.hr[1], "careers")
    await settled(people.world)
    assert (await post_of(people)).vacancies.acting == 1


async def test_somebody_from_outside_takes_the_seat(people: Competing) -> None:
    """Nobody is approved for a seat that is not there any more; HR reads what to do about it."""
    await on_the_list(people)
    await move(people.world, people.agents[5], "deputy", "2026-03-20")
    await settled(people.world)
    await refused(people.approve(), NOT_NOW, "NO_SEAT")
    found = await post_of(people)
    assert (found.vacancies.occupied, found.vacancies.claimed) == (1, 1)
    assert "seats claimed: 1, and left from 2026-03-24 on: 0; raise the headcount by 1" in found.warning
    await headcount(people, 2)
    assert (await post_of(people)).warning == ""
    assert (await people.approve()).state == Candidacy.STATE_APPROVED


async def test_two_are_approved_for_what_is_left(contest: Contest) -> None:
    """Of two on the list for two seats of which somebody from outside took one, the first to be approved gets it."""
    ids = await contest.competed(5, 4, seats=2)
    await contest.rank()
    await contest.publish()
    await move(contest.world, contest.agents[3], "senior", "2026-03-16")
    contest.world.clock[0] = contest.world.clock[0].replace(day=30)
    await settled(contest.world)

    await said(contest, ApproveCandidacyRequest, ids[0], reason="in order")
    await refused(said(contest, ApproveCandidacyRequest, ids[1], reason="in order"), NOT_NOW, "NO_SEAT")
    assert (await contest.states(ids)) == ["APPROVED", "LISTED"]


async def test_appointed_while_a_policy_lags(contest: Contest) -> None:
    """Who was appointed a moment ago counts, though the post has not heard of them."""
    ids = await contest.competed(5, 4, seats=2)
    await contest.rank()
    await contest.publish()
    contest.world.clock[0] = contest.world.clock[0].replace(day=30)
    for one in ids:
        await prepared(contest, one)
    await move(contest.world, contest.agents[3], "senior", "2026-03-16")
    await settled(contest.world)
    with held(contest.world, "appoint-candidates"):
        await said(contest, AppointCandidacyRequest, ids[0], start_date="2026-03-30")
        appoint = said(contest, AppointCandidacyRequest, ids[1], start_date="2026-03-30")
        await refused(appoint, NOT_NOW, "NO_SEAT")
    await settled(contest.world)
    assert (await contest.vacancies()).occupied == 2


async def test_more_people_than_seats_are_shown(people: Competing) -> None:
    """Nobody can keep the directory from it; the post says how many are to be moved."""
    await confirmed(people)
    await move(people.world, people.agents[5], "deputy", "2026-04-25")
    await settled(people.world)
    found = await post_of(people)
    assert found.vacancies.occupied == 1
    assert "on 2026-04-25 2 hold this post" in found.warning
    assert "move 1 of them" in found.warning


async def test_the_seat_of_somebody_who_leaves_on_a_known_date(contest: Contest) -> None:
    """Can be competed for ahead; nobody sits before it is free."""
    for one in contest.agents[2:]:
        await move(contest.world, one, "senior", "2026-03-01")
    await settled(contest.world)
    await refused(contest.opened(), NOT_NOW, "NO_VACANCY")
    await leave(contest.world, contest.agents[3], "2026-05-01")
    await settled(contest.world)
    (one,) = await contest.competed(5)
    found = await contest.world.posts.GetPost(GetPostRequest(post_id=contest.post_id), metadata=by(contest.hr))
    assert (found.vacancies.occupied, found.vacancies.claimed, found.warning) == (2, 1, "")
    await refused(contest.opened("c-2"), NOT_NOW, "NO_VACANCY")
    await contest.rank()
    await contest.publish()
    contest.world.clock[0] = contest.world.clock[0].replace(day=30)
    await prepared(contest, one)
    early = said(contest, AppointCandidacyRequest, one, start_date="2026-04-30")
    await refused(early, NOT_NOW, "NO_SEAT")
    appointed = await said(contest, AppointCandidacyRequest, one, start_date="2026-05-01")
    assert appointed.state == Candidacy.STATE_APPOINTED


async def test_the_seat_for_which_somebody_comes_on_a_known_date(contest: Contest) -> None:
    """Is no seat to compete for."""
    await move(contest.world, contest.agents[3], "senior", "2026-05-01")
    await settled(contest.world)
    refusal = await refused(contest.opened(seats=2), NOT_NOW, "NO_VACANCY")
    assert "2026-05-01" in refusal.message
    assert (await contest.opened(seats=1)).seats == 1


async def test_a_post_that_no_ladder_names(people: Competing) -> None:
    """Is a mistake: those that there are are named. A post that there is outlives its rung."""
    setting = SetHeadcountRequest(position="deptuy", team_id=people.team, headcount=1, effective_date="2026-01-01")
    refusal = await refused(people.say(setting, people.hr[0], "posts"), StatusCode.INVALID_ARGUMENT, "POSITION_UNKNOWN")
    assert refusal.fields == ["position"]
    assert "there are: agent, deputy, head" in refusal.message
    with_stars = SetHeadcountRequest(
        position="head", stars=3, team_id=people.team, headcount=1, effective_date="2026-01-01"
    )
    assert (await people.say(with_stars, people.hr[0], "posts")).stars == 3
    rungs = [Ladder.Rung(rung_id=one, display_name=one, position=one) for one in ("agent", "boss")]
    rungs[1].eligibility_id, rungs[1].competition_id = f"{people.ladder}-who", f"{people.ladder}-how"
    positions = Ladder(display_name="Positions", rungs=rungs)
    policy = Policy(policy_id=people.ladder, effective_date="2026-01-01", ladder=positions)
    await people.world.policies.SetPolicy(SetPolicyRequest(policy=policy))
    await settled(people.world)
    assert (await headcount(people, 2)).vacancies.headcount == 2
    other = SetHeadcountRequest(position="head", team_id=people.team, headcount=1, effective_date="2026-01-01")
    await refused(people.say(other, people.hr[0], "posts"), StatusCode.INVALID_ARGUMENT, "POSITION_UNKNOWN")


async def test_a_headcount_is_cut_when_somebody_is_approved(people: Competing) -> None:
    """The seat is theirs: the cut is refused until they have sat down, and then leaves them where they are."""
    await on_the_list(people)
    await people.approve()
    await refused(headcount(people, 0, "2026-03-24"), NOT_NOW, "SEATS_CLAIMED")
    await refused(headcount(people, 0, "2026-06-01"), NOT_NOW, "SEATS_CLAIMED")
    assert (await people.seen()).state == Candidacy.STATE_APPROVED
    assert (await post_of(people)).vacancies.headcount == 1
